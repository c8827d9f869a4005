"""Pairs of keys that sign packages, as OpenSSL would make them."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@dataclass(frozen=True)
class SigningKeys:
    """A pair as PEM."""

    private: str
    public: str


def signing_keys(curve: ec.EllipticCurve | None = None) -> SigningKeys:
    """A new pair, of P-256 unless another curve is given."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SigningKeys(private.decode(), public.decode())
