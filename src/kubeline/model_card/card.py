"""The content of a model card; ``docs/model-card.schema.json`` is its published schema."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class About(_Part):
    """What only people know; whoever gives it names further things as they like (`more`)."""

    owner: str = ""
    contact: str = ""
    license: str = ""
    purpose: str = ""
    intended_use: str = ""
    out_of_scope: str = ""
    limits: list[str] = []
    more: dict[str, str] = {}

    @classmethod
    def read(cls, given: dict[str, Any]) -> Self:
        """From what was given as a parameter: nothing of it is refused, since a card comes at the end of a long run."""
        texts = {
            name: _text(given[name]) for name in cls.model_fields if name in given and name not in ("limits", "more")
        }
        limits = given.get("limits", [])
        more = {str(name): _text(value) for name, value in given.items() if name not in cls.model_fields}
        return cls(
            **texts,
            limits=[_text(one) for one in limits] if isinstance(limits, list) else [_text(limits)],
            more=more,
        )


class CardFeature(_Part):
    """A column that the model reads; `categories` is how many values of a category it distinguishes."""

    name: str
    kind: str
    categories: int | None = None


class CardModel(_Part):
    """What it is; its digest is its identity."""

    package_digest: str
    task: str
    target: str
    classes: list[str] | None
    positive_class: str | None
    estimator: str
    params: dict[str, Any]
    seed: int
    features: list[CardFeature]


class CardTable(_Part):
    """A table; fields that are not known are None."""

    fingerprint: str | None = None
    source: str | None = None
    rows: int | None = None
    columns: int | None = None


class CardTraining(_Part):
    """How it came to be. `metrics` are of the rows that training held out, `score` is what candidates are chosen by."""

    table: CardTable
    roles: dict[str, Any]
    score_name: str
    score: float | None
    metrics: dict[str, float]
    candidates: int | None = None
    trials: int | None = None


class Measured(_Part):
    """A value with its interval."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None


class CardCheck(_Part):
    """One check of the gate."""

    name: str
    outcome: str
    sentence: str


class CardSlice(_Part):
    """The deciding metric on part of the rows; `undefined` says why there is none."""

    slice: str
    rows: int
    measured: Measured | None
    undefined: str = ""
    weak: bool = False


class CardFairness(_Part):
    """How far apart a metric of fairness finds the groups of a column; `outcome` is of the gate where one is asked."""

    metric: str
    column: str
    label: str | None = None
    groups: list[str]
    measured: Measured | None
    allowed: str = ""
    outcome: str = ""
    sentence: str


class CardCalibration(_Part):
    """The expected calibration error, and (predicted, observed, rows) by bins of the probability of `event`."""

    event: str
    error: float
    bins: list[tuple[float, float, float]]


class _Loss(_Part):
    loss: float | None = None
    spread: float | None = None
    lower: float | None = None
    upper: float | None = None


class CardImportance(_Loss):
    """What the deciding metric loses when the column is shuffled, in its unit, with an interval."""

    feature: str


class CardImportanceTogether(_Loss):
    """The same of correlated columns, shuffled together."""

    features: list[str]


class CardDependence(_Part):
    """Partial dependence: the mean of what is predicted (`of`) for each value of a column.

    `positions` are its values as numbers; None where they have no order. `correlated` are columns that go with it.
    """

    feature: str
    of: str
    correlated: list[str]
    values: list[str]
    positions: list[float] | None = None
    means: list[float]


class CardContribution(_Part):
    """How far a column moves a prediction; `error` is at most its standard error, zero where it is exact."""

    column: str
    by: float
    error: float


class CardExplained(_Part):
    """Why one prediction is what it is: base, the largest contributions and the sum of all others add up to it."""

    row: int
    title: str
    of: str
    actual: str
    prediction: float
    base: float
    contributions: list[CardContribution]
    others: float


class CardComparison(_Part):
    """A metric beside the champion's; above zero `difference` is better for the model."""

    metric: str
    model: float | None = None
    champion: float | None = None
    difference: Measured = Measured()
    p_value: float | None = None
    method: str = ""


class CardEvaluation(_Part):
    """What `evaluate` found on rows that the model had never seen."""

    verdict: str
    reasons: list[str]
    table: CardTable
    rows_judged: int
    assumed: str = ""
    confidence: float | None = None
    deciding_metric: str
    metrics: dict[str, Measured] = {}
    checks: list[CardCheck] = []
    slices: list[CardSlice]
    fairness: list[CardFairness] = []
    calibration: CardCalibration | None = None
    importances: list[CardImportance] = []
    importances_together: list[CardImportanceTogether] = []
    dependence: list[CardDependence] = []
    explained: list[CardExplained] = []


class CardServing(_Part):
    """What `infra_validate` found in the real model server."""

    verdict: str
    golden_rows: int | None
    max_difference: float | None
    latency_p95_ms: dict[str, float]


class CardChanges(_Part):
    """What is new since the champion that the model was compared with; `changed` has [before, now] by name."""

    reference: str = ""
    package_digest: str = ""
    not_compared: str
    comparisons: list[CardComparison]
    features_added: list[str] = []
    features_removed: list[str] = []
    changed: dict[str, tuple[Any, Any]] = {}


class CardAnalysis(_Part):
    """What the judge said of one step of a rollout; `share` is per cent of the traffic."""

    share: int | None
    outcome: str
    sentence: str


class CardRollout(_Part):
    """How users met the model. `smoke` and `shadow` are sentences, empty where there was no such test."""

    outcome: str
    reason: str = ""
    rollout_id: str = ""
    stable_digest: str = ""
    smoke: str
    shadow: str
    analyses: list[CardAnalysis] = []


class ModelCard(_Part):
    """The whole card; `rollout` is None until a rollout of the package has ended."""

    format: Literal[1] = 1
    name: str
    about: About
    model: CardModel
    training: CardTraining
    evaluation: CardEvaluation
    serving: CardServing | None
    rollout: CardRollout | None = None
    changes: CardChanges | None
    limits: list[str]
    lineage: dict[str, str]

    def json_text(self) -> str:
        """The card as JSON, for programs."""
        return self.model_dump_json(indent=2) + "\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
