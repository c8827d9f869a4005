"""The signature of a package, in the form of OpenSSF model signing: who vouches for its bytes.

``model.sig`` beside the manifest is a Sigstore bundle: a DSSE envelope with an in-toto statement that names the SHA-256
of every file of the package, signed with an elliptic curve key, whose public half is configured, or is in a certificate
beside it. `model_signing sign` and `model_signing verify` write and read the same file. Keys and certificates need only
`cryptography`, which every image has; a keyless signature needs Sigstore's own client (:mod:`keyless`).

The digest of a package is that of its manifest, which does not name the signature: a package is the same signed or not.
Specification: https://github.com/ossf/model-signing-spec, https://github.com/secure-systems-lab/dsse.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeline.errors import UserError
from kubeline.model_package import certificates, files, keyless, trust

if TYPE_CHECKING:  # only where a certificate is configured
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate

MODEL_SIGNATURE = "model.sig"

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [MODEL_SIGNATURE]}
MOST_BYTES = 2**20


def required() -> bool:
    """Whether packages must be signed here: where a public key, or whose certificates count, is configured."""
    return any(trust.is_set(one) for one in (trust.PUBLIC_KEY, trust.TRUSTED_ROOT, trust.SIGNER))


def check() -> None:
    """Refuse what is configured and cannot be used, before there is anything to sign.

    Raises:
        UserError: when a variable holds nothing of its kind, or what signs is not among what is trusted.
        PlatformError: when Sigstore's client is asked for, and not installed.
    """
    keys = trust.public_keys() if trust.is_set(trust.PUBLIC_KEY) else {}
    names = trust.trusted_names()
    if names and names.is_sigstore:
        keyless.load(names)
    elif names:
        trust.certificates(trust.TRUSTED_ROOT, names.root)
    if not trust.is_set(trust.SIGNING_KEY):
        if trust.is_set(trust.SIGNING_CERTIFICATE):
            raise UserError(f"{trust.SIGNING_CERTIFICATE} is set, but {trust.SIGNING_KEY} is not; give both or neither")
        return
    public = trust.private_key().public_key()
    if trust.is_set(trust.SIGNING_CERTIFICATE):
        _require_trusted_chain(_own_chain(public), names)
    elif required() and trust.fingerprint(public) not in keys:
        raise UserError(
            f"{trust.SIGNING_KEY} signs as key {trust.fingerprint(public)[:12]}, but {trust.PUBLIC_KEY} trusts "
            f"{trust.named(keys) if keys else 'none'}; give the two that belong together"
        )


def _own_chain(public: "ec.EllipticCurvePublicKey") -> "list[Certificate]":
    """The certificate that goes with the key, and those above it."""
    chain = trust.certificates(trust.SIGNING_CERTIFICATE)
    if chain[0].public_key() != public:
        raise UserError(
            f"{trust.SIGNING_CERTIFICATE} begins with a certificate of another key than {trust.SIGNING_KEY}; give the "
            "one of that key first, and then those between it and the root"
        )
    return chain


def _require_trusted_chain(chain: "Sequence[Certificate]", names: trust.TrustedNames | None) -> None:
    if chain[0].not_valid_after_utc < datetime.now(UTC):
        raise UserError(
            f"{trust.SIGNING_CERTIFICATE} ended on {chain[0].not_valid_after_utc:%Y-%m-%d %H:%M} UTC; have a new one "
            "issued"
        )
    if not required():
        return
    if names is None or names.is_sigstore:
        raise UserError(
            f"{trust.SIGNING_CERTIFICATE} signs by a certificate, but {trust.TRUSTED_ROOT} has no certificate of an "
            "authority; give the two that belong together"
        )
    try:
        certificates.trusted_key(chain, names)
    except certificates.RefusedCertificateError as error:
        raise UserError(
            f"{trust.SIGNING_CERTIFICATE} would sign what nobody here trusts: {error}; give the two that belong "
            "together"
        ) from None


def sign(folder: Path, digests: Mapping[str, str]) -> None:
    """Sign a package where a key is configured, else do nothing.

    The same package, key and certificate give the same bytes (deterministic ECDSA, RFC 6979).

    Args:
        folder: of the package.
        digests: the SHA-256 of each of its files, the manifest among them.

    Raises:
        UserError: when `KUBELINE_SIGNING_KEY` is no private key that can sign, or its certificate that of another.
    """
    if not trust.is_set(trust.SIGNING_KEY):
        return
    from cryptography.hazmat.primitives.asymmetric import ec

    key = trust.private_key()
    payload = json.dumps(_statement(digests), sort_keys=True, separators=(",", ":")).encode()
    public = key.public_key()
    signed = key.sign(_pre_authentication(payload), ec.ECDSA(trust.hash_of(public), deterministic_signing=True))
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {**_material(public), "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }
    (folder / MODEL_SIGNATURE).write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")


def _material(public: "ec.EllipticCurvePublicKey") -> dict[str, Any]:
    """What a signature is verified by."""
    if not trust.is_set(trust.SIGNING_CERTIFICATE):
        return {"publicKey": {"hint": trust.fingerprint(public)}}
    from cryptography.hazmat.primitives.serialization import Encoding

    chain = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in _own_chain(public)]
    return {"x509CertificateChain": {"certificates": [{"rawBytes": one} for one in chain]}}


def require_signed(folder: Path, manifest: bytes) -> dict[str, str]:
    """The SHA-256 of each file that a trusted key has signed, after the manifest was found to be one of them.

    Args:
        folder: of the package.
        manifest: content of its manifest, of which nothing was parsed yet.

    Raises:
        UserError: when the package is not signed, by nobody who is trusted, or not with this manifest; or when what
            is configured cannot be used.
        PlatformError: when Sigstore's client is asked for, and not installed.
    """
    if not os.path.lexists(folder / MODEL_SIGNATURE):
        raise UserError(
            f"the model package at '{folder}' is not signed, but {trust.wanted()}; train it where "
            f"{trust.SIGNING_KEY} is set, or sign it by OpenSSF's 'model_signing sign'"
        )
    signed = _resources(folder, _verified(folder))
    found = hashlib.sha256(manifest).hexdigest()
    if signed.get("manifest.json") != found:
        raise UserError(
            f"{MODEL_SIGNATURE} of the model package at '{folder}' is not of this package: it signs a manifest.json of "
            f"SHA-256 {signed.get('manifest.json', 'none')[:12]}, but {found[:12]} is there; do not use it, fetch the "
            "package that was signed"
        )
    return signed


def require_same(folder: Path, signed: Mapping[str, str], named: Mapping[str, str]) -> None:
    """Refuse a signature of other files than the manifest names.

    Args:
        folder: of the package.
        signed: as :func:`require_signed` returns.
        named: the SHA-256 of each file by the manifest, itself not among them.

    Raises:
        UserError: names the first file that only one of the two has, or that they have differently.
    """
    others = {name: digest for name, digest in signed.items() if name != "manifest.json"}
    for name in sorted(others.keys() | named.keys()):
        if others.get(name) != named.get(name):
            raise UserError(
                f"{MODEL_SIGNATURE} of the model package at '{folder}' signs {name[:100]} as "
                f"{others.get(name, 'absent')[:12]}, the manifest names it as {named.get(name, 'absent')[:12]}; sign "
                "the package as train wrote it"
            )


def _statement(digests: Mapping[str, str]) -> dict[str, Any]:
    """The in-toto statement: the files by name, and the digest of their digests as what it is about."""
    resources = [{"name": name, "algorithm": "sha256", "digest": digests[name]} for name in sorted(digests)]
    root = hashlib.sha256(b"".join(bytes.fromhex(digests[name]) for name in sorted(digests))).hexdigest()
    return {
        "_type": _STATEMENT,
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": _PREDICATE,
        "predicate": {"resources": resources, "serialization": _SERIALIZATION},
    }


def _pre_authentication(payload: bytes) -> bytes:
    """What DSSE signs (its PAE): the type and the payload, each behind its length."""
    return f"DSSEv1 {len(_PAYLOAD)} {_PAYLOAD} {len(payload)} ".encode() + payload


def _verified(folder: Path) -> bytes:
    """The statement in the signature, when one who is trusted has signed it."""
    text = files.read(folder, MODEL_SIGNATURE, MOST_BYTES)
    try:
        bundle = json.loads(text)
        if bundle["mediaType"] != _BUNDLE:
            raise _malformed(folder, f"its media type is {str(bundle['mediaType'])[:80]}, not {_BUNDLE}")
        material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        payload, sig = (base64.b64decode(part, validate=True) for part in (envelope["payload"], signature["sig"]))
        if envelope["payloadType"] != _PAYLOAD:
            raise _malformed(folder, f"its payload is {str(envelope['payloadType'])[:80]}, not {_PAYLOAD}")
        hint = str(material["publicKey"].get("hint") or "") if "publicKey" in material else ""
        chain = _parsed_chain(material)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise _malformed(folder, f"{type(error).__name__} {error}"[:200]) from error
    if "publicKey" in material:
        return _verified_by_key(folder, hint, payload, sig)
    if chain:
        return _verified_by_chain(folder, chain, payload, sig)
    return _verified_by_sigstore(folder, text)


def _parsed_chain(material: Any) -> "list[Certificate]":
    """The certificates of a chain; none where a signature has another form."""
    if "publicKey" in material or "x509CertificateChain" not in material:
        return []
    from cryptography.x509 import load_der_x509_certificate

    found = material["x509CertificateChain"]["certificates"]
    chain = [load_der_x509_certificate(base64.b64decode(one["rawBytes"], validate=True)) for one in found]
    if not chain:
        raise ValueError("a chain of no certificates")
    return chain


def _verified_by_key(folder: Path, hint: str, payload: bytes, sig: bytes) -> bytes:
    if not trust.is_set(trust.PUBLIC_KEY):
        raise UserError(
            f"the model package at '{folder}' is signed by a key, but {trust.wanted()}, by a certificate; do not use "
            f"it, or trust its key as well, by {trust.PUBLIC_KEY}"
        )
    trusted = trust.public_keys()
    if hint and hint not in trusted:
        raise UserError(
            f"the model package at '{folder}' is signed by key {hint[:12]}, but {trust.PUBLIC_KEY} trusts "
            f"{trust.named(trusted)}; do not use it, or trust that key as well"
        )
    if not any(_signed_by(key, payload, sig) for key in ([trusted[hint]] if hint else trusted.values())):
        raise UserError(
            f"{MODEL_SIGNATURE} of the model package at '{folder}' was changed after it was signed: "
            f"{trust.named(trusted)} did not sign this statement; do not use it, fetch the package again"
        )
    return payload


def _verified_by_chain(folder: Path, chain: "Sequence[Certificate]", payload: bytes, sig: bytes) -> bytes:
    names = trust.trusted_names()
    if names is None or names.is_sigstore:
        raise UserError(
            f"the model package at '{folder}' is signed by a certificate, but {trust.TRUSTED_ROOT} has no certificate "
            "of an authority; do not use it, or give that of the company's"
        )
    try:
        key = certificates.trusted_key(chain, names)
    except certificates.RefusedCertificateError as error:
        raise UserError(
            f"the model package at '{folder}' is signed by a certificate that does not count: {error}; do not use it, "
            "or trust who signed it"
        ) from None
    if not _signed_by(key, payload, sig):
        raise UserError(
            f"{MODEL_SIGNATURE} of the model package at '{folder}' was changed after it was signed: the key of its "
            "certificate did not sign this statement; do not use it, fetch the package again"
        )
    return payload


def _verified_by_sigstore(folder: Path, text: bytes) -> bytes:
    names = trust.trusted_names()
    if names is None or not names.is_sigstore:
        raise UserError(
            f"the model package at '{folder}' is signed without a key, by Sigstore, but {trust.TRUSTED_ROOT} is not "
            "Sigstore's; do not use it, or give a trusted_root.json"
        )
    try:
        kind, payload = keyless.verified(text.decode(), names)
    except (keyless.RefusedBundleError, UnicodeDecodeError) as error:
        raise UserError(
            f"the model package at '{folder}' is signed without a key, and that does not count: {error}; do not use "
            "it, or trust who signed it"
        ) from None
    if kind != _PAYLOAD:
        raise _malformed(folder, f"its payload is {kind[:80]}, not {_PAYLOAD}")
    return payload


def _signed_by(key: "ec.EllipticCurvePublicKey", payload: bytes, sig: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key.verify(sig, _pre_authentication(payload), ec.ECDSA(trust.hash_of(key)))
    except InvalidSignature:
        return False
    return True


def _resources(folder: Path, payload: bytes) -> dict[str, str]:
    """The SHA-256 of each file that a statement names."""
    try:
        statement = json.loads(payload)
        if (statement["_type"], statement["predicateType"]) != (_STATEMENT, _PREDICATE):
            raise _malformed(folder, f"it states {str(statement['predicateType'])[:80]}, not {_PREDICATE}")
        how = {key: statement["predicate"]["serialization"].get(key) for key in ("method", "hash_type")}
        if how != {"method": "files", "hash_type": "sha256"}:
            raise _malformed(folder, "it signs shards, or by another hash than SHA-256; sign whole files, the default")
        resources = statement["predicate"]["resources"]
        signed = {str(one["name"]): str(one["digest"]) for one in resources}
        root = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
        (subject,) = statement["subject"]
        whole = subject["digest"]["sha256"] == root and len(signed) == len(resources)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _malformed(folder, f"{type(error).__name__} {error}"[:200]) from error
    if not whole:
        raise _malformed(folder, "its files do not add up to the digest that it states")
    return signed


def _malformed(folder: Path, reason: str) -> UserError:
    return UserError(
        f"{MODEL_SIGNATURE} of the model package at '{folder}' is no signature that can be verified: {reason}; sign "
        "the package by OpenSSF's 'model_signing sign'"
    )
