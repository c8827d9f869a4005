"""A model card from what the steps before have written: the package and the evidence of its blessings."""

from collections.abc import Mapping
from typing import Any

from kubeline.addresses import redact
from kubeline.errors import UserError, listed
from kubeline.model_card.card import (
    About,
    CardAnalysis,
    CardCalibration,
    CardChanges,
    CardCheck,
    CardComparison,
    CardDependence,
    CardEvaluation,
    CardExplained,
    CardFairness,
    CardFeature,
    CardImportance,
    CardImportanceTogether,
    CardModel,
    CardRollout,
    CardServing,
    CardSlice,
    CardTable,
    CardTraining,
    Measured,
    ModelCard,
)
from kubeline.model_package.blessing import Blessing
from kubeline.model_package.package import ModelPackage


def build(
    name: str,
    package: ModelPackage,
    evaluation: Blessing,
    infra_validation: Blessing | None,
    lineage: Mapping[str, str],
    about: Mapping[str, Any],
) -> ModelCard:
    """The card of a package; what is not known is left out of it, never guessed.

    Args:
        name: of the registered model.
        package: the model.
        evaluation: its verdict and evidence.
        infra_validation: that of the model server, if there is one.
        lineage: such as the pipeline run, as text.
        about: what people say of it, see :class:`About`.
    """
    found = evaluation.evidence
    about_it = About.read(dict(about))
    return ModelCard(
        name=name,
        about=about_it,
        model=_model(package),
        training=_training(package, found),
        evaluation=_evaluation(evaluation),
        serving=None if infra_validation is None else _serving(infra_validation),
        changes=_changes(found),
        limits=[*about_it.limits, *_limits(package, found)],
        lineage={
            **{key: value for key, value in lineage.items() if value},
            **{f"version.{library}": version for library, version in sorted(package.manifest.versions.items())},
        },
    )


def rolled_out(card: ModelCard, decision: Mapping[str, Any]) -> ModelCard:
    """The card with the evidence of a rollout.

    Args:
        card: of a package.
        decision: as `rollout` writes it.

    Raises:
        UserError: when the rollout was of another package.
    """
    if decision.get("package_digest") != card.model.package_digest:
        raise UserError(
            f"the rollout was of package {str(decision.get('package_digest'))[:12]}, but the card is of "
            f"{card.model.package_digest[:12]}; give the decision of this model's rollout"
        )
    evidence = CardRollout(
        outcome=str(decision.get("outcome", "")),
        reason=str(decision.get("reason", "")),
        rollout_id=str(decision.get("rollout_id", "")),
        stable_digest=str(decision.get("stable_digest") or ""),
        smoke=str((decision.get("smoke") or {}).get("sentence", "")),
        shadow=str((decision.get("shadow") or {}).get("sentence", "")),
        analyses=[
            CardAnalysis(
                share=one.get("share"), outcome=str(one.get("outcome", "")), sentence=str(one.get("sentence", ""))
            )
            for one in decision.get("analyses", [])
        ],
    )
    return card.model_copy(update={"rollout": evidence})


def _model(package: ModelPackage) -> CardModel:
    signature, manifest = package.signature, package.manifest
    return CardModel(
        package_digest=package.digest,
        task=signature.task,
        target=signature.target,
        classes=signature.classes,
        positive_class=signature.positive_class,
        estimator=manifest.estimator,
        params=manifest.params,
        seed=manifest.seed,
        features=[
            CardFeature(
                name=feature.name,
                kind=feature.kind,
                categories=None if feature.categories is None else len(feature.categories),
            )
            for feature in signature.features
        ],
    )


def _training(package: ModelPackage, evidence: Mapping[str, Any]) -> CardTraining:
    manifest, record = package.manifest, evidence.get("training") or {}
    return CardTraining(
        table=_table({**record.get("table", {}), "fingerprint": manifest.dataset_fingerprint}),
        roles=manifest.roles.model_dump(),
        score_name=manifest.score_name,
        score=manifest.score,
        metrics=manifest.metrics,
        candidates=record.get("candidates"),
        trials=record.get("trials"),
    )


def _table(known: Mapping[str, Any]) -> CardTable:
    source = known.get("source")
    return CardTable(
        fingerprint=known.get("fingerprint") or None,
        source=redact(str(source)) if source else None,
        rows=known.get("rows"),
        columns=known.get("columns"),
    )


def _measured(value: Mapping[str, Any] | None) -> Measured:
    return Measured(**{key: (value or {}).get(key) for key in ("value", "lower", "upper")})


