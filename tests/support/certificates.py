"""Certificate authorities of a test, and what they issue."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CODE_SIGNING = x509.oid.ExtendedKeyUsageOID.CODE_SIGNING
DAY = datetime.timedelta(days=1)
_LONG = 3650 * DAY

Build = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


@dataclass(frozen=True)
class Signer:
    """A key with its certificate and those above it, but for the root."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def private(self) -> str:
        """The key as PEM."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Authority:
    """A certificate authority: a root, or one below another."""

    def __init__(
        self, name: str, above: "Authority | None" = None, begins: datetime.datetime | None = None, lasts: Any = _LONG
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.above = above
        self.certificate: x509.Certificate
        begins = begins or now() - 365 * DAY
        builder = self._builder(name, self.key.public_key(), begins, lasts)
        usage = {name: name in {"key_cert_sign", "crl_sign"} for name in _USAGES}
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        issuer = above or self
        builder = builder.issuer_name(_named(name) if above is None else above.certificate.subject)
        self.certificate = _with_keys(builder, self.key.public_key(), issuer.key.public_key()).sign(
            issuer.key, hashes.SHA256()
        )

    def issue(
        self,
        public: ec.EllipticCurvePublicKey,
        names: Sequence[x509.GeneralName],
        *,
        begins: datetime.datetime | None = None,
        lasts: Any = DAY,
        uses: Sequence[x509.ObjectIdentifier] = (CODE_SIGNING,),
        subject: str = "",
        more: Build = lambda builder: builder,
    ) -> x509.Certificate:
        """A certificate for these names."""
        builder = self._builder(subject, public, begins or now() - 60 * datetime.timedelta(seconds=1), lasts)
        builder = builder.issuer_name(self.certificate.subject)
        usage = x509.KeyUsage(**{name: name == "digital_signature" for name in _USAGES})
        builder = builder.add_extension(usage, critical=True)
        if uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=True)
        builder = _with_keys(builder, public, self.key.public_key())
        return more(builder).sign(self.key, hashes.SHA256())

    def signer(self, *names: x509.GeneralName, curve: ec.EllipticCurve | None = None, **given: Any) -> Signer:
        """One who has a key and a certificate."""
        key = ec.generate_private_key(curve or ec.SECP256R1())
        chain = [self.issue(key.public_key(), names, **given)]
        authority: Authority | None = self
        while authority and authority.above:
            chain.append(authority.certificate)
            authority = authority.above
        return Signer(key, tuple(chain))

    def _builder(self, name: str, public: Any, begins: datetime.datetime, lasts: Any) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(_named(name)).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(begins).not_valid_after(begins + lasts)


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else [])


def _with_keys(builder: x509.CertificateBuilder, own: Any, above: Any) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
