"""`promote_champion`: the champion is the version that serves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.promote_champion.component import promote_champion
from components.register.component import register
from kubeline.errors import UserError
from kubeline.registry import open_registry
from kubeline.registry.interface import Submission
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import blessed

Promote = Callable[..., dict[str, Any]]


@pytest.fixture
def filed(tmp_path: Path, tracking_uri: str) -> None:
    """Two versions: the champion, and its challenger, whose rollout follows."""
    for seed, follows in ((1, ""), (2, "in-cluster")):
        given = blessed(tmp_path, seed=seed)
        outputs = (make_artifact(tmp_path, "Artifact", "registration"), make_artifact(tmp_path, "HTML", "model_card"))
        given_to = (given.model, given.evaluation, given.infra_validation, *outputs)
        register.python_func(*given_to, name="flights", tracking_uri=tracking_uri, promote=True, cluster=follows)


@pytest.fixture
def promote(tmp_path: Path, tracking_uri: str) -> Promote:
    """`promote(**parameters)` runs the component on version 2, and returns what it wrote."""

    def run(**parameters: Any) -> dict[str, Any]:
        registration = make_artifact(tmp_path, "Artifact", "champion")
        settings = {"name": "flights", "version": "2", "tracking_uri": tracking_uri} | parameters
        promote_champion.python_func(registration, make_artifact(tmp_path, "HTML", "final_card"), **settings)
        return dict(json.loads(Path(registration.path).read_text()))

    return run


def aliases(tracking_uri: str) -> list[tuple[str, ...]]:
    found = (open_registry(tracking_uri).find("flights", version=version) for version in ("1", "2"))
    return [version.aliases for version in found if version]


@pytest.mark.usefixtures("filed")
@pytest.mark.parametrize("outcome", ["promoted", "unchanged", ""])
def test_a_version_that_serves_becomes_the_champion_however_often_it_is_repeated(
    outcome: str, promote: Promote, tracking_uri: str
) -> None:
    assert aliases(tracking_uri) == [("champion",), ("challenger",)]
    document = promote(outcome=outcome)
    assert (document["uri"], document["aliases"]) == ("models:/flights/2", ["champion"])
    assert len(document["package_digest"]) == 64
    assert promote(outcome=outcome) == document
    assert aliases(tracking_uri) == [(), ("champion",)]


@pytest.mark.usefixtures("filed")
@pytest.mark.parametrize(
    "parameters",
    [
        {"outcome": "rolled_back"},
        {"outcome": "held"},
        {"outcome": "reported"},
        {"promote": False},
        {"gate": {"promote": False}},
    ],
)
def test_the_champion_stays_the_one_that_serves(
    parameters: dict[str, Any], promote: Promote, tracking_uri: str
) -> None:
    assert promote(**parameters)["aliases"] == ["challenger"]
    assert aliases(tracking_uri) == [("champion",), ("challenger",)]


@pytest.mark.usefixtures("filed")
def test_what_cannot_be_the_champion_is_refused_in_a_sentence(promote: Promote, tracking_uri: str) -> None:
    with pytest.raises(UserError, match="has no version 7 of flights; register it first"):
        promote(version="7")
    with pytest.raises(UserError, match="outcome 'fine' is not one of a rollout; expected one of: "):
        promote(outcome="fine")
    with pytest.raises(UserError, match="'a/b' cannot name a registered model"):
        promote(name="a/b")
    assert aliases(tracking_uri) == [("champion",), ("challenger",)]


def test_a_version_that_was_registered_without_blessings_never_becomes_the_champion(
    tmp_path: Path, promote: Promote, tracking_uri: str
) -> None:
    package = blessed(tmp_path).package
    open_registry(tracking_uri).register(Submission("flights", package.path, package.digest))
    with pytest.raises(UserError, match="models:/flights/1 has the verdict 'none' of evaluation, and a champion needs"):
        promote(version="1")


@pytest.mark.usefixtures("filed")
@pytest.mark.parametrize("outcome", ["promoted", "rolled_back"])
def test_the_model_card_gets_the_evidence_of_the_rollout_whatever_its_outcome(
    outcome: str, promote: Promote, tracking_uri: str, tmp_path: Path
) -> None:
    registry = open_registry(tracking_uri)
    version = registry.find("flights", version="2")
    assert version
    before = json.loads(registry.read_document(version, "model_card.json"))
    assert before["rollout"] is None
    analysis = {"share": 10, "outcome": "pass", "sentence": "no worse", "findings": [], "level": 0.05}
    document = {
        "outcome": outcome,
        "reason": "the error rate <b>rose</b>",
        "rollout_id": "r1",
        "stable_digest": "0" * 64,
        "package_digest": version.tags["package_digest"],
        "smoke": {"sentence": "20 golden rows are answered as recorded"},
        "shadow": None,
        "analyses": [analysis],
    }
    decision = make_artifact(tmp_path, "Artifact", "decision")
    Path(decision.path).write_text(json.dumps(document), encoding="utf-8")
    for _ in range(2):  # a repetition changes nothing
        promote(decision=decision, outcome=outcome)
        after = json.loads(registry.read_document(version, "model_card.json"))
        assert {**after, "rollout": None} == before
        assert (after["rollout"]["outcome"], after["rollout"]["analyses"][0]["share"]) == (outcome, 10)
    texts = [
        registry.read_document(version, "model_card.html"),
        registry.read_document(version, "README.md"),
        (tmp_path / "final_card").read_text(encoding="utf-8"),
    ]
    for text in texts:
        assert "the error rate &lt;b&gt;rose&lt;/b&gt;" in text
        assert "20 golden rows are answered as recorded" in text
        assert "no worse" in text
    document["package_digest"] = "f" * 64
    Path(decision.path).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match="the rollout was of package ffffffffffff, but the card is of"):
        promote(decision=decision, outcome=outcome)


@pytest.mark.usefixtures("filed")
def test_without_a_rollout_the_card_stays_as_it_is(promote: Promote, tracking_uri: str, tmp_path: Path) -> None:
    promote()
    version = open_registry(tracking_uri).find("flights", version="2")
    assert version
    page = open_registry(tracking_uri).read_document(version, "model_card.html")
    assert (tmp_path / "final_card").read_text(encoding="utf-8") == page
    assert open_registry(tracking_uri).read_document(version, "no_such.txt") == ""
