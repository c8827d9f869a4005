"""Plays Sigstore on loopback: Fulcio with its log of certificates, Rekor, and an OpenID Connect issuer's address.

It issues for whatever name a token has, since who may have tokens is not what is tested.
"""

import base64
import hashlib
import json
import struct
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.certificates import Authority, now, pem
from tests.support.json_servers import AnswerError, Json, JsonServer

_ISSUER, _ISSUER_V2 = (x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}") for number in (1, 8))
_TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ORIGIN = "rekor.example - 1"
_START = "2020-01-01T00:00:00Z"
_LASTS = timedelta(minutes=10)  # a certificate
_AUDIENCE = "sigstore"


class Log:
    """The key of a log."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha256(self.public).digest()

    def sign(self, content: bytes) -> bytes:
        return self.key.sign(content, ec.ECDSA(hashes.SHA256()))

    def trusted(self) -> Json:
        """As a trusted root has it."""
        key = {"rawBytes": _b64(self.public), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": _START}}
        return {
            "baseUrl": "https://log.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": key,
            "logId": {"keyId": _b64(self.id)},
        }


class SigstoreServer(JsonServer):
    """One Sigstore. `url` is its address; `lag` seconds lie between a certificate and its entry in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.lag = 0
        self.fulcio = Authority("fulcio.example")
        self.certificates, self.rekor = Log(), Log()

    def trusted_root(self) -> Json:
        authority = {
            "subject": {"organization": "example", "commonName": "fulcio.example"},
            "uri": self.url,
            "certChain": {"certificates": [{"rawBytes": _b64(self.fulcio.certificate.public_bytes(Encoding.DER))}]},
            "validFor": {"start": _START},
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.rekor.trusted()],
            "certificateAuthorities": [authority],
            "ctlogs": [self.certificates.trusted()],
            "timestampAuthorities": [],
        }

    def trust_config(self) -> Json:
        """What a signer is given: the root, and where the services are."""
        service = {"url": self.url, "majorApiVersion": 1, "validFor": {"start": _START}, "operator": "example"}
        signing = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service],
            "oidcUrls": [service],
            "rekorTlogUrls": [service],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [],
        }
        kind = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
        return {"mediaType": kind, "trustedRoot": self.trusted_root(), "signingConfig": signing}

    def token(self, subject: str, issuer: str) -> str:
        """As an issuer gives it to a signer."""
        time = int(now().timestamp())
        claims = {"sub": subject, "iss": issuer, "aud": _AUDIENCE, "iat": time, "nbf": time - 60, "exp": time + 600}
        parts = [json.dumps(one).encode() for one in ({"alg": "HS256", "typ": "JWT"}, claims)] + [b"signature"]
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)

    def handle(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        if (method, path) == ("GET", "/.well-known/openid-configuration"):
            return {"authorization_endpoint": f"{self.url}/auth", "token_endpoint": f"{self.url}/token"}
        if (method, path) == ("POST", "/api/v2/signingCert"):
            chain = [self._issued(base64.b64decode(body["certificateSigningRequest"])), self.fulcio.certificate]
            return {"signedCertificateEmbeddedSct": {"chain": {"certificates": [pem(one) for one in chain]}}}
        if (method, path) == ("POST", "/api/v1/log/entries"):
            return {"0" * 64: self._entry(body)}
        raise AnswerError(400, f"unknown request {method} {path}")

    def _issued(self, request: bytes) -> x509.Certificate:
        asked = x509.load_pem_x509_csr(request)
        (token,) = self.shown - {""}
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        issuer = claims["iss"].encode()

        def more(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
            builder = builder.add_extension(x509.UnrecognizedExtension(_ISSUER, issuer), critical=False)
            coded = b"\x0c" + bytes([len(issuer)]) + issuer
            builder = builder.add_extension(x509.UnrecognizedExtension(_ISSUER_V2, coded), critical=False)
            logged = self._timestamp(builder.sign(self.fulcio.key, hashes.SHA256()).tbs_certificate_bytes)
            return builder.add_extension(x509.UnrecognizedExtension(_TIMESTAMPS, logged), critical=False)

        public: Any = asked.public_key()
        return self.fulcio.issue(public, [x509.RFC822Name(claims["sub"])], lasts=_LASTS, more=more)

    def _timestamp(self, to_be_signed: bytes) -> bytes:
        """The log's word for a certificate (RFC 6962), as an extension holds it."""
        time = int(now().timestamp()) * 1000
        above = self.fulcio.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        entry = hashlib.sha256(above).digest() + len(to_be_signed).to_bytes(3, "big") + to_be_signed
        signature = self.certificates.sign(struct.pack("!BBQH", 0, 0, time, 1) + entry + b"\0\0")
        one = b"\0" + self.certificates.id + struct.pack("!QHBBH", time, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(one) + 2, len(one)) + one
        return b"\x04" + (bytes([len(listed)]) if len(listed) < 128 else bytes([0x81, len(listed)])) + listed

    def _entry(self, proposed: Json) -> Json:
        """The entry in a log of two, and what proves that it is there."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        ((signature, verifier),) = zip(envelope["signatures"], content["verifiers"], strict=True)
        spec = {
            "envelopeHash": _hash(content["envelope"].encode()),
            "payloadHash": _hash(base64.b64decode(envelope["payload"])),
            "signatures": [{"signature": signature["sig"], "verifier": verifier}],
        }
        body = _canonical({"apiVersion": "0.0.1", "kind": proposed["kind"], "spec": spec})
        before, leaf = (hashlib.sha256(b"\0" + one).digest() for one in (b"the entry before", body))
        root = hashlib.sha256(b"\1" + before + leaf).digest()
        note = f"{_ORIGIN}\n2\n{_b64(root)}\n"
        signed = _b64(self.rekor.id[:4] + self.rekor.sign(note.encode()))
        entry = {
            "body": _b64(body),
            "integratedTime": int(now().timestamp()) + self.lag,
            "logID": self.rekor.id.hex(),
            "logIndex": 1,
        }
        proof = {
            "logIndex": 1,
            "treeSize": 2,
            "rootHash": root.hex(),
            "hashes": [before.hex()],
            "checkpoint": f"{note}\n\u2014 {_ORIGIN.split(maxsplit=1)[0]} {signed}\n",
        }
        promise = _b64(self.rekor.sign(_canonical(entry)))
        return {**entry, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}


def _canonical(document: Json) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _hash(content: bytes) -> Json:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()
