"""The credentials of Snowflake's SQL API: a key pair, by which short tokens are signed, or a token of the user."""

import base64
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kubeline.errors import PlatformError, UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

USER, FILE, PASSPHRASE, TOKEN = (
    "SNOWFLAKE_USER",
    "SNOWFLAKE_PRIVATE_KEY_FILE",
    "SNOWFLAKE_PRIVATE_KEY_FILE_PWD",
    "SNOWFLAKE_TOKEN",
)
_SECONDS = 600  # that a token is valid
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Key:
    """What requests are signed with: `token`, or else the private key of a user (``ACCOUNT.USER``)."""

    who: str = ""
    private: "RSAPrivateKey | None" = None
    token: str = ""

    @classmethod
    def of(cls, account: str, user: str, name: str) -> Self:
        """The credentials of the environment.

        Args:
            account: of the address.
            user: of the address, or empty for ``SNOWFLAKE_USER``.
            name: of the address, in messages.

        Raises:
            PlatformError: when there are none.
            UserError: when the file has no such key.
        """
        path, token = os.environ.get(FILE, ""), os.environ.get(TOKEN, "").strip()
        user = user or os.environ.get(USER, "")
        if token and not path:
            return cls(token=token)
        if not path or not user:
            raise PlatformError(
                f"'{name}' needs Snowflake's credentials, and there are none; set {FILE} to a private key and {USER} "
                f"to its user, or {TOKEN} to a programmatic access token"
            )
        locator = account if ".global" in account.lower() else account.partition(".")[0]  # without region and cloud
        locator = locator.partition("-")[0] if ".global" in account.lower() else locator
        return cls(f"{locator}.{user}".upper(), _private(Path(path)))

    @property
    def what(self) -> str:
        """The credentials, in a sentence."""
        return f"the key of {self.who}" if self.private else "the token"

    @property
    def remedy(self) -> str:
        """What to do when they are refused."""
        return (
            "give the user its public key (ALTER USER … SET RSA_PUBLIC_KEY), and check the account and the clock"
            if self.private
            else f"set {TOKEN} to a programmatic access token that is valid"
        )

    def headers(self) -> dict[str, str]:
        """Of one request."""
        if self.private is None:
            return _headers("PROGRAMMATIC_ACCESS_TOKEN", self.token)
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from google.auth import jwt
        from google.auth.crypt.rsa import RSASigner

        public = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        known_by = base64.b64encode(hashlib.sha256(public).digest()).decode()
        now = int(time.time())
        claims = {"iss": f"{self.who}.SHA256:{known_by}", "sub": self.who, "iat": now, "exp": now + _SECONDS}
        return _headers("KEYPAIR_JWT", jwt.encode(RSASigner(self.private), claims).decode())


def _headers(kind: str, token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Snowflake-Authorization-Token-Type": kind}


def _private(path: Path) -> "RSAPrivateKey":
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise UserError(f"{FILE} is '{path}'; expected a file with a private key")
    passphrase = os.environ.get(PASSPHRASE) or None
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase and passphrase.encode())
    except (ValueError, TypeError, OSError) as error:
        raise UserError(
            f"{FILE} is '{path}', and cannot be read as a private key ({error}); expected PKCS 8 in PEM, and "
            f"{PASSPHRASE} where it is encrypted"
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise UserError(f"{FILE} is '{path}', which is no RSA key; Snowflake takes RSA keys of 2,048 bits and more")
    return key
