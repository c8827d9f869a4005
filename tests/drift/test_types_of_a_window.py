"""A window whose values do not determine its types is read by those of the model, or of the schema."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.drift_check.component import drift_check
from components.load.component import load
from components.validate.component import validate
from kubeline.data.dataset import read_frame
from kubeline.errors import UserError
from tests.support.artifacts import make_artifact
from tests.support.training import trained

OUTPUTS = {"result": "Artifact", "metrics": "Metrics", "report": "HTML", "evidently_report": "HTML"}
CODES = ["01067", "10115", "20095", "50667"]


def shops(rows: int, codes: list[str], seed: int = 0) -> pd.DataFrame:
    """Shops with a postal code that says nothing of the target, and a version that does."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"zip": rng.choice(codes, rows), "version": rng.choice(["1.1", "1.10", "2.x"], rows)})
    frame["open"] = rng.choice(["true", "TRUE", "maybe"], rows)
    frame["size"] = rng.normal(size=rows).round(3)
    frame["late"] = (frame["version"] == "1.10") ^ (rng.random(rows) < 0.1)
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("types")


def loaded(folder: Path, frame: pd.DataFrame, name: str, **parameters: Any) -> Any:
    frame.to_csv(folder / f"{name}.csv", index=False)
    dataset = make_artifact(folder, "Dataset", name)
    load.python_func(source=str(folder / f"{name}.csv"), dataset=dataset, **parameters)
    return dataset


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    table = loaded(folder, shops(2_000, CODES), "training")
    return trained(folder, table, "late", params={"max_iter": 20})["model"]


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Any]:
    def run(current: Any, **arguments: Any) -> tuple[str, str]:
        outputs = {name: make_artifact(tmp_path / "out", kind, name) for name, kind in OUTPUTS.items()}
        verdict = drift_check.python_func(current, **outputs, evidently=False, **arguments).verdict
        return verdict, Path(outputs["report"].path).read_text()

    return run


def test_a_window_of_digits_alone_is_loaded_by_the_types_of_the_model(folder: Path, model: Any, check: Any) -> None:
    """Each of its columns would be of another type by its values: integers, numbers, booleans."""
    window = shops(1_000, CODES[1:], 1).query("version != '2.x' and open != 'maybe'").drop(columns="late")
    read = loaded(folder, window, "window", types_from=model.path)
    frame = read_frame(read.path)
    assert frame["zip"].tolist() == window["zip"].tolist()
    assert frame["version"].tolist() == window["version"].tolist()  # 1.1 and 1.10 are two versions
    assert frame["open"].tolist() == window["open"].tolist()
    assert frame["size"].dtype == np.float64
    verdict, page = check(read, model=model)
    assert verdict == "drift"  # one code and one version are missing
    assert "Read as the reference has it" not in page


def test_a_window_of_digits_alone_is_compared_as_text(folder: Path, model: Any, check: Any) -> None:
    window = shops(1_000, CODES, 1).query("zip != '01067'").drop(columns="late")
    read = loaded(folder, window, "plain")
    assert read_frame(read.path)["zip"].dtype == np.int64
    verdict, page = check(read, model=model, exclude=["zip"])
    assert verdict == "stable"
    assert "zip: int64 as category" in page
    table = loaded(folder, shops(2_000, CODES[1:]), "reference", types={"zip": "text"})
    assert check(read, reference=table, exclude=["late"])[0] == "stable"


def test_text_that_became_numbers_with_a_fraction_is_refused(folder: Path, model: Any, check: Any) -> None:
    window = shops(1_000, CODES, 1).query("version != '2.x'")
    with pytest.raises(
        UserError, match=r"^column 'version' holds 9.9, but the reference has text there; fix it, or load"
    ):
        check(loaded(folder, window, "versions"), model=model)


@pytest.mark.parametrize(
    ("codes", "shown"), [(["true", "false"], "true or false"), (["2024-01-02"], "9999-99-99 99:99:99")]
)
def test_text_that_became_booleans_or_times_is_refused_and_loaded_by_the_types_of_the_model(
    codes: list[str], shown: str, folder: Path, model: Any, check: Any
) -> None:
    window = shops(1_000, codes, 1).drop(columns="late")
    with pytest.raises(
        UserError, match=rf"^column 'zip' holds {shown}, but the reference has text there; .* types_from the model"
    ):
        check(loaded(folder, window, "lost"), model=model)
    read = loaded(folder, window, "kept", types_from=model.path)
    assert read_frame(read.path)["zip"].tolist() == window["zip"].tolist()
    assert check(read, model=model)[0] == "drift"


def test_text_of_numbers_is_compared_as_numbers(folder: Path, model: Any, check: Any) -> None:
    window = shops(1_000, CODES, 2).drop(columns="late")
    read = loaded(folder, window, "text", types={"size": "text"}, types_from=model.path)
    assert check(read, model=model)[0] == "stable"
    stray = loaded(folder, window.assign(size="big"), "stray", types={"size": "text"})
    with pytest.raises(UserError, match="column 'size' holds 'aaa', but the reference has a number there"):
        check(stray, model=model)


def test_a_window_of_digits_alone_is_read_by_the_schema(folder: Path) -> None:
    made = {name: make_artifact(folder, "Dataset", f"v-{name}") for name in ("valid", "quarantine", "schema", "report")}
    validate.python_func(loaded(folder, shops(500, CODES), "before"), **made)
    schema = made["schema"].path
    window = shops(500, CODES[1:], 3)
    answer = validate.python_func(loaded(folder, window, "after"), **made, schema_uri=schema)
    assert answer.passed
    assert read_frame(made["valid"].path)["zip"].tolist() == window["zip"].tolist()
    assert "Column &#39;zip&#39; holds whole numbers and is read as string" in Path(made["report"].path).read_text()
    by_schema = loaded(folder, window.query("version != '2.x'"), "by-schema", types_from=schema)
    assert set(read_frame(by_schema.path)["version"]) == {"1.1", "1.10"}


def test_what_the_types_are_taken_from_may_be_a_dataset_and_is_reported_when_it_is_nothing(folder: Path) -> None:
    table = loaded(folder, shops(50, CODES), "some")
    window = loaded(folder, shops(50, CODES[1:]), "like", types_from=table.path)
    assert read_frame(window.path)["zip"].dtype == object
    with pytest.raises(UserError, match=r"there is nothing at '.*none'; give a folder"):
        loaded(folder, shops(9, CODES), "nothing", types_from=f"{folder}/none")


def test_what_load_warned_of_stands_in_the_report_of_validate(folder: Path) -> None:
    made = {name: make_artifact(folder, "Dataset", f"w-{name}") for name in ("valid", "quarantine", "schema", "report")}
    table = loaded(folder, shops(50, CODES).assign(price="1,5"), "warned")
    validate.python_func(table, **made)
    assert "Column &#39;price&#39; is read as numbers" in Path(made["report"].path).read_text()
