"""A file of the web, fetched in one piece or, where the connection breaks, from where it broke."""

import asyncio
import re
from pathlib import Path
from typing import IO, Any

from kubeline.data.transfer import Transfer

_WAITS = (0.2, 1.0, 5.0, 15.0, 30.0)  # seconds after a broken connection, in a row without a new byte
_PIECE = 1 << 20  # bytes


def fetch(system: Any, address: str, path: Path, transfer: Transfer) -> None:
    """Write the file at an address to a path.

    After a break the rest is asked for (Range), of the very content that was begun (If-Range): a server that has other
    content by now, or does not know the request, sends all of it, and is begun anew.

    Args:
        system: file system of fsspec for http or https.
        address: of the file.
        path: new or overwritten.
        transfer: counts the bytes.
    """
    import fsspec.asyn

    with path.open("wb") as file:
        fsspec.asyn.sync(system.loop, _fetch, system, address, file, transfer)


async def _fetch(system: Any, address: str, file: IO[bytes], transfer: Transfer) -> None:
    from aiohttp import ClientConnectionError, ClientPayloadError, ServerTimeoutError

    session = await system.set_session()
    version, waits = "", iter(_WAITS)
    while True:
        begun = file.tell()
        asked = {"Range": f"bytes={begun}-", "If-Range": version} if version else {}
        try:
            async with session.get(system.encode_url(address), headers=asked) as answer:
                system._raise_not_found_for_status(answer, address)
                version = _begin(answer, file, begun, transfer)
                async for piece in answer.content.iter_chunked(_PIECE):
                    file.write(piece)
                    transfer.take(len(piece))
                return
        except (ClientPayloadError, ClientConnectionError) as error:
            if not version or isinstance(error, ServerTimeoutError):
                raise
            if file.tell() > begun:
                waits = iter(_WAITS)
            wait = next(waits, None)
            if wait is None:
                raise
        transfer.check_time()
        await asyncio.sleep(wait)


def _begin(answer: Any, file: IO[bytes], begun: int, transfer: Transfer) -> str:
    """Be where an answer begins; its version by which it can be gone on with, empty where it cannot."""
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", "")) if answer.status == 206 else None
    goes_on = found is not None and int(found[1]) == begun
    if not goes_on:
        file.seek(0)
        file.truncate()
    transfer.require_room(answer.content_length or 0)
    if (begun and not goes_on) or "Content-Encoding" in answer.headers:  # of which another part may be asked for
        return ""
    version = answer.headers.get("ETag", "")
    return "" if version.startswith("W/") else version
