"""The servers that are compared, how each is started, and the forms in which each is asked."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.forms import Form, columns, grpc_form, records, v2, v2_binary
from benchmarks.serving.processes import Server, running
from kubeline.model_package import ModelPackage
from kubeline.ports import free_ports

MODEL = "flights"
V1 = f"/v1/models/{MODEL}:predict"
V2 = f"/v2/models/{MODEL}/infer"
PEERS = Path(".cache/bench-serving").absolute()  # the environments that `make bench-serving` makes
_HERE = Path(__file__).parent

# a package, ports of HTTP and gRPC, a folder to write to: the command and its environment
Start = Callable[[ModelPackage, tuple[int, int], Path], tuple[list[str], Mapping[str, str]]]


@dataclass(frozen=True)
class Contender:
    """A server.

    Attributes:
        name: as the table shows it.
        start: makes its command.
        ready: the path that answers 200 when it is ready.
        forms: in which it is asked.
        missing: why it cannot be started here; empty when it can.
    """

    name: str
    start: Start
    ready: str = "/v2/health/ready"
    forms: tuple[Form, ...] = field(default=())
    missing: str = ""

    @contextmanager
    def serve(self, package: ModelPackage, folder: Path) -> Iterator[Server]:
        """Run it on a package; `folder` is for what it writes, and is emptied first."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        ports = free_ports(2)
        both = (ports[0], ports[1])
        command, environment = self.start(package, both, folder)
        with running(command, both, self.ready, folder / "server.log", environment) as server:
            yield server


def ours(*options: str, name: str = "kubeline") -> Contender:
    """This server with everything on: validation, metrics and payload log; `options` are added to its command."""

    def start(package: ModelPackage, ports: tuple[int, int], folder: Path) -> tuple[list[str], Mapping[str, str]]:
        command = _command("kubeline_serving", package, ports)
        return [*command, "--onnx_threads", "1", "--payload_log", str(folder / "payloads"), *options], {}

    forms = (records(V1, key="probabilities"), v2(V2), v2_binary(V2), grpc_form(MODEL))
    return Contender(name, start, forms=forms)


def all_contenders() -> list[Contender]:
    """Ours first, then its peers, then the limit."""
    pandas = {"parameters": {"content_type": "pd"}}
    kserve_sklearn = (
        columns(V1),
        v2(V2, "output-0", pandas),
        grpc_form(MODEL, "output-0", raw=False, pandas=True),
    )
    kserve_onnx = (records(V1), v2(V2), v2_binary(V2), grpc_form(MODEL))
    text = {"parameters": {"content_type": "str"}}
    mlserver = (
        v2(V2, "predict_proba", pandas, text),
        grpc_form(MODEL, "predict_proba", raw=False, pandas=True, text=True),
    )
    return [
        ours(),
        Contender("KServe scikit-learn server", _module("kserve_sklearn"), forms=kserve_sklearn),
        Contender("KServe SDK + ONNX Runtime", _module("kserve_onnx"), forms=kserve_onnx),
        Contender("MLServer", _mlserver, forms=mlserver, missing=_missing("mlserver")),
        Contender("BentoML", _bentoml, "/readyz", (records("/predict"),), _missing("bentoml")),
        Contender("FastAPI as in tutorials", _module("fastapi_pandas", grpc=False), "/health", (records("/predict"),)),
        Contender("bare ASGI limit", _module("bare_asgi", grpc=False), "/", (records("/"), v2("/"))),
    ]


def trivial() -> Contender:
    """Answers the same to everything: the limit of the load generator over HTTP, of ``grpc.aio`` itself over gRPC."""

    def start(package: ModelPackage, ports: tuple[int, int], folder: Path) -> tuple[list[str], Mapping[str, str]]:
        module = "benchmarks.serving.peers.trivial"
        return [sys.executable, "-m", module, "--http_port", str(ports[0]), "--grpc_port", str(ports[1])], {}

    return Contender(
        "a server that does nothing", start, "/", (records("/"), v2("/"), v2_binary("/"), grpc_form(MODEL))
    )


def _command(module: str, package: ModelPackage, ports: tuple[int, int]) -> list[str]:
    http = ["--model_dir", str(package.path.absolute()), "--http_port", str(ports[0])]
    return [sys.executable, "-m", module, *http, "--grpc_port", str(ports[1]), "--model_name", MODEL]


def _module(name: str, grpc: bool = True) -> Start:
    def start(package: ModelPackage, ports: tuple[int, int], folder: Path) -> tuple[list[str], Mapping[str, str]]:
        command = _command(f"benchmarks.serving.peers.{name}", package, ports)
        return (command if grpc else command[: command.index("--grpc_port")]), {}

    return start


def _mlserver(package: ModelPackage, ports: tuple[int, int], folder: Path) -> tuple[list[str], Mapping[str, str]]:
    """One process, as the others; by default MLServer puts the model into a second one."""
    extra = {"predict_fn": "predict_proba"}
    model = {"uri": str((package.path / "model.joblib").absolute()), "extra": extra}
    settings = {
        "host": "127.0.0.1",
        "http_port": ports[0],
        "grpc_port": ports[1],
        "parallel_workers": 0,
        "debug": False,
    }
    settings["metrics_port"] = free_ports(1)[0]
    named = {"name": MODEL, "implementation": "mlserver_sklearn.SKLearnModel", "parameters": model}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(named), encoding="utf-8")
    python = PEERS / "mlserver" / "bin" / "python"
    return [str(python), str(python.with_name("mlserver")), "start", str(folder)], {}


def _bentoml(package: ModelPackage, ports: tuple[int, int], folder: Path) -> tuple[list[str], Mapping[str, str]]:
    python = PEERS / "bentoml" / "bin" / "python"
    command = [str(python), "-m", "bentoml", "serve", "bento:Flights", "--working-dir", str(_HERE / "peers")]
    environment = {
        "MODEL_DIR": str(package.path.absolute()),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    return [*command, "--host", "127.0.0.1", "--port", str(ports[0])], environment


def _missing(peer: str) -> str:
    python = PEERS / peer / "bin" / "python"
    return "" if python.exists() else "not installed: its environment is made by make bench-serving"
