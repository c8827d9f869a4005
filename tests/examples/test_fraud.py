"""The fraud example: what is learned from is known at its time, labels come late, a changed month raises an alert."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import pipelines
from components.load.component import load
from examples.fraud.alerts import webhook
from examples.fraud.application import FEATURES
from examples.fraud.demo import Example, show
from examples.fraud.payments import SETTLED_DAYS, payments
from examples.fraud.prepare import HERE, prepare, seen, write
from kubeline import ModelPackage
from kubeline.local.parameters import check, read_parameters
from tests.support.artifacts import Maker
from tests.support.real_servers import kafka

WINDOWS = ["paid_last_hour", "paid_last_day", "spent_last_day"]
ALL = ("2025-01-01", "2026-01-01")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return payments(a_day=60, cards=200)


@pytest.fixture(scope="module")
def features(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return features_of(table, tmp_path_factory.mktemp("payments"))


def features_of(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The payments as the model sees them, by id."""
    file = folder / "payments.db"
    write(file, table)
    return seen(file, *ALL).set_index("payment")


def test_of_the_payments_about_one_in_a_hundred_is_fraud_and_the_seed_draws_the_same_ones_again(
    table: pd.DataFrame,
) -> None:
    assert 0.005 < (table["fraud"] == "fraud").mean() < 0.015
    assert table["payment"].is_unique
    pd.testing.assert_frame_equal(table, payments(a_day=60, cards=200))


def test_windows_are_of_what_the_card_was_used_for_before_the_payment(
    table: pd.DataFrame, features: pd.DataFrame
) -> None:
    assert features["paid_last_hour"].max() >= 3
    for _, one in table[table["card"].isin(["c0000", "c0001", "c0002"])].iterrows():
        ago = one["paid_at"] - table.loc[table["card"] == one["card"], "paid_at"]
        day = ago[(ago > pd.Timedelta(0)) & (ago <= pd.Timedelta(days=1))]
        expected = [(day <= pd.Timedelta(hours=1)).sum(), len(day), table.loc[day.index, "amount"].sum()]
        assert features.loc[one["payment"], WINDOWS].tolist() == pytest.approx(expected)


def test_what_comes_later_changes_nothing_before_it(
    table: pd.DataFrame, features: pd.DataFrame, tmp_path: Path
) -> None:
    place = features["paid_last_hour"].to_numpy().argmax()  # the last of several payments within an hour
    at = table["paid_at"].iloc[place - 1]
    changed = table.copy()
    changed.loc[changed["paid_at"] > at, "amount"] = 1e6
    changed.loc[changed["paid_at"] > at, "fraud"] = "fraud"
    changed.loc[changed.index[-500:], "card"] = table["card"].iloc[place]
    again = features_of(changed, tmp_path)
    before = table.loc[table["paid_at"] <= at, "payment"]
    pd.testing.assert_frame_equal(again.loc[before], features.loc[before])
    after = table.loc[table["paid_at"] > at, "payment"]
    assert not np.array_equal(again.loc[after, "spent_last_day"], features.loc[after, "spent_last_day"])


def test_a_payment_is_settled_when_it_can_no_longer_be_disputed(features: pd.DataFrame) -> None:
    paid, settled = (pd.to_datetime(features[name]) for name in ("paid_at", "settled_at"))
    assert set(settled - paid) == {pd.Timedelta(days=SETTLED_DAYS)}


@pytest.mark.parametrize("pipeline", ["training", "monitoring"])
def test_the_parameters_of_the_example_are_taken_as_they_are_written(pipeline: str) -> None:
    compiled = Path(pipelines.__file__).with_name(pipeline) / "kubeflow.yaml"
    assert check(compiled, read_parameters(HERE / f"{pipeline}.yaml", {}))["tracking_uri"].startswith("sqlite:///runs/")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_steps")
def test_fraud_is_learned_served_and_watched_with_labels_that_come_late_and_a_changed_month_raises_an_alert(
    tmp_path: Path, artifact: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["gate.replicates=100"]  # so few payments show little
    settings += [f"gate.thresholds.{metric}.threshold=0.1" for metric in ("average_precision", "precision", "recall")]
    with kafka() as broker:
        data = prepare(tmp_path / "payments.db", a_day=60)
        example = Example(tmp_path / "runs", data, broker, since="2025-07-25", settings=settings)
        trained = example.train()
        example.serve()
        of_topic, of_log = (loaded(artifact, where) for where in (example.stream, f"{tmp_path / 'runs' / 'log'}"))
        example.broker = ""
        with webhook() as alerts:
            checked = example.check("2025-09-01", "2025-09-01", alerts)  # reads the payload log

    (folder,) = trained.glob("*/train/model")
    package = ModelPackage.open(folder)
    assert package.signature.positive_class == "fraud"
    assert {feature.name for feature in package.signature.features} == set(FEATURES)
    assert (example.answers.answered, example.answers.failed) == (len(of_log), 0)
    pd.testing.assert_frame_equal(of_topic, of_log, check_dtype=False, rtol=1e-6)

    known = seen(example.data, "2025-08-01", "2025-08-18")["settled_at"] < "2025-09-01"
    assert checked.result["performance"]["rows"] == known.sum() < checked.result["current_rows"] < len(of_log)
    assert checked.alarm["verdict"] == "alarm"
    assert [alert.kind for alert in alerts] == ["warning"]
    capsys.readouterr()
    show(Console(), checked)
    assert f"the webhook got a warning: {alerts[-1].title}" in capsys.readouterr().out


def loaded(artifact: Maker, source: str) -> pd.DataFrame:
    """What `load` makes of the answers, by the id of the payment."""
    dataset = artifact("Dataset", f"answers-{len(source)}")
    load.python_func(dataset=dataset, source=source, columns=[*FEATURES, "request.id", "output.prediction"])
    return pd.read_parquet(dataset.path).set_index("request.id").sort_index()
