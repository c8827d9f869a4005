"""Further references: a window that is as it was one season before has not drifted, and a true shift has."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.drift_check.component import drift_check
from components.train.component import train
from kubeline.errors import UserError
from tests.drift.helpers import OUTPUTS, column, page, read
from tests.support.artifacts import make_artifact, make_dataset
from tests.support.file_servers import S3, serving_files


def month(number: int, rows: int = 1_000, warmer: float = 0.0) -> pd.DataFrame:
    """A month of this or the next year: temperature and demand go with the season, the size of the house does not."""
    rng = np.random.default_rng(number)
    temp = 10 + 10 * np.sin(2 * np.pi * (number - 3) / 12) + warmer + rng.normal(0, 2, rows)
    size = rng.normal(120, 30, rows)
    heated = rng.random(rows) < 1 / (1 + np.exp((temp - 10) / 3))
    return pd.DataFrame({"temp": temp, "size": size, "heated": np.where(heated, "yes", "no")})


def begins(number: int) -> datetime:
    return datetime(2023 + (number - 1) // 12, (number - 1) % 12 + 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Two models of the year 2023, of which the second learned a little more of it."""
    folder = tmp_path_factory.mktemp("models")
    year = pd.concat([month(number, 300) for number in range(1, 13)], ignore_index=True)
    found = []
    for iterations in (5, 8):
        place = folder / str(iterations)
        model = make_artifact(place, "Model", "model")
        others = {"metrics": make_artifact(place, "Metrics", "m"), "report": make_artifact(place, "HTML", "r")}
        data = make_dataset(place, year)
        train.python_func(dataset=data, model=model, **others, target="heated", params={"max_iter": iterations})
        found.append(model)
    return found


class Checks:
    """Checks of months one by one, with one history."""

    def __init__(self, folder: Path, model: Any, history: str) -> None:
        self.folder, self.model, self.history = folder, model, history
        self.made = 0

    def __call__(self, number: int, rows: pd.DataFrame, **arguments: Any) -> tuple[str, dict[str, Any], str]:
        """The verdict, the result and the page."""
        self.made += 1
        window = make_dataset(self.folder, rows, f"window {self.made}")
        window.metadata["window"] = f"{begins(number).isoformat()}/{begins(number + 1).isoformat()}"
        place = self.folder / f"out {self.made}"
        outputs = {name: make_artifact(place, kind, name) for name, kind in OUTPUTS.items()}
        given = {"model": self.model, "history": self.history, "references": ["12mo"], "evidently": False, **arguments}
        outcome = drift_check.python_func(window, **outputs, **given)
        return outcome.verdict, read(outputs["result"]), page(outputs["report"])


@pytest.fixture
def checks(tmp_path: Path, models: list[Any]) -> Checks:
    return Checks(tmp_path, models[0], str(tmp_path / "history"))


@pytest.fixture
def checks_in_s3(tmp_path: Path, models: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Checks]:
    with serving_files(S3, {}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield Checks(tmp_path, models[0], "s3://bucket/history")


def test_a_winter_like_the_last_one_has_not_drifted_and_a_warmer_one_has(checks: Checks) -> None:
    verdict, first, html = checks(1, month(1))
    assert verdict == "drift"
    assert first["further"][0]["note"].startswith("the history '")
    assert "The window 12mo earlier (2022-01-01 to 2022-02-01) is not compared with" in html

    verdict, result, html = checks(13, month(13))
    assert verdict == "stable"
    assert column(result, "temp")["verdict"] == result["together"]["verdict"] == "expected"
    assert column(result, "size")["verdict"] == "stable"
    assert {one["verdict"] for one in [*result["predictions"], *result["labels"]]} == {"expected"}
    (further,) = result["further"]
    assert further["reference"] == "the window 12mo earlier (2023-01-01 to 2023-02-01)"
    assert {one["verdict"] for one in [*further["columns"], *further["predictions"], *further["labels"]]} == {"stable"}
    assert "Beside the window 12mo earlier (2023-01-01 to 2023-02-01) drifted: nothing" in html

    verdict, result, html = checks(13, month(13, warmer=3.0))
    assert verdict == "drift"
    assert column(result, "temp")["verdict"] == "drift"
    assert "drifted: temp" in html


def test_a_history_in_an_object_store_does_the_same(checks_in_s3: Checks) -> None:
    assert [checks_in_s3(number, month(number))[0] for number in (1, 13)] == ["drift", "stable"]


def test_the_same_window_twice_changes_nothing_and_one_that_is_made_up_for_is_found(checks: Checks) -> None:
    assert checks(13, month(13))[0] == "drift"  # no winter is known yet
    kept = {file.name: file.read_bytes() for file in Path(checks.history).iterdir()}
    assert checks(13, month(13))[0] == "drift"
    assert {file.name: file.read_bytes() for file in Path(checks.history).iterdir()} == kept
    checks(1, month(1), references=[])  # a backfill
    assert checks(13, month(13))[0] == "stable"


def test_predictions_of_another_model_are_expected_where_all_features_are_as_then(
    checks: Checks, models: list[Any]
) -> None:
    checks(1, month(1))
    checks.model = models[1]
    verdict, result, html = checks(13, month(13))
    assert verdict == "stable"
    assert {one["effect"] for one in result["further"][0]["predictions"]} == {None}
    assert "stable, as the features" in html
    verdict, result, _ = checks(13, month(13), exclude=["size"])  # what is not compared may have moved
    assert verdict == "drift"
    assert {one["verdict"] for one in result["predictions"]} == {"drift"}


def test_an_earlier_window_of_few_rows_or_without_labels_excuses_nothing_that_it_does_not_have(checks: Checks) -> None:
    checks(1, month(1, rows=150))
    verdict, _, html = checks(13, month(13))
    assert verdict == "drift"
    assert "has 150 rows, too few to judge by; the verdict is by the others alone" in html
    checks(1, month(1).drop(columns="heated"))
    verdict, result, _ = checks(13, month(13))
    assert verdict == "drift"
    assert [one["name"] for one in result["labels"] if one["verdict"] == "drift"] == ["labels"]
    assert column(result, "temp")["verdict"] == "expected"


def test_a_dataset_or_a_package_is_a_further_reference_too(checks: Checks, models: list[Any]) -> None:
    winter = make_dataset(checks.folder, month(25, rows=2_000).drop(columns="heated"), "winter")
    verdict, result, _ = checks(13, month(13).drop(columns="heated"), references=[winter.path, models[1].path])
    assert verdict == "stable"
    assert [one["reference"].split(" ")[1] for one in result["further"]] == ["table", "training"]
    assert column(result, "temp")["verdict"] == "expected"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"references": ["12mo"], "history": ""}, "references asks for the window 12mo earlier, but history is empty"),
        ({"references": ["7d"]}, "the season 7d of references is shorter than the window"),
        ({"references": ["1y"]}, "expected a length of time: 90m, 24h, 7d or 1mo"),
        ({"references": [""]}, "give a season such as 7d or 12mo, or an address"),
    ],
)
def test_what_is_no_further_reference_is_refused(checks: Checks, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        checks(13, month(13, rows=10), **arguments)
