"""A Kubeflow Pipelines server on loopback, and pipelines to run there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubeline.cli import main
from tests.support.commands import Ran
from tests.support.kfp_server import KfpServer
from tests.support.vertex_server import VertexServer

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpServer]:
    """The server; the environment names it. No client may have sent what the API does not know."""
    server = KfpServer()
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    for name in ("KUBELINE_KFP_TOKEN", "KUBELINE_DEX_PASSWORD", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.close()
    assert server.problems == []


@pytest.fixture
def plain() -> Path:
    """A compiled pipeline with one parameter, `text`."""
    return SAMPLES / "good" / "plain.yaml"


@pytest.fixture
def vertex() -> Iterator[VertexServer]:
    """Vertex AI's services; no client may have sent what they do not know."""
    server = VertexServer()
    yield server
    server.close()
    assert server.refused == []


@pytest.fixture
def submit(plain: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`submit(*options)`: submit the plain pipeline; returns the exit code, what was printed, and the error."""

    def run(*options: str, pipeline: Path = plain) -> Ran:
        code = main(["submit", str(pipeline), "--poll", "0.01", *options])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
