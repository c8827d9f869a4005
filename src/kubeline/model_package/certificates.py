"""A signature by a certificate of an authority of one's own: a chain to its root, and the name that may sign.

Specification: https://www.rfc-editor.org/rfc/rfc5280. ``model_signing sign certificate`` and ``verify certificate``
write and read the same.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kubeline.errors import listed
from kubeline.model_package import trust

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import Certificate

_MOST = 10  # certificates of a chain


class RefusedCertificateError(Exception):
    """Says why, as a part of a sentence."""


def trusted_key(chain: "Sequence[Certificate]", names: trust.TrustedNames) -> "ec.EllipticCurvePublicKey":
    """The key of the first certificate of a chain, after all of it was verified.

    A certificate says until when it may sign; a signature outlives it, as packages do, so the chain is verified for
    the beginning of its own time, as `model_signing` does it. Whether a certificate was revoked is not known here.

    Args:
        chain: the signer's certificate, and those between it and a root.
        names: the roots, and whose certificates count.

    Raises:
        RefusedCertificateError: when it leads to no root, was no longer or not yet to be used, is not for signing, or
            has another name.
    """
    if not 0 < len(chain) <= _MOST:
        raise RefusedCertificateError(f"it has {len(chain)} certificates, and 1 to {_MOST} are expected")
    own = chain[0]
    if own.not_valid_before_utc > datetime.now(UTC):
        raise RefusedCertificateError(
            f"its certificate begins on {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, which is to come"
        )
    _verify_chain(chain, names)
    _verify_use(own)
    found = names_of(own)
    if not set(found) & set(names.signers):
        raise RefusedCertificateError(
            f"its certificate is that of {listed(found)[:200]}, and {trust.SIGNER} trusts {listed(names.signers)}"
        )
    key: Any = own.public_key()
    if not trust.is_supported(key):
        raise RefusedCertificateError("the key of its certificate is not of P-256, P-384 or P-521")
    signer: ec.EllipticCurvePublicKey = key
    return signer


def _verify_chain(chain: "Sequence[Certificate]", names: trust.TrustedNames) -> None:
    from cryptography import x509
    from cryptography.x509 import verification

    optional = verification.Criticality.NON_CRITICAL
    # Those of the web, but for their extended use, which is that of web servers and their clients.
    authority, signer = (
        policy.may_be_present(x509.ExtendedKeyUsage, optional, None)
        for policy in (
            verification.ExtensionPolicy.webpki_defaults_ca(),
            verification.ExtensionPolicy.webpki_defaults_ee(),
        )
    )
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(trust.certificates(trust.TRUSTED_ROOT, names.root)))
        .time(chain[0].not_valid_before_utc)
        .extension_policies(ca_policy=authority, ee_policy=signer)
        .build_client_verifier()
    )
    try:
        verifier.verify(chain[0], list(chain[1:]))
    except (verification.VerificationError, x509.UnsupportedGeneralNameType, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RefusedCertificateError(
            f"its certificate does not lead to an authority of {trust.TRUSTED_ROOT} that could vouch for it when it "
            f"began ({reason})"
        ) from None


def _verify_use(own: "Certificate") -> None:
    """By its extended use where it has one: an authority gives certificates to web servers as well."""
    from cryptography import x509

    try:
        usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        allowed = x509.oid.ExtendedKeyUsageOID.CODE_SIGNING in usage
    except x509.ExtensionNotFound:
        try:
            allowed = own.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
        except x509.ExtensionNotFound:
            allowed = False
    if not allowed:
        raise RefusedCertificateError("its certificate is not for signing (extended key usage codeSigning)")


def names_of(own: "Certificate") -> list[str]:
    """Whom a certificate names: e-mail addresses, URIs and hosts."""
    from cryptography import x509

    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:  # which the policies ask for
        return []
    kinds = (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName)
    return [str(name) for kind in kinds for name in names.get_values_for_type(kind)]
