"""A bearer token from a mounted file or the environment, for whoever asks for one."""

import os

from kubeline.errors import PlatformError, UserError
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
            token = secret_in(token_file, f"the token of {whose}")
        except UserError as error:  # a mounted one may come later
            raise PlatformError(f"{error} (token_file)") from error
    if not token or any(not "!" <= character <= "~" for character in token):
        raise PlatformError(f"{token_env or token_file} holds no token of {whose}; one word of ASCII is expected")
    if not peer.private:
        raise PlatformError(f"a token is sent over https:// only, but {whose} at {peer.where} are asked over http://")
    return {"Authorization": f"Bearer {token}"}


def secret_in(file: str, what: str) -> str:
    """The one line of a file.

    Args:
        file: holds it.
        what: it is, for messages, such as ``the token``.

    Raises:
        UserError: when it cannot be read, or there is none.
    """
    try:
        text = mounted_text(file, "ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not ASCII"
        raise UserError(f"{what} cannot be read from '{file}' ({reason}); give another file") from error
    if not text or any(not " " <= character <= "~" for character in text):
        raise UserError(f"'{file}' holds no {what.removeprefix('the ')}; one line of ASCII is expected")
    return text
