"""The signature of a package, in the form of OpenSSF model signing: who vouches for its bytes.

``model.sig`` beside the manifest is a Sigstore bundle: a DSSE envelope with an in-toto statement that names the SHA-256
of every file of the package, signed with an elliptic curve key. `model_signing sign key` and `model_signing verify key`
write and read the same file. Only this form is needed here, so `cryptography`, which every image has, does it; the
library itself would bring 50 MB of Sigstore's clients into the server.

The digest of a package is that of its manifest, which does not name the signature: a package is the same signed or not.
Specification: https://github.com/ossf/model-signing-spec, https://github.com/secure-systems-lab/dsse.
"""

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeline.errors import UserError, listed
from kubeline.model_package import files
from kubeline.mounted import mounted_text

if TYPE_CHECKING:  # only where a key is configured
    from cryptography.hazmat.primitives.asymmetric import ec

MODEL_SIGNATURE = "model.sig"
# Each holds a key as PEM, or the path of a file that does.
SIGNING_KEY = "KUBELINE_SIGNING_KEY"  # private
PUBLIC_KEY = "KUBELINE_PUBLIC_KEY"  # one or several, any of which may have signed

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [MODEL_SIGNATURE]}
MOST_BYTES = 2**20
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}  # and the hash that goes with each
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


def required() -> bool:
    """Whether packages must be signed here: where a public key is configured."""
    return bool(os.environ.get(PUBLIC_KEY, "").strip())


def check() -> None:
    """Refuse keys that are configured and cannot be used, before there is anything to sign.

    Raises:
        UserError: when a variable holds no key of its kind, or the key that signs is not among those that are trusted.
    """
    trusted = _public_keys() if required() else {}
    if os.environ.get(SIGNING_KEY, "").strip():
        name = fingerprint(_private_key().public_key())
        if trusted and name not in trusted:
            raise UserError(
                f"{SIGNING_KEY} signs as key {name[:12]}, but {PUBLIC_KEY} trusts {_named(trusted)}; give the two that "
                "belong together"
            )


def sign(folder: Path, digests: Mapping[str, str]) -> None:
    """Sign a package where a key is configured, else do nothing.

    The same package and key give the same bytes (deterministic ECDSA, RFC 6979).

    Args:
        folder: of the package.
        digests: the SHA-256 of each of its files, the manifest among them.

    Raises:
        UserError: when `KUBELINE_SIGNING_KEY` is no private key that can sign.
    """
    if not os.environ.get(SIGNING_KEY, "").strip():
        return
    from cryptography.hazmat.primitives.asymmetric import ec

    key = _private_key()
    payload = json.dumps(_statement(digests), sort_keys=True, separators=(",", ":")).encode()
    public = key.public_key()
    signed = key.sign(_pre_authentication(payload), ec.ECDSA(_hash_of(public), deterministic_signing=True))
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": fingerprint(public)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }
    (folder / MODEL_SIGNATURE).write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")


def require_signed(folder: Path, manifest: bytes) -> dict[str, str]:
    """The SHA-256 of each file that a trusted key has signed, after the manifest was found to be one of them.

    Args:
        folder: of the package.
        manifest: content of its manifest, of which nothing was parsed yet.

    Raises:
        UserError: when the package is not signed, by no trusted key, or not with this manifest; or when
            `KUBELINE_PUBLIC_KEY` holds no public key.
    """
    trusted = _public_keys()
    if not os.path.lexists(folder / MODEL_SIGNATURE):
        raise UserError(
            f"the model package at '{folder}' is not signed, but {PUBLIC_KEY} asks for the signature of "
            f"{_named(trusted)}; train it where {SIGNING_KEY} is set, or sign it by OpenSSF's 'model_signing sign key'"
        )
    signed = _resources(folder, _verified(folder, trusted))
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


