"""An ASGI application on a port of the loopback, in a thread of this process; its connections can be reset."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_RESET = "embedded_kserve.reset"  # the extension of ASGI by which an application resets its connection
_KEEP_ALIVE_SECONDS = 600
_STOP_SECONDS = 1  # for what is being answered
_BACKLOG = 128


class HttpServer:
    """A context manager: answers from start to end. Connections wait from the beginning.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        # Only of a socket that is said to be TCP does asyncio send small answers without waiting for acknowledgements.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(_BACKLOG)
        self.server_port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.server_port}"
        config = uvicorn.Config(
            app,
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._running.set()
        await self._server.serve(sockets=[self._socket])

    def __enter__(self) -> Self:
        self._thread.start()
        self._running.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


class _Protocol(HttpToolsProtocol):
    """HTTP, with a way to reset the connection of a request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {_RESET: self._reset}
        self.scope["extensions"] = extensions

    def _reset(self) -> None:
        """End the connection with a TCP reset."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class ConnectionReset(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reset: Callable[[], None] = scope["extensions"][_RESET]
        reset()
        while (await receive())["type"] != "http.disconnect":
            pass
