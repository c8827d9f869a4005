"""The registry's champion is the model that serves, after a rollback as well."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from kubeline.cli import main
from kubeline.registry.champion import follow
from tests.rollout.house import House


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def champion(registry: MlflowClient, name: str) -> str:
    return str(registry.get_model_version_by_alias(name, "champion").tags["package_digest"])


def test_a_rollback_makes_the_model_that_serves_again_the_champion(
    house: House, registry: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = house.stable(), house.package("second")
    assert house.roll_out(second).outcome == "promoted"
    registry.create_registered_model("delays")
    for package in (first, second):
        made = registry.create_model_version("delays", str(package.path), tags={"package_digest": package.digest})
    registry.set_registered_model_alias("delays", "champion", made.version)
    rollback = ["rollout", "rollback", house.name, "--kubeconfig", str(house.kserve.kubeconfig)]

    assert main(rollback) == 0
    assert "the registry is left as it is" in capsys.readouterr().out
    assert champion(registry, "delays") == second.digest

    again = [*rollback, "--to", first.digest, "--tracking_uri", registry.tracking_uri]
    assert main(again) == 2
    assert f"has no version of {house.name} with this package; give --model" in capsys.readouterr().err
    for sentence in ("models:/delays/1 is the champion again", "models:/delays/1 is the champion already"):
        assert main([*again, "--model", "delays"]) == 0
        assert sentence in capsys.readouterr().out
        assert champion(registry, "delays") == first.digest
    assert house.serving() == first.digest


def test_a_digest_that_is_none_asks_no_registry() -> None:
    with pytest.raises(Exception, match="names no package digest"):
        follow("delays", "' or '1' = '1", "sqlite:////nowhere/at/all.db")
