"""A registry with an empty database: MLflow's migrations run once, each test gets a copy of the file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.register.component import register
from kubeline.registry import Registry, open_registry
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import Blessed


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracking_uri(tmp_path: Path, empty_database: Path) -> str:
    path = tmp_path / "registry" / "mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture
def registry(uri: str) -> Registry:
    """The one at `uri`, a fixture of the file."""
    return open_registry(uri)


@pytest.fixture
def file(tmp_path: Path, uri: str) -> Callable[..., Any]:
    """`file(blessed, **parameters)` runs the component `register`."""

    def run(given: Blessed, **parameters: Any) -> Any:
        outputs = [make_artifact(tmp_path, "Artifact", "registration"), make_artifact(tmp_path, "HTML", "model_card")]
        settings = {"name": "flights", "tracking_uri": uri} | parameters
        return register.python_func(given.model, given.evaluation, given.infra_validation, *outputs, **settings)

    return run


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "KFP_POD_NAME", "CLOUD_ML_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
