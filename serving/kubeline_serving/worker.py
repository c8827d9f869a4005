"""One process of the server: HTTP, gRPC and observers, from start to drain."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from kubeline.errors import KubelineError
from kubeline_serving.codec.v1 import V1
from kubeline_serving.codec.v2 import V2
from kubeline_serving.connections import connections_of
from kubeline_serving.cpus import usable_cpus
from kubeline_serving.exchange import Observer
from kubeline_serving.grpc.server import GrpcServer
from kubeline_serving.http.application import Application
from kubeline_serving.http.predictions import PredictionRoutes
from kubeline_serving.inference.engine import Engine, Limits
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.inference.wait_estimate import WaitEstimate
from kubeline_serving.limits import RequestLimits
from kubeline_serving.memory import TrimSchedule, resident_bytes, trim_memory
from kubeline_serving.observability import logs
from kubeline_serving.observability.logs import RequestLog
from kubeline_serving.observability.metrics import ServerMetrics
from kubeline_serving.observability.tracing import Tracing, collector
from kubeline_serving.options import Options, read_options
from kubeline_serving.service import PredictionService
from kubeline_serving.state import ServerState

logger = logging.getLogger(__name__)

METRICS_FOLDER = "KUBELINE_METRICS_FOLDER"  # names the counters that the workers share
_COUNT_SECONDS = 0.25
_LITTLE = 2**20  # bytes of requests
_SWITCH_SECONDS = 0.0005  # for which a thread may keep the interpreter from the event loop
STARTUP_FAILURE = 3  # the exit code by which uvicorn's supervisor knows that another try would fail as well

# New objects between two garbage collections. A request leaves no cycles, and to traverse those that wait takes long.
_GARBAGE_EVERY = 10_000


class Worker:
    """Serves one verified package over HTTP and gRPC.

    Args:
        options: of the command line.
        estimate: of the time that a request would wait; see :class:`kubeline_serving.inference.engine.Engine`.

    Raises:
        UserError: when the package must not be served.
        PlatformError: when the payload log cannot be written.
    """

    def __init__(self, options: Options, estimate: WaitEstimate | None = None):
        self._options = options
        cpus = max(1, usable_cpus() // options.workers)
        threads = options.onnx_threads or cpus
        self._model = ServedModel(options.model_name, options.model_dir, threads, options.package_digest)
        logger.info("ONNX Runtime threads for one prediction: %d", threads)
        self._engine = Engine(self._model, _engine_limits(options, cpus), estimate=estimate)
        folder = os.environ.get(METRICS_FOLDER)
        self._metrics = metrics = ServerMetrics(
            options.model_name, self._model.package, Path(folder) if folder else None
        )
        metrics.watch_queue(lambda: self._engine.queue_length)
        self._observers = _observers(options, self._model, metrics)
        signature = self._model.signature
        limits = _request_limits(options)
        self._state = ServerState(limits)
        v2 = V2(signature, self._model.name, self._model.version, options.max_rows, limits.parsed_bytes)
        service = PredictionService(self._engine, self._observers)
        self._grpc = GrpcServer(service, v2, self._state)
        predictions = PredictionRoutes(service, V1(signature, options.max_rows, limits.parsed_bytes), v2)
        self.application = Application(self._model, predictions, v2, metrics, self._state, self._lifespan)

    async def _lifespan(self, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Start and stop with uvicorn (ASGI lifespan protocol)."""
        options = self._options
        await receive()
        self._drain_at_end()
        if options.enable_grpc:
            await self._grpc.start(options.host, options.grpc_port, options.ssl_certfile, options.ssl_keyfile)
        logger.info(
            "serving model '%s' version %s on port %d", self._model.name, self._model.version, options.http_port
        )
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.collect()
        gc.freeze()  # what was loaded stays: the collector need not traverse it again
        gc.set_threshold(_GARBAGE_EVERY)
        self._trimming = TrimSchedule(resident_bytes())
        self._flush_periodically()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._grpc.stop(options.grace_seconds)
        await asyncio.to_thread(self._close)
        await send({"type": "lifespan.shutdown.complete"})

    def _flush_periodically(self) -> None:
        """Flush the metrics, which another worker may be asked for, and release memory."""
        self._metrics.flush()
        if self._trimming.is_due(resident_bytes(), monotonic()):
            self._trim_memory()
        asyncio.get_running_loop().call_later(_COUNT_SECONDS, self._flush_periodically)

    def _trim_memory(self) -> None:
        """Give back what is free, unless requests are in the way."""
        if self._state.budget.held < _LITTLE:
            gc.collect()  # gRPC leaves calls in cycles, and with them what its core holds of their messages
        asyncio.get_running_loop().run_in_executor(None, trim_memory)

    def _close(self) -> None:
        self._engine.close()
        for observer in self._observers:
            observer.close()

    def _drain_at_end(self) -> None:
        """Drain on SIGTERM, or when the process that started this worker is gone."""
        stop = signal.getsignal(signal.SIGTERM)  # uvicorn's: stop listening, and end the open requests
        loop = asyncio.get_running_loop()

        def drain(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
            if callable(stop):
                if self._state.draining:  # a second signal: at once
                    stop(number, frame)
                self._state.draining = True
                loop.call_soon_threadsafe(loop.call_later, self._options.drain_seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, drain)
        parent = multiprocessing.parent_process()
        if parent is not None:
            loop.add_reader(parent.sentinel, self._parent_exited, parent.sentinel, drain)

    def _parent_exited(self, sentinel: int, drain: Callable[[], None]) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        drain()


def create_application() -> Application:
    """The application of one of several workers, which reads the same command line as the process that started it."""
    logs.configure()
    try:
        return Worker(read_options()).application
    except KubelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)


def exit_in_order() -> None:
    """Let a signal that uvicorn has handled, and raises once more when everything has ended, be exit code 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))


def _request_limits(options: Options) -> RequestLimits:
    return RequestLimits(
        options.max_body_bytes,
        options.timeout_ms / 1000,
        max(options.max_buffered_bytes, options.max_body_bytes),
        options.max_parsed_bytes,
        connections_of(options.max_connections),
        options.model_control,
    )


def _engine_limits(options: Options, cpus: int) -> Limits:
    return Limits(
        options.max_queue_ms / 1000,
        options.timeout_ms / 1000,
        options.max_batch_rows,
        options.batch_wait_ms / 1000,
        cpus=cpus,
    )


def _observers(options: Options, model: ServedModel, metrics: ServerMetrics) -> list[Observer]:
    observers: list[Observer] = [metrics]
    if address := collector(options.otlp_endpoint):
        observers.insert(0, Tracing(address, model.name, model.version))
    if options.payload_log:
        from kubeline_serving.payload_log.log import open_log

        observers.append(open_log(options, model, metrics.count_payload_rows))
    names = [*model.signature.names, "prediction", "probability"]
    observers.append(RequestLog(model.name, model.version, names, options.access_log))
    return observers
