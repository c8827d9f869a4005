"""The settings of an evaluation, and its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import Field

from kubeline.data.stored import StoredTable
from kubeline.errors import listed
from kubeline.evaluation.bootstrap import Interval
from kubeline.evaluation.comparison import Comparison
from kubeline.evaluation.explained import ExplainedRows
from kubeline.evaluation.fairness.checks import Fairness
from kubeline.evaluation.gate import ChampionRule, GateDecision
from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.reliance import Reliance
from kubeline.evaluation.rows import JudgedRows
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.scoring import Agreement
from kubeline.evaluation.slices import Slice
from kubeline.model_package.manifest import ManifestRoles
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.settings import Parameters

NoChampion = Literal["promote", "hold"]


class EvaluationSettings(Parameters):
    """The parameters of the component; see `components/evaluate`."""

    metric: str = ""
    slices: tuple[str, ...] = ()
    thresholds: Mapping[str, Any] | None = None
    fairness: Mapping[str, Any] | None = None
    rule: ChampionRule = Field(default="non_inferior", description=f"one of: {listed(get_args(ChampionRule))}")
    margin: float = Field(default=0.01, ge=0, lt=1, description="a share of the champion's value from 0 up to 1")
    no_champion: NoChampion = Field(default="promote", description=f"one of: {listed(get_args(NoChampion))}")
    min_rows: int = Field(default=100, ge=1, description="at least 1")
    min_slice_rows: int = Field(default=100, ge=1, description="at least 1")
    confidence: float = Field(default=0.95, ge=0.5, lt=1, description="a share such as 0.95")
    replicates: int = Field(default=1000, ge=100, description="at least 100")
    seed: int = 0
    weight_column: str = ""
    group_column: str = ""
    time_column: str = ""


@dataclass(frozen=True)
class Contender:
    """A package, and what it answers for every test row and beside the labels of the labelled ones."""

    package: ModelPackage
    predictor: Predictor
    predictions: Predictions
    scored: Scored


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation, from which every output is written.

    Attributes:
        settings: What was asked for.
        metric: The metric that decides.
        test: All test rows.
        rows: Which of them judge the model, how much each counts and which belong together.
        roles: What the columns are for.
        model: The model judged.
        champion: What it is compared with, if there is one.
        champion_reference: How the user named it.
        metrics: Each defined metric with its interval.
        undefined: Why the others are not defined.
        comparisons: The model beside the champion, by metric; None without a champion that can be compared.
        dummies: The model beside a constant guess, by the deciding metric and by proper scores, where defined.
        slices: The metric in slices.
        fairness: How far apart groups of rows are, as asked.
        reliance: What the model relies on.
        explained: Why a few predictions are what they are.
        agreement: ONNX Runtime beside what training recorded, on the golden rows.
        decision: The verdict and why.
    """

    settings: EvaluationSettings
    metric: Metric
    test: StoredTable
    rows: JudgedRows
    roles: ManifestRoles
    model: Contender
    champion: Contender | None
    champion_reference: str
    metrics: dict[str, Interval]
    undefined: dict[str, str]
    comparisons: dict[str, Comparison] | None
    dummies: list[Comparison]
    slices: list[Slice]
    fairness: list[Fairness]
    reliance: Reliance
    explained: ExplainedRows
    agreement: Agreement
    decision: GateDecision

    @property
    def rival(self) -> Scored | None:
        """The champion on the rows judged, where it can be compared on them."""
        return None if self.champion is None or self.rows.unfair else self.champion.scored
