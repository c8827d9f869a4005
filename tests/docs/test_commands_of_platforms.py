"""Whoever follows the pages on platforms gets through: Kubeflow Pipelines and Vertex AI are servers on loopback."""

import io
import shutil
from collections.abc import Iterator
from contextlib import chdir, closing, redirect_stdout
from pathlib import Path

import pytest
import yaml

from kubeline.cli import main
from tests.support.kfp_server import KfpServer
from tests.support.pages import ROOT, blocks
from tests.support.shells import Shell
from tests.support.vertex_server import VertexServer

PAGE = "docs/platforms.md"
RUN = "9e056bfe-237d-4fb1-bb6b-5dc0847163c6"  # on the page, and recorded


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with closing(KfpServer()) as server:
        server.play = "failure-load"
        server.log = b"UserError: there is nothing at 's3://bucket/flights/'; check the address\n"
        yield server
    assert server.problems == []


@pytest.fixture
def vertex() -> Iterator[VertexServer]:
    with closing(VertexServer()) as server:
        yield server
    assert server.refused == []


@pytest.mark.slow
def test_the_page_on_platforms(kfp: KfpServer, vertex: VertexServer, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    (tmp_path / "examples" / "flights").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "flights" / "training.yaml", tmp_path / "examples" / "flights")
    (tmp_path / "schedules.yaml").write_text(next(blocks(ROOT / PAGE, "yaml")), encoding="utf-8")
    (tmp_path / "token").write_text("good-token", encoding="utf-8")
    everywhere = {"data": "gs://bucket/flights/", "target": "late", "name": "flights"}
    registry = {"tracking_uri": "https://mlflow.example.com"}
    (tmp_path / "parameters.yaml").write_text(yaml.safe_dump({**everywhere, **registry}), encoding="utf-8")
    drift = {"data": "s3://bucket/flights/", "reference": "models:/flights@champion"}
    (tmp_path / "drift.yaml").write_text(
        yaml.safe_dump({**drift, "tracking_uri": "http://mlflow.mlflow:5000"}), encoding="utf-8"
    )
    google = f"--location europe-west4 --endpoint {vertex.url} --logging-endpoint {vertex.url} --token-file token"
    shell = Shell(
        PAGE,
        tmp_path,
        {
            "https://kubeflow.example.com": kfp.url,
            "--location europe-west4": google,
            "kubeline submit": "kubeline submit --poll 0.01",
        },
    )
    plain = ROOT / "tests" / "platform" / "samples" / "good" / "plain.yaml"
    with chdir(tmp_path), redirect_stdout(io.StringIO()):
        assert main(["run", str(plain), "--set", "text=hello"]) == 0  # a run of this machine
    ends = {"kubeline submit monitoring --set data": 1, f"kubeline runs {RUN}": 1}
    for command in shell.commands():
        if command.startswith("kubeline logs RUN STEP"):
            ((job, made),) = vertex.jobs.items()
            step = next(iter(made["pipelineSpec"]["root"]["dag"]["tasks"].values()))  # the one that has printed
            shell.stands_for = {**shell.stands_for, "RUN STEP": f"{job} {step['taskInfo']['name']}"}
        elif command.startswith("for day"):
            kfp.play = "skipped-branch"
        code = next((code for start, code in ends.items() if command.startswith(start)), 0)
        if command == "kubeline schedule diff schedules.yaml" and command not in shell.printed:
            code = 1
        shell.give(command, code)
    assert "plain" in shell.printed["kubeline runs --to here"]
    assert {one["display_name"] for one in kfp.recurring.values()} == {"drift-nightly", "retrain-on-alarm"}
    assert len(kfp.runs) == 8
