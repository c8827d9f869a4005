"""A model card from what the steps before have written: the package and the evidence of its blessings."""

from collections.abc import Mapping
from typing import Any

from kubeline.addresses import redact
from kubeline.errors import UserError, listed
from kubeline.model_card.card import (
    About,
    CardChanges,
    CardEvaluation,
    CardFeature,
    CardModel,
    CardRollout,
    CardServing,
    CardTable,
    CardTraining,
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
    said = {test: (decision.get(test) or {}).get("sentence", "") for test in ("smoke", "shadow")}
    evidence = CardRollout.model_validate({**decision, **said}, extra="ignore")
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
    table = _table({**record.get("table", {}), "fingerprint": manifest.dataset_fingerprint})
    known = manifest.model_dump(include={"roles", "score_name", "score", "metrics"})
    return CardTraining.model_validate({**record, **known, "table": table}, extra="ignore")


def _table(known: Mapping[str, Any]) -> CardTable:
    texts = {"fingerprint": known.get("fingerprint") or None, "source": redact(str(known.get("source") or "")) or None}
    return CardTable.model_validate({**known, **texts}, extra="ignore")


def _evaluation(blessing: Blessing) -> CardEvaluation:
    found = blessing.evidence
    rows = found.get("rows")
    document = {
        **found,
        "verdict": blessing.verdict,
        "reasons": blessing.reasons,
        "table": _table({"fingerprint": found.get("test_fingerprint"), **(found.get("test_table") or {})}),
        "rows_judged": rows.get("judged", 0) if isinstance(rows, Mapping) else 0,
        "deciding_metric": found.get("metric", ""),
        "slices": [{**one, "measured": None if one.get("undefined") else one} for one in found.get("slices", [])],
        "fairness": [_fairness(one) for one in (found.get("fairness") or {}).values()],
    }
    return CardEvaluation.model_validate(document, extra="ignore")


def _fairness(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "label": one.get("class"),
        "groups": [str(group["group"]) for group in one.get("groups", [])],
        "measured": one if one.get("value") is not None else None,
        **{name: one.get(name) or "" for name in ("allowed", "outcome")},
    }


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
    document = {
        **champion,
        **(champion.get("changes") or {}),
        "not_compared": champion.get("not_compared") or "",
        "comparisons": [{"metric": name, **one} for name, one in (evidence.get("comparison") or {}).items()],
    }
    return CardChanges.model_validate(document, extra="ignore")


def _limits(package: ModelPackage, evidence: Mapping[str, Any]) -> list[str]:
    """What the steps themselves found out to be no sure ground."""
    weak = [one["slice"] for one in evidence.get("slices", []) if one.get("weak")]
    found = [f"it is worse than on the other rows where {listed(weak)}"] if weak else []
    found += [f"{name} is not known: {reason}" for name, reason in (evidence.get("undefined") or {}).items()]
    if package.manifest.params.get("balanced"):
        found.append("classes had the same weight in training, so that probabilities are not those of the table")
    if not evidence.get("slices"):
        found.append("no part of the rows was examined by itself: no slices were asked for")
    if not evidence.get("fairness"):
        found.append("whether groups are treated alike was not examined: no fairness was asked for")
    return found
