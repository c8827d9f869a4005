"""Signatures of packages, as one would make or spoil them."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_private

from tests.support.signing_keys import SigningKeys


def bundle_of(statement: dict[str, Any] | bytes, keys: SigningKeys, material: dict[str, Any] | None = None) -> str:
    """A signature of this statement that a key has really made."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    kind = "application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %s %d " % (len(kind), kind.encode(), len(payload)) + payload
    key: Any = load_private(keys.private.encode(), None)
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {}} if material is None else material,
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": kind,
                "signatures": [{"sig": base64.b64encode(signature).decode()}],
            },
        }
    )


def statement_of(folder: Path) -> dict[str, Any]:
    payload = json.loads((folder / "model.sig").read_text())["dsseEnvelope"]["payload"]
    statement: dict[str, Any] = json.loads(base64.b64decode(payload))
    return statement


def write(folder: Path, text: str) -> None:
    (folder / "model.sig").write_text(text)


def changed(part: str, to: Any) -> Callable[[Path], None]:
    """Change a part of the bundle, which has nothing to do with what was signed."""

    def change(folder: Path) -> None:
        bundle = json.loads((folder / "model.sig").read_text())
        where = bundle
        *above, last = part.split(".")
        for name in above:
            where = where[name]
        where[last] = to
        write(folder, json.dumps(bundle))

    return change


def chained(*certificates: x509.Certificate) -> dict[str, Any]:
    """The material of a signature by a certificate."""
    found = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in certificates]
    return {"x509CertificateChain": {"certificates": [{"rawBytes": one} for one in found]}}
