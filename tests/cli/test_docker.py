"""`kubeline run --runner docker`: KFP's DockerRunner and docker's own client, against a Docker engine on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeline.cli import main
from tests.support.docker_engine import Engine, docker_engine

IMAGE = "example.com/python:1"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with docker_engine(programs) as engine:
        engine.images.add(IMAGE)
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        yield engine


def run(toy: Path, *options: str) -> int:
    return main(["run", str(toy), "--runner", "docker", "--output", "../runs", *options])


def test_every_step_runs_in_a_container_of_its_image_and_reports_itself(
    engine: Engine, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(toy) == 0
    printed = capsys.readouterr().out
    for step in ("make 0", "make 1", "judge", "celebrate", "tell"):
        assert f"✓ {step}" in printed
    assert [container.body["Image"] for container in engine.containers] == [IMAGE] * 5
    (folder,) = (tmp_path / "runs").glob("toy-*")
    assert "celebrated" in (folder / "logs" / "celebrate.txt").read_text(encoding="utf-8").splitlines()


def test_a_container_is_the_callers_without_privileges_and_sees_what_it_was_given(
    engine: Engine, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "value")
    monkeypatch.setenv("KEPT", "secret")
    (tmp_path / "data").mkdir()
    assert run(toy, "--mount", str(tmp_path / "data"), "--env", "GIVEN") == 0
    for container in engine.containers:
        body, host = container.body, container.body["HostConfig"]
        assert body["User"] == f"{os.getuid()}:{os.getgid()}"
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"]) == (True, ["ALL"], ["no-new-privileges"])
        mounts = {mount["Target"]: mount["ReadOnly"] for mount in host["Mounts"]}
        mine = {str(tmp_path / name): False for name in ("here", "runs", "data")}
        assert mine.items() <= mounts.items()
        assert mounts["/run/kubeline/kubeline"] is True
        assert container.environment["GIVEN"] == "value"
        assert "secret" not in json.dumps(body)
        assert body["WorkingDir"] == str(tmp_path / "here")


def test_an_engine_without_root_maps_the_caller_to_its_root(engine: Engine, toy: Path) -> None:
    engine.security = ["name=seccomp,profile=default", "name=rootless"]
    assert run(toy) == 0
    assert {container.body["User"] for container in engine.containers} == {"0:0"}


def test_the_sentence_and_the_exit_code_of_a_step_that_fails_come_out_of_its_container(
    engine: Engine, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(toy, "--set", "limit=-1") == 2
    assert "failed judge: limit is -1, but it must not be negative" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--mount", "/not/there"], "there is nothing at /not/there"),
        (["--env", "NOT_SET"], "--env takes variables that are set, and NOT_SET is not"),
        (["--set", "title=FILE"], "the containers do not see 'FILE'; give --mount FOLDER as well"),
    ],
)
def test_what_containers_cannot_get_is_refused_before_anything_runs(
    engine: Engine, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    (tmp_path / "table.csv").write_text("a\n1\n")
    here = {"FILE": str(tmp_path / "table.csv"), "FOLDER": str(tmp_path)}
    for name, value in here.items():
        options, sentence = [word.replace(name, value) for word in options], sentence.replace(name, value)
    assert run(toy, *options) == 2
    assert sentence in capsys.readouterr().err
    assert engine.containers == []


def test_an_image_that_is_nowhere_is_named_before_anything_runs(
    engine: Engine, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.images.clear()
    assert run(toy) == 3
    assert (
        f"the image {IMAGE} is not on this machine and cannot be pulled: pull access denied" in capsys.readouterr().err
    )
    assert (engine.pulls, engine.containers) == ([IMAGE], [])


def test_without_an_engine_the_run_does_not_begin(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert run(toy, "--output", str(tmp_path / "runs")) == 3
    assert "--runner docker needs a Docker engine, and none answers" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_mounts_without_containers_are_refused(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(toy), "--env", "HOME"]) == 2
    assert "give --runner docker as well" in capsys.readouterr().err


def test_ctrl_c_leaves_no_container_behind(engine: Engine, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(_sleeping(toy), encoding="utf-8")
    command = [sys.executable, "-m", "kubeline.cli", "run", str(tmp_path / "slow.yaml"), "--runner", "docker"]
    with subprocess.Popen([*command, "--output", str(tmp_path / "runs")], stdout=subprocess.PIPE, text=True) as process:
        while not any("waits" in log.read_text(encoding="utf-8") for log in tmp_path.rglob("log.txt")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=240)
    assert "interrupted in make" in printed
    assert _running(engine) == []


def test_a_container_that_outlives_the_runner_is_removed_and_the_run_ends(
    engine: Engine, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.logs = False  # which ends the runner of KFP while its containers go on
    slow = tmp_path / "slow.yaml"
    slow.write_text(_sleeping(toy), encoding="utf-8")
    assert run(slow) == 1
    assert "it was ended from outside" in capsys.readouterr().out
    assert _running(engine) == []


def _sleeping(toy: Path) -> str:
    """The pipeline with a first step that does not end by itself."""
    text = toy.read_text(encoding="utf-8")
    slow = text.replace('file.write(\\"x\\" * size)', "import time; print('waits', flush=True); time.sleep(600)")
    assert slow != text
    return slow


def _running(engine: Engine) -> list[Any]:
    return [each for each in engine.containers if each.process and each.process.poll() is None]