def _evaluation(blessing: Blessing) -> CardEvaluation:
    found = blessing.evidence
    rows = found.get("rows")
    calibration = found.get("calibration")
    return CardEvaluation(
        verdict=blessing.verdict,
        reasons=blessing.reasons,
        table=_table({"fingerprint": found.get("test_fingerprint"), **(found.get("test_table") or {})}),
        rows_judged=rows.get("judged", 0) if isinstance(rows, Mapping) else 0,
        assumed=str(found.get("assumed", "")),
        confidence=found.get("confidence"),
        deciding_metric=str(found.get("metric", "")),
        metrics={name: _measured(value) for name, value in (found.get("metrics") or {}).items()},
        checks=[
            CardCheck(**{key: str(one.get(key, "")) for key in CardCheck.model_fields})
            for one in found.get("checks", [])
        ],
        slices=[_slice(one) for one in found.get("slices", [])],
        fairness=[_fairness(one) for one in (found.get("fairness") or {}).values()],
        calibration=CardCalibration(**calibration) if calibration else None,
        importances=[CardImportance(feature=one["feature"], **_worth(one)) for one in found.get("importances", [])],
        importances_together=[
            CardImportanceTogether(features=one["features"], **_worth(one))
            for one in found.get("importances_together", [])
        ],
        dependence=[CardDependence(**one) for one in found.get("dependence", [])],
        explained=[CardExplained(**one) for one in found.get("explained", [])],
    )


def _worth(one: Mapping[str, Any]) -> dict[str, float | None]:
    return {key: one.get(key) for key in ("loss", "spread", "lower", "upper")}


def _slice(one: Mapping[str, Any]) -> CardSlice:
    undefined = str(one.get("undefined", ""))
    return CardSlice(
        slice=one["slice"],
        rows=one["rows"],
        measured=None if undefined else _measured(one),
        undefined=undefined,
        weak=bool(one.get("weak")),
    )


def _fairness(one: Mapping[str, Any]) -> CardFairness:
    return CardFairness(
        metric=one["metric"],
        column=one["column"],
        label=one.get("class"),
        groups=[str(group["group"]) for group in one.get("groups", [])],
        measured=_measured(one) if one.get("value") is not None else None,
        allowed=str(one.get("allowed") or ""),
        outcome=str(one.get("outcome") or ""),
        sentence=one["sentence"],
    )


def _serving(blessing: Blessing) -> CardServing:
    found = blessing.evidence
    times = {name: one.get("latency_p95_ms") for name, one in found.get("protocols", {}).items()}
    rows = found.get("rows")
    return CardServing(
        verdict=blessing.verdict,
        golden_rows=rows if isinstance(rows, int) else None,
        max_difference=found.get("max_difference"),
        latency_p95_ms={name: value for name, value in times.items() if value is not None},
    )


def _changes(evidence: Mapping[str, Any]) -> CardChanges | None:
    champion = evidence.get("champion")
    if not champion:
        return None
    known = champion.get("changes") or {}
    return CardChanges(
        reference=str(champion.get("reference", "")),
        package_digest=str(champion.get("package_digest", "")),
        not_compared=str(champion.get("not_compared") or ""),
        comparisons=[
            CardComparison(
                metric=name,
                model=one.get("model"),
                champion=one.get("champion"),
                difference=_measured(one.get("difference")),
                p_value=one.get("p_value"),
                method=str(one.get("method", "")),
            )
            for name, one in (evidence.get("comparison") or {}).items()
        ],
        features_added=known.get("features_added", []),
        features_removed=known.get("features_removed", []),
        changed={name: tuple(pair) for name, pair in known.get("changed", {}).items()},
    )


def _limits(package: ModelPackage, evidence: Mapping[str, Any]) -> list[str]:
    """What the steps themselves found out to be no sure ground."""
    weak = [one["slice"] for one in evidence.get("slices", []) if one.get("weak")]
    found = [f"it is worse than on the other rows where {listed(weak)}"] if weak else []
    found += [f"{name} is not known: {reason}" for name, reason in (evidence.get("undefined") or {}).items()]
    rows = evidence.get("rows")
    found += list(rows.get("notes", [])) if isinstance(rows, Mapping) else []
    if package.manifest.params.get("balanced"):
        found.append("classes had the same weight in training, so that probabilities are not those of the table")
    if not evidence.get("slices"):
        found.append("no part of the rows was examined by itself: no slices were asked for")
    if not evidence.get("fairness"):
        found.append("whether groups are treated alike was not examined: no fairness was asked for")
    return found
