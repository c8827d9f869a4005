"""A bearer token from a mounted file or the environment, for whoever asks for one."""

import os

from kubeline.errors import PlatformError
from kubeline.http.exchange import Peer
from kubeline.mounted import mounted_text


def bearer(token_file: str, token_env: str, peer: Peer, whose: str) -> dict[str, str]:
    """The header that shows the token, read anew because mounted ones are renewed; none when none is asked for.

    Args:
        token_file: file that holds it.
        token_env: or environment variable that does.
        peer: who is shown it.
        whose: what it opens, for messages.

    Raises:
        PlatformError: when there is none, or others could read it on its way.
    """
    if not token_file and not token_env:
        return {}
    if token_env:
        token = os.environ.get(token_env, "").strip()
        if not token:
            raise PlatformError(f"the environment variable {token_env} for the token of {whose} is not set")
    else:
        try:
            token = mounted_text(token_file, "ascii").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not ASCII"
            raise PlatformError(
                f"the token of {whose} cannot be read from '{token_file}' ({reason}); check token_file"
            ) from error
    if not token or any(not "!" <= character <= "~" for character in token):
        raise PlatformError(f"{token_env or token_file} holds no token of {whose}; one word of ASCII is expected")
    if not peer.private:
        raise PlatformError(f"a token is sent over https:// only, but {whose} at {peer.where} are asked over http://")
    return {"Authorization": f"Bearer {token}"}
