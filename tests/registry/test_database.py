"""A local MLflow database is queried with SQL: the same answers as MLflow's, without importing it."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kubeline.errors import PlatformError
from kubeline.registry import ModelVersion, Submission, open_registry
from kubeline.registry.mlflow_registry import model_version
from tests.support.blessed_packages import blessed


@pytest.fixture
def filled(tmp_path: Path, tracking_uri: str) -> tuple[str, list[ModelVersion]]:
    """A registry with two versions, of which one is the champion."""
    registry = open_registry(tracking_uri)
    versions = []
    for seed in (0, 1):
        package = blessed(tmp_path, seed).package
        made = registry.register(Submission("flights", package.path, package.digest, tags={"task": "binary"}))
        versions.append(registry.promote(made))
    return tracking_uri, versions


def fresh(code: str, *arguments: str) -> str:
    """What a process prints that has just begun."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@contextmanager
def changing(tracking_uri: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tracking_uri.removeprefix("sqlite:///"))) as connection, connection:
        yield connection


def test_an_alias_a_number_and_a_digest_find_what_mlflow_finds(filled: tuple[str, list[ModelVersion]]) -> None:
    uri, versions = filled
    registry, client = open_registry(uri), MlflowClient(uri)
    expected = {number: model_version(client.get_model_version("flights", number)) for number in ("1", "2")}
    assert registry.find("flights", alias="champion") == expected["2"]
    for number, version in expected.items():
        assert registry.find("flights", version=number) == version
        assert registry.find("flights", digest=version.tags["package_digest"]) == version
    assert {version.uri for version in versions} == {version.uri for version in expected.values()}
    assert expected["2"].aliases == ("champion",)


@pytest.mark.parametrize(
    "asked", [{"alias": "nobody"}, {"version": "3"}, {"version": "first"}, {"digest": "0" * 64}], ids=str
)
def test_what_is_not_there_is_none(asked: dict[str, str], filled: tuple[str, list[ModelVersion]]) -> None:
    assert open_registry(filled[0]).find("flights", **asked) is None
    assert open_registry(filled[0]).find("others", **asked) is None


def test_a_deleted_version_is_not_found(filled: tuple[str, list[ModelVersion]]) -> None:
    uri, (first, _) = filled
    MlflowClient(uri).delete_model_version("flights", first.version)
    assert open_registry(uri).find("flights", version=first.version) is None
    assert open_registry(uri).find("flights", digest=first.tags["package_digest"]) is None


def test_looking_and_a_second_preflight_import_no_mlflow(filled: tuple[str, list[ModelVersion]]) -> None:
    uri, _ = filled
    open_registry(uri).probe("flights")  # the first one marks the experiment
    code = (
        "import sys; from kubeline.registry import open_registry; registry = open_registry(sys.argv[1])\n"
        "registry.probe('flights'); print(registry.find('flights', alias='champion').uri)\n"
        "print({'mlflow', 'pandas', 'sqlalchemy'} & sys.modules.keys())"
    )
    assert fresh(code, uri).splitlines() == ["models:/flights/2", "set()"]


def test_a_preflight_finds_out_that_a_database_cannot_be_written_to(
    filled: tuple[str, list[ModelVersion]],
) -> None:
    uri, _ = filled
    open_registry(uri).probe("flights")
    with changing(uri) as writer:
        writer.execute("create trigger full before update on experiment_tags begin select raise(abort, 'no'); end")
        writer.execute("delete from experiment_tags")
        writer.execute("create trigger none before insert on experiment_tags begin select raise(abort, 'no'); end")
    with pytest.raises(PlatformError, match="the MLflow registry at"):
        open_registry(uri).probe("flights")


def test_another_layout_of_the_tables_is_left_to_mlflow(filled: tuple[str, list[ModelVersion]], tmp_path: Path) -> None:
    """A version of MLflow that keeps aliases elsewhere: no answer of ours, but what that MLflow says."""
    uri, _ = filled
    copy = tmp_path / "later.db"
    shutil.copyfile(uri.removeprefix("sqlite:///"), copy)
    with changing(f"sqlite:///{copy}") as writer:
        writer.execute("alter table registered_model_aliases rename to aliases_of_models")
    with pytest.raises(PlatformError, match=r"the MLflow registry at .* failed"):
        open_registry(f"sqlite:///{copy}").find("flights", alias="champion")


def test_another_workspace_is_left_to_mlflow(
    filled: tuple[str, list[ModelVersion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, _ = filled
    code = (
        "import sys; from kubeline.registry import open_registry\n"
        "open_registry(sys.argv[1]).find('flights', alias='champion'); print('mlflow' in sys.modules)"
    )
    assert fresh(code, uri).strip() == "False"
    monkeypatch.setenv("MLFLOW_WORKSPACE", "others")
    done = subprocess.run([sys.executable, "-c", code, uri], capture_output=True, text=True, check=False)
    assert "True" in done.stdout or "mlflow" in done.stderr
