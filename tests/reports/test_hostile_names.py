"""No output of a step runs, loads or hides what a table says."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from components.drift_check.component import drift_check
from components.evaluate.component import evaluate
from components.select.component import select
from components.split.component import split
from components.train.component import train
from components.validate.component import validate
from kubeline.infra_validation.findings import Findings
from kubeline.infra_validation.infra_validation_report import write_report
from kubeline.infra_validation.limits import Limits
from kubeline.model_card.building import build
from kubeline.model_card.pages import PAGE, forms
from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import Blessing, ModelPackage
from kubeline.model_package.signature import Feature, Signature
from kubeline.notification.ending import Ending, Said
from kubeline.notification.notify import compose
from kubeline.preflight import run as preflight
from kubeline.preflight.checks import Checks, PreflightCheck
from kubeline.printable import markdown, printable
from kubeline.registry import facts
from kubeline.rollout.rollout_report import page_of
from kubeline.rollout.status import DeployedModel, Lease, RolloutStatus, Versions
from tests.support.artifacts import make_artifact, make_dataset
from tests.support.hostile_names import NAMES, alive

_UNSEEN = "\x1b\u202e\u2028\x07"
TARGET = "<u>target</u> | ](javascript:alert(7))"


def _table(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = 400
    frame = pd.DataFrame({name: rng.normal(size=rows) for name in NAMES if name.isprintable()})
    frame["kind"] = rng.choice([*NAMES, "b"], rows)
    frame[TARGET] = np.where(frame.iloc[:, 0] + rng.normal(size=rows) > 0, NAMES[0], NAMES[1])
    return frame


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The report of each step on a table whose columns, categories and classes are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    made: dict[str, Any] = {}

    def new(kind: str, name: str) -> Any:
        made[name] = make_artifact(folder, kind, name)
        return made[name]

    table = make_dataset(folder, _table(0))
    outputs = [
        new("Dataset", "valid"),
        new("Dataset", "quarantine"),
        new("Artifact", "schema"),
        new("HTML", "validate"),
    ]
    validate.python_func(table, *outputs, target=TARGET, mode="warn")
    split.python_func(
        table, new("Dataset", "learn"), new("Dataset", "test"), new("Markdown", "split"), by="stratified", column=TARGET
    )
    outputs = [new("Model", "model"), new("Metrics", "numbers"), new("HTML", "train")]
    train.python_func(made["learn"], *outputs, target=TARGET, estimator="linear")
    select.python_func([made["model"]], new("Model", "best"), new("Markdown", "select"))
    evaluate.python_func(
        made["test"],
        made["model"],
        metrics=new("Metrics", "figures"),
        classification=new("ClassificationMetrics", "curves"),
        blessing=new("Artifact", "blessing"),
        predictions=new("Dataset", "predictions"),
        report=new("HTML", "evaluate"),
        slices=["kind"],
        fairness={"demographic_parity_difference": {"columns": ["kind"], "at_most": 0.5}},
        min_slice_rows=5,
        replicates=100,
    )
    outputs = [new("Artifact", "result"), new("Metrics", "shift"), new("HTML", "drift"), new("HTML", "evidently")]
    later = make_dataset(folder, _table(1).assign(kind=NAMES[1] + "!"), "later")
    drift_check.python_func(later, *outputs, model=made["model"], evidently=False)
    _infra_page(made["model"], new("HTML", "infra_validate"))
    found = {name: Path(one.path).read_text("utf-8") for name, one in made.items() if Path(one.path).is_file()}
    steps = ("validate", "split", "train", "select", "evaluate", "drift", "evidently", "infra_validate")
    card = _card(made["model"], made["blessing"])
    return {**{name: found[name] for name in steps}, "card": card["README.md"], "card's page": card[PAGE]}


def _card(model: Any, blessing: Any) -> dict[str, str]:
    """Of a model whose table, people and lineage all have hostile names."""
    about = {"owner": NAMES[0], "license": NAMES[0], "limits": NAMES, NAMES[1]: NAMES[5], "purpose": "\n".join(NAMES)}
    package, found = ModelPackage.open(model.path), Blessing.read(blessing.path)
    served = Blessing(check="infra_validation", verdict="hold", package_digest=package.digest, reasons=NAMES)
    return forms(build("flights", package, found, served, {name: name for name in NAMES}, about))


def _infra_page(model: Any, report: Any) -> None:
    package = ModelPackage.open(model.path)
    limits = Limits(max_latency_ms=1.0, timeout_seconds=1.0)
    findings = Findings(rows=1, failure=NAMES[0], log=NAMES)
    blessing = Blessing(check="infra_validation", verdict="hold", package_digest=package.digest, reasons=NAMES)
    write_report(report, GoldenRows.of(package), findings, blessing, limits)


@pytest.mark.parametrize(
    "step", ["validate", "train", "evaluate", "drift", "evidently", "infra_validate", "card's page"]
)
def test_an_html_report_has_no_live_element_and_a_policy_without_script(pages: dict[str, str], step: str) -> None:
    page = pages[step]
    assert alive(page) == []
    assert "Content-Security-Policy" in page
    assert not set(page) & set(_UNSEEN)


@pytest.mark.parametrize("step", ["select", "split", "card"])
def test_a_markdown_report_rendered_with_html_enabled_has_no_live_element(pages: dict[str, str], step: str) -> None:
    text = pages[step]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert alive(html) == []
    assert "<a " not in html
    assert "&lt;u&gt;target&lt;/u&gt; | ](javascript:alert(7))" in html  # whole, as words
    assert "<img" not in html
    assert not set(text) & set(_UNSEEN)


@pytest.mark.parametrize("name", [*NAMES, TARGET])
def test_a_name_is_one_cell_of_a_markdown_table_and_reads_as_it_is(name: str) -> None:
    renderer = MarkdownIt("commonmark", {"html": True}).enable("table")
    html = renderer.render(f"| a | b |\n|---|---|\n| {markdown(name)} | 1 |\n")
    assert alive(html) == []
    assert html.count("<td>") == 2
    assert not any(element in html for element in ("<a ", "<code>", "<b>", "<em>", "<img"))


@pytest.mark.parametrize("name", [*NAMES, TARGET, "is_late"])
def test_a_registry_shows_the_name_of_a_target_as_it_is(name: str) -> None:
    """MLflow shows the description of a version as Markdown: images of it would be loaded."""
    signature = Signature(features=[Feature(name="x", kind="number")], target=name, task="binary", classes=["0", "1"])
    written = facts.description("linear", signature)
    html = MarkdownIt("commonmark", {"html": True}).render(written)
    assert alive(html) == []
    assert not any(element in html for element in ("<a ", "<code>", "<b>", "<em>", "<img"))
    assert written == "linear for is_late (binary)" or name != "is_late"


def test_preflight_and_rollout_pages_take_every_word_as_a_word() -> None:
    checks = Checks()
    checks.done.append(PreflightCheck(NAMES[0], "wrong", " ".join(NAMES)))
    status = RolloutStatus(
        rollout_id="r",
        name=NAMES[1],
        namespace=NAMES[2],
        lease=Lease(NAMES[3], 0.0),
        versions=Versions(DeployedModel(digest="0" * 64)),
        reason=" ".join(NAMES),
    )
    for page in (preflight.page(checks).html(), page_of(status).html()):
        assert alive(page) == []
        assert not set(page) & set(_UNSEEN)


def test_a_message_to_people_holds_no_escape_sequence_and_no_turned_direction() -> None:
    status = SimpleNamespace(
        state="COMPLETE",
        pipeline_job_resource_name=NAMES[8],
        pipeline_task_name="t",
        error_code=None,
        error_message=NAMES[8],
    )

    ending = Ending("SUCCEEDED", (), (Said("evaluate", f"hold ({' '.join(NAMES)})"),))
    headline, body = compose(status, ending)
    assert not (set(headline) | set(body)) & set(_UNSEEN)


def test_what_cannot_be_seen_is_written_out() -> None:
    assert printable("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"
    assert printable("Zürich, 東京, עברית") == "Zürich, 東京, עברית"
