"""A server on the loopback interface that answers with any bytes, as slowly and as many as is set."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Talk = Callable[[socket.socket], None]
"""What is done with a connection whose request has been read."""


@contextmanager
def lying(talk: Talk) -> Iterator[str]:
    """Serve until the end of the block; yields the URL."""
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            read = b""
            while b"\r\n\r\n" not in read:
                if not (more := connection.recv(65536)):
                    return
                read += more
            talk(connection)

    def accept() -> None:
        while not over.is_set():
            with suppress(OSError):
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        over.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def saying(*parts: bytes) -> Talk:
    """Says the parts, and closes."""
    return lambda connection: connection.sendall(b"".join(parts))


def answer(body: bytes, status: str = "200 OK", headers: bytes = b"", length: int | None = None) -> Talk:
    """An answer whose length may be another one than it says."""
    said = str(len(body) if length is None else length).encode()
    return saying(b"HTTP/1.1 ", status.encode(), b"\r\n", headers, b"Content-Length: ", said, b"\r\n\r\n", body)


def dripping(first: bytes, pause: float = 0.02) -> Talk:
    """Says the first bytes, and then one byte now and then, for ever."""
    return _forever(first, b"1", pause)


def gushing(first: bytes) -> Talk:
    """Says the first bytes, and then as much as is read."""
    return _forever(first, b"#" * 2**20, 0.0)


def _forever(first: bytes, more: bytes, pause: float) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(first)
        while not threading.Event().wait(pause):
            connection.sendall(more)

    return talk
