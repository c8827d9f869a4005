"""A keyless signature: a certificate of minutes from Sigstore's Fulcio for an identity, and an entry of its log.

Sigstore's own client verifies it (the extra ``sigstore``), without a network: the bundle holds the log's proofs, and
the roots that they are held against are configured as Sigstore's ``trusted_root.json``.
"""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kubeline.errors import PlatformError, UserError, listed
from kubeline.model_package import certificates, trust

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier


class RefusedBundleError(Exception):
    """Says why, as a part of a sentence."""


def verified(bundle: str, names: trust.TrustedNames) -> tuple[str, bytes]:
    """The type and the payload of what one of the trusted names has signed.

    Args:
        bundle: as JSON.
        names: the root, and whose signatures count.

    Raises:
        RefusedBundleError: when it is not signed by one of them, or there is no proof of when.
        UserError: when the root is none.
        PlatformError: when Sigstore's client is not installed.
    """
    verifier = load(names)
    from sigstore import models

    try:
        kind, payload = verifier.verify_dsse(models.Bundle.from_json(bundle), _TrustedIdentity(names))
    except Exception as error:  # whatever a stranger's bundle leads to, it is no proof
        reason = " ".join(str(error).partition(" [type=")[0].split())[:300] or type(error).__name__
        raise RefusedBundleError(f"Sigstore refuses it ({reason})") from None
    return str(kind), bytes(payload)


class _TrustedIdentity:
    """A policy of Sigstore's: a certificate has one of the trusted names, by the issuer that is trusted for them."""

    def __init__(self, names: trust.TrustedNames) -> None:
        self._names = names

    def verify(self, cert: "Certificate") -> None:
        """Raise Sigstore's VerificationError unless it has."""
        from sigstore.errors import VerificationError
        from sigstore.verify import policy

        found = certificates.names_of(cert)
        if not set(found) & set(self._names.signers):
            raise VerificationError(
                f"its certificate is that of {listed(found)[:200]}, and {trust.SIGNER} trusts "
                f"{listed(self._names.signers)}"
            )
        issuer = self._names.issuer
        try:
            policy.AnyOf([policy.Identity(identity=signer, issuer=issuer) for signer in self._names.signers]).verify(
                cert
            )
        except VerificationError:
            raise VerificationError(
                f"{listed(found)[:200]} is known to another issuer than {issuer}, which {trust.SIGNER_ISSUER} names"
            ) from None


def load(names: trust.TrustedNames) -> "Verifier":
    """Sigstore's verifier with the configured root.

    Raises:
        UserError: when the root is none.
        PlatformError: when Sigstore's client is not installed.
    """
    try:
        from sigstore import models
        from sigstore.verify import Verifier
    except ImportError:
        raise PlatformError(
            f"{trust.TRUSTED_ROOT} is that of Sigstore, but the package sigstore is missing here; use an image with "
            "kubeline[sigstore], or trust a key or a certificate authority"
        ) from None
    try:
        document = json.loads(names.root)
        with tempfile.TemporaryDirectory(prefix="kubeline-") as folder:
            place = Path(folder) / "trusted_root.json"
            # What a client signs by (`--trust_config` of model_signing) holds it as a part.
            place.write_text(json.dumps(document.get("trustedRoot", document)), encoding="utf-8")
            return Verifier(trusted_root=models.TrustedRoot.from_file(str(place)))
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{trust.TRUSTED_ROOT} holds no root of Sigstore that can be used ({reason}); give a trusted_root.json"
        ) from error
