"""Who signs packages and whose signatures count, by environment variables: keys, certificates, identities.

Each variable holds its text or the path of a file that does, so that a secret or a ConfigMap can be mounted.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubeline.errors import UserError, listed
from kubeline.mounted import mounted_text

if TYPE_CHECKING:  # only where a key is configured
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate

SIGNING_KEY = "KUBELINE_SIGNING_KEY"  # a private key as PEM
SIGNING_CERTIFICATE = "KUBELINE_SIGNING_CERTIFICATE"  # its certificate as PEM, and those between it and the root
PUBLIC_KEY = "KUBELINE_PUBLIC_KEY"  # one or several as PEM, any of which may have signed
TRUSTED_ROOT = "KUBELINE_TRUSTED_ROOT"  # certificates of authorities as PEM, or Sigstore's trusted_root.json
SIGNER = "KUBELINE_SIGNER"  # with it: who may have signed, one or several names of certificates
SIGNER_ISSUER = "KUBELINE_SIGNER_ISSUER"  # with Sigstore: who knows them, as an OpenID Connect issuer

_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}  # and the hash that goes with each
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


@dataclass(frozen=True)
class TrustedNames:
    """Certificates that count.

    Attributes:
        root: what they lead to: PEM of certificate authorities, or JSON of Sigstore.
        signers: names, of which a certificate has one: an e-mail address, a URI or a host.
        issuer: who knows the signer, for Sigstore; else empty.
    """

    root: str
    signers: tuple[str, ...]
    issuer: str

    @property
    def is_sigstore(self) -> bool:
        """Whether the root is Sigstore's."""
        return self.root.startswith("{")


def is_set(variable: str) -> bool:
    """Whether a variable of the environment holds anything."""
    return bool(os.environ.get(variable, "").strip())


def wanted() -> str:
    """Whose signature is asked for here, and by which variable, for messages."""
    found = [f"{PUBLIC_KEY} asks for the signature of {named(public_keys())}"] if is_set(PUBLIC_KEY) else []
    if names := trusted_names():
        found.append(f"{SIGNER} {'for that' if found else 'asks for the signature'} of {listed(names.signers)}")
    return " or ".join(found)


def trusted_names() -> TrustedNames | None:
    """Which certificates count; None where none do.

    Raises:
        UserError: when one of the variables that belong together is missing, or the file of the root is.
    """
    if not is_set(TRUSTED_ROOT):
        if is_set(SIGNER):
            raise UserError(
                f"{SIGNER} is set, but {TRUSTED_ROOT} is not, so no certificate could name them; give both or neither"
            )
        return None
    root = _text(TRUSTED_ROOT, "root").strip()
    names = TrustedNames(root, tuple(os.environ.get(SIGNER, "").split()), os.environ.get(SIGNER_ISSUER, "").strip())
    if not names.signers:
        raise UserError(
            f"{TRUSTED_ROOT} is set, but {SIGNER} is not, so anyone whom that authority knows could sign; give the "
            "names of those who may: their e-mail address, URI or host"
        )
    if names.is_sigstore and not names.issuer:
        raise UserError(
            f"{TRUSTED_ROOT} is that of Sigstore, but {SIGNER_ISSUER} is not set; give the OpenID Connect issuer that "
            "knows the signer, such as https://token.actions.githubusercontent.com"
        )
    return names


def certificates(variable: str, text: str = "") -> "list[Certificate]":
    """The certificates in a variable, or in a text that it holds.

    Raises:
        UserError: when there are none that can be read.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates((text or _text(variable, "certificate")).encode())
    except ValueError as error:
        raise UserError(
            f"{variable} holds no certificate that can be read ({error}); give certificates as PEM, or the path of "
            "their file"
        ) from error


def named(keys: Mapping[str, object]) -> str:
    """Keys by the beginnings of their fingerprints, for messages."""
    return f"key{'s' if len(keys) > 1 else ''} {listed(name[:12] for name in keys)}"


def fingerprint(key: "ec.EllipticCurvePublicKey") -> str:
    """The SHA-256 of a public key's PEM form, by which a signature names the key that verifies it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def private_key() -> "ec.EllipticCurvePrivateKey":
    """The key that signs.

    Raises:
        UserError: when the variable holds none.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    blocks = _blocks(SIGNING_KEY, "private")
    try:
        key: Any = load_pem_private_key(blocks[0].encode(), None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise _no_key(SIGNING_KEY, "private", "it cannot be read, or a password protects it") from error
    _supported(key, SIGNING_KEY, "private")
    found: ec.EllipticCurvePrivateKey = key
    return found


def public_keys() -> "dict[str, ec.EllipticCurvePublicKey]":
    """The trusted keys by fingerprint.

    Raises:
        UserError: when the variable holds what is none.
    """
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
    blocks = _PEM.findall(_text(variable, f"{kind} key"))
    if not blocks:
        raise _no_key(variable, kind, "there is no PEM block in it")
    return blocks


def _text(variable: str, what: str) -> str:
    """What a variable holds, or the file that it names."""
    given = os.environ[variable].strip()
    if "-----BEGIN" in given or given.startswith("{"):
        return given
    try:
        return mounted_text(given)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        sentence = f"there is no such file as it names: {reason}"
        if what.endswith("key"):
            raise _no_key(variable, what.removesuffix(" key"), sentence) from error
        raise UserError(
            f"{variable} holds no {what} that can be used: {sentence}; give it as PEM, or the path of its file"
        ) from error


def _supported(key: Any, variable: str, kind: str) -> None:
    if not is_supported(key):
        raise _no_key(variable, kind, "it is not of one of these curves")


def _no_key(variable: str, kind: str, reason: str) -> UserError:
    return UserError(
        f"{variable} holds no {kind} key that can be used: {reason}; give a {kind} key of P-256, P-384 or P-521 as "
        "PEM, or the path of its file"
    )


def is_supported(key: object) -> bool:
    """Whether a key is of a curve that signs packages."""
    return getattr(getattr(key, "curve", None), "name", "") in _CURVES


def hash_of(key: "ec.EllipticCurvePublicKey") -> Any:
    """The hash that goes with the curve of a key."""
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, _CURVES[key.curve.name])()