def fingerprint(key: "ec.EllipticCurvePublicKey") -> str:
    """The SHA-256 of a public key's PEM form, by which a signature names the key that verifies it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


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


def _verified(folder: Path, trusted: "Mapping[str, ec.EllipticCurvePublicKey]") -> bytes:
    """The statement in the signature, when a trusted key has signed it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        bundle = json.loads(files.read(folder, MODEL_SIGNATURE, MOST_BYTES))
        if bundle["mediaType"] != _BUNDLE:
            raise _malformed(folder, f"its media type is {str(bundle['mediaType'])[:80]}, not {_BUNDLE}")
        material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
        if "publicKey" not in material:
            raise _malformed(
                folder, "it was made with a certificate, as keyless signing does, and here only keys are verified"
            )
        hint = str(material["publicKey"].get("hint") or "")
        (signature,) = envelope["signatures"]
        payload, sig = (base64.b64decode(text, validate=True) for text in (envelope["payload"], signature["sig"]))
        if envelope["payloadType"] != _PAYLOAD:
            raise _malformed(folder, f"its payload is {str(envelope['payloadType'])[:80]}, not {_PAYLOAD}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise _malformed(folder, f"{type(error).__name__} {error}"[:200]) from error
    if hint and hint not in trusted:
        raise UserError(
            f"the model package at '{folder}' is signed by key {hint[:12]}, but {PUBLIC_KEY} trusts {_named(trusted)}; "
            "do not use it, or trust that key as well"
        )
    for key in [trusted[hint]] if hint else trusted.values():
        try:
            key.verify(sig, _pre_authentication(payload), ec.ECDSA(_hash_of(key)))
        except InvalidSignature:
            continue
        return payload
    raise UserError(
        f"{MODEL_SIGNATURE} of the model package at '{folder}' was changed after it was signed: {_named(trusted)} did "
        "not sign this statement; do not use it, fetch the package again"
    )


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
        "the package by OpenSSF's 'model_signing sign key'"
    )


def _named(keys: Mapping[str, object]) -> str:
    return f"key{'s' if len(keys) > 1 else ''} {listed(name[:12] for name in keys)}"


def _private_key() -> "ec.EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    blocks = _blocks(SIGNING_KEY, "private")
    try:
        key: Any = load_pem_private_key(blocks[0].encode(), None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise _no_key(SIGNING_KEY, "private", "it cannot be read, or a password protects it") from error
    _supported(key, SIGNING_KEY, "private")
    found: ec.EllipticCurvePrivateKey = key
    return found


def _public_keys() -> "dict[str, ec.EllipticCurvePublicKey]":
    """The trusted keys by fingerprint."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys: dict[str, ec.EllipticCurvePublicKey] = {}
    for block in _blocks(PUBLIC_KEY, "public"):
        try:
            key: Any = load_pem_public_key(block.encode())
        except ValueError as error:
            raise _no_key(PUBLIC_KEY, "public", "it cannot be read") from error
        _supported(key, PUBLIC_KEY, "public")
        keys[fingerprint(key)] = key
    return keys


def _blocks(variable: str, kind: str) -> Sequence[str]:
    """The PEM blocks of a variable, or of the file that it names."""
    given = os.environ[variable].strip()
    if "-----BEGIN" not in given:
        try:
            given = mounted_text(given)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise _no_key(variable, kind, f"there is no such file as it names: {reason}") from error
    blocks = _PEM.findall(given)
    if not blocks:
        raise _no_key(variable, kind, "there is no PEM block in it")
    return blocks


def _supported(key: Any, variable: str, kind: str) -> None:
    if getattr(getattr(key, "curve", None), "name", "") not in _CURVES:
        raise _no_key(variable, kind, "it is not of one of these curves")


def _no_key(variable: str, kind: str, reason: str) -> UserError:
    return UserError(
        f"{variable} holds no {kind} key that can be used: {reason}; give a {kind} key of P-256, P-384 or P-521 as "
        "PEM, or the path of its file"
    )


def _hash_of(key: "ec.EllipticCurvePublicKey") -> Any:
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, _CURVES[key.curve.name])()
