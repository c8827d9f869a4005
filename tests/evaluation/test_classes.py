"""Very many classes are shown by those in most mistakes, and the sum of the others."""

import numpy as np
import pytest

from kubeline.evaluation.classes import ClassCounts, MixUp, confusions
from kubeline.evaluation.classes_report import class_blocks
from kubeline.evaluation.curves import confusion
from kubeline.evaluation.scored import Scored


@pytest.fixture
def scored() -> Scored:
    """Two rows of each of 500 classes, all right but for class 400, of which both are taken for class 3."""
    target = np.repeat(np.arange(500), 2)
    prediction = np.where(target == 400, 3, target)
    chances = np.eye(500)[prediction]
    return Scored("multiclass", tuple(f"c{one:03}" for one in range(500)), target, prediction, chances)


def test_all_others_are_summed_and_no_row_is_lost(scored: Scored) -> None:
    found = confusions(scored, 4)
    assert found.names == ("c000", "c003", "c400", "497 other classes")
    assert found.counts.tolist() == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 2, 0, 0], [0, 0, 0, 994]]
    assert found.classes[1:] == (
        ClassCounts("c003", 2, 4, 2), ClassCounts("c400", 2, 0, 0), ClassCounts("497 other classes", 994, 994, 994)
    )  # fmt: skip
    assert found.mix_ups == (MixUp("c400", "c003", 2, 1.0),)
    assert found.summed.startswith("The 3 of 500 classes in most mistakes; the others are summed")


def test_few_classes_each_stand_for_themselves(scored: Scored) -> None:
    found = confusions(scored, 500)
    assert (found.counts == confusion(scored)).all()
    assert (found.names, found.others, found.summed) == (scored.classes, 0, "")


def test_of_500_classes_the_report_is_as_long_as_of_25(scored: Scored) -> None:
    html = "".join(class_blocks(scored))
    assert html.count("<tr>") == 2 + 1 + 25
    assert "476 other classes" in html
    assert len(html) < 200_000
