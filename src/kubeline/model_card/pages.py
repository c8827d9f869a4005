"""A model card for people: as Markdown, in the form that model hubs read, and as a page."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from kubeline.errors import listed
from kubeline.model_card.card import (
    CardEvaluation,
    CardImportance,
    CardImportanceTogether,
    CardRollout,
    Measured,
    ModelCard,
)
from kubeline.printable import markdown, rounded
from kubeline.reports import Report, facts, table, text, verdict

PAGE, DATA = "model_card.html", "model_card.json"
_TASKS = {"regression": "tabular-regression"}  # in the words of model hubs; the others are classifications
_TONES = {"promote": "good"}
_MOST_ROWS = 100  # of a table for people; model_card.json has all
_NEEDED = ("owner", "purpose", "intended_use")

TableBlock = tuple[str, list[str], list[list[Any]]]  # what it is, columns, rows
CardBlock = str | list[str] | TableBlock  # a sentence, several as a list, or a table


def forms(card: ModelCard) -> dict[str, str]:
    """The card in its three forms, by file name."""
    return {"README.md": markdown_text(card), PAGE: page(card).html(), DATA: card.json_text()}


def markdown_text(card: ModelCard) -> str:
    """The card as ``README.md`` of a model hub: YAML front matter, then sections."""
    import yaml

    front = yaml.safe_dump(_front_matter(card), sort_keys=False, allow_unicode=True)
    lines = ["---", front.rstrip(), "---", "", f"# {markdown(card.name)}", "", markdown(_summary(card)), ""]
    for heading, parts in _sections(card):
        lines += [f"## {heading}", ""]
        for part in parts:
            lines += [*_as_markdown(part), ""]
    return "\n".join(lines).rstrip() + "\n"


def page(card: ModelCard) -> Report:
    """The card as a self-contained page."""
    report = Report(f"Model card of {card.name}", _summary(card))
    outcome = card.evaluation.verdict
    report.add("Verdict", verdict(outcome, _TONES.get(outcome, "warn"), card.evaluation.reasons))  # type: ignore[arg-type]
    for heading, parts in _sections(card):
        report.add(heading, *(_as_html(part) for part in parts))
    return report


def _summary(card: ModelCard) -> str:
    model = card.model
    return f"{model.estimator} for {model.target} ({model.task}), package {model.package_digest[:12]}"


def _front_matter(card: ModelCard) -> dict[str, Any]:
    task = _TASKS.get(card.model.task, "tabular-classification")
    dataset = {"type": "tabular", "name": _plain_words(card.evaluation.table.source or "", "test rows")}
    if card.evaluation.table.fingerprint:
        dataset["revision"] = card.evaluation.table.fingerprint
    results = [
        {"type": name, "value": found.value}
        for name, found in card.evaluation.metrics.items()
        if found.value is not None
    ]
    index = {"name": card.name, "results": [{"task": {"type": task}, "dataset": dataset, "metrics": results}]}
    return {
        **({"license": _plain_words(card.about.license, "other")} if card.about.license else {}),
        "library_name": "onnx",
        "pipeline_tag": task,
        "tags": ["kubeline", "tabular", card.model.estimator],
        "metrics": list(card.evaluation.metrics),
        "model-index": [index],
    }


def _plain_words(words: str, otherwise: str) -> str:
    """The words, where they are no markup to a reader who takes the front matter for Markdown."""
    return words if re.fullmatch(r"[\w .,:/+()-]+", words) else otherwise


def _sections(card: ModelCard) -> Iterator[tuple[str, list[CardBlock]]]:
    """Headings with sentences and tables, the same in every form."""
    yield "Purpose and owner", [_about(card), *_missing(card)]
    yield "Limits", [[_sentence(limit) for limit in card.limits] or "None is known."]
    yield "Metrics", _metrics(card.evaluation)
    if card.evaluation.slices:
        yield "Slices", [_slices(card.evaluation)]
    if card.evaluation.fairness:
        yield "Fairness", [_fairness(card.evaluation)]
    if card.evaluation.calibration:
        yield "Calibration", _calibration(card)
    if card.evaluation.importances:
        yield "What it goes by", _importances(card)
    if card.evaluation.dependence:
        yield "How predictions go along with a column", _dependence(card.evaluation)
    if card.evaluation.explained:
        yield "Single predictions", _explained(card.evaluation)
    yield "Gate", [_gate(card.evaluation), *_serving(card)]
    if card.rollout:
        yield "Rollout", _rollout(card.rollout)
    yield "Since the champion", _since(card)
    yield "Data", [_data(card), _features(card)]
    yield "Training", [_training(card)]
    yield "Lineage", [("Where it comes from", ["", ""], [[name, value] for name, value in card.lineage.items()])]


def _about(card: ModelCard) -> TableBlock:
    about = card.about
    values = {
        "owner": about.owner,
        "contact": about.contact,
        "license": about.license,
        "purpose": about.purpose,
        "intended use": about.intended_use,
        "out of scope": about.out_of_scope,
        **about.more,
    }
    return "What people say of it", ["", ""], [[name, value] for name, value in values.items() if value]


def _missing(card: ModelCard) -> list[str]:
    gone = [name for name in _NEEDED if not getattr(card.about, name)]
    return [f"Nobody has said: {', '.join(gone).replace('_', ' ')}. The parameter about says it."] if gone else []


def _metrics(found: CardEvaluation) -> list[CardBlock]:
    rows = [[name, value.value, _interval(value)] for name, value in found.metrics.items()]
    level = "" if found.confidence is None else f", intervals are of {100 * found.confidence:g} %"
    sentence = f"On {found.rows_judged:,} rows that the model had never seen; {found.deciding_metric} decides{level}."
    return [
        sentence,
        *([_sentence(found.assumed)] if found.assumed else []),
        ("Each metric with its interval", ["metric", "value", "interval"], rows),
    ]


def _slices(found: CardEvaluation) -> TableBlock:
    rows = []
    for one in found.slices:
        known = ["", one.undefined] if one.measured is None else [one.measured.value, _interval(one.measured)]
        rows.append([one.slice, one.rows, *known, "yes" if one.weak else ""])
    return f"{found.deciding_metric} in parts of the rows", ["rows with", "rows", "value", "interval", "weak"], rows


def _fairness(found: CardEvaluation) -> TableBlock:
    rows = []
    for one in found.fairness:
        measured = one.measured or Measured()
        by = f"{one.column} (of {one.label})" if one.label else one.column
        known = [measured.value, _interval(measured)] if one.measured else ["", one.sentence]
        rows.append([one.metric, by, len(one.groups), *known, one.allowed, one.outcome])
    columns = ["metric", "by", "groups", "value", "interval", "allowed", "outcome"]
    return "How far apart groups are; an interval holds for all pairs of groups", columns, rows


def _calibration(card: ModelCard) -> list[CardBlock]:
    found = card.evaluation.calibration
    assert found is not None  # noqa: S101 (asked for where there is one)
    off = rounded(found.error, 3)
    sentence = f"The probability of {found.event} is off by {off} in the mean (expected calibration error)."
    rows = [[predicted, observed, round(count)] for predicted, observed, count in found.bins]
    return [sentence, ("Predicted and observed", ["predicted", "observed", "rows"], rows)]


def _importances(card: ModelCard) -> list[CardBlock]:
    found = card.evaluation
    columns = ["column", "loss", "interval"]
    rows = [[one.feature, one.loss, _interval(one)] for one in found.importances]
    lost = f"What {found.deciding_metric} loses when a column is shuffled"
    blocks: list[CardBlock] = [f"{lost}.", ("Permutation importance", columns, rows)]
    if found.importances_together:
        rows = [[listed(one.features), one.loss, _interval(one)] for one in found.importances_together]
        together = "Correlated columns, which answer for each other, shuffled together"
        blocks.append((together, ["columns", "loss", "interval"], rows))
    return blocks


def _dependence(found: CardEvaluation) -> list[CardBlock]:
    rows = []
    for one in found.dependence:
        places = sorted(range(len(one.means)), key=one.means.__getitem__)
        ends = [f"{rounded(one.means[place], 3)} at {one.values[place]}" for place in (places[0], places[-1])]
        rows.append([one.feature, *ends, listed(one.correlated)])
    sentence = (
        f"The mean {found.dependence[0].of} for test rows that all have the same value of a column (partial "
        "dependence). Where another column goes with it, some of these rows do not exist in the data."
    )
    return [sentence, ("Lowest and highest", ["column", "lowest", "highest", "goes with"], rows)]


def _explained(found: CardEvaluation) -> list[CardBlock]:
    rows = []
    for one in found.explained:
        named = [f"{each.column} {rounded(each.by, 3, sign=True)}" for each in one.contributions]
        others = [f"others {rounded(one.others, 3, sign=True)}"] if one.others else []
        rows.append([one.title, one.of, one.base, ", ".join([*named, *others]), one.prediction, one.actual])
    sentence = (
        "A few predictions for test rows: the base, which is the mean prediction of the golden rows, and what columns "
        "contribute (Shapley values) add up to each. The columns' values in these rows are not part of this card."
    )
    return [sentence, ("Explained", ["which", "of", "base", "contributions", "prediction", "true"], rows)]


def _gate(found: CardEvaluation) -> TableBlock:
    return "Checks", ["check", "outcome", "why"], [[one.name, one.outcome, one.sentence] for one in found.checks]


def _serving(card: ModelCard) -> list[CardBlock]:
    found = card.serving
    if found is None:
        return ["The model was not tried in the model server."]
    times = ", ".join(f"{name} {rounded(value, 3)} ms" for name, value in found.latency_p95_ms.items())
    largest = "" if found.max_difference is None else f", the largest difference being {found.max_difference:.2g}"
    asked = "" if found.golden_rows is None else f" It was asked {found.golden_rows:,} golden rows{largest}."
    return [
        f"In the model server: {found.verdict}.{asked}" + (f" 95 % of requests take at most: {times}." if times else "")
    ]


def _rollout(found: CardRollout) -> list[CardBlock]:
    beside = f", beside package {found.stable_digest[:12]}" if found.stable_digest else ""
    said: list[CardBlock] = [_sentence(f"{found.outcome.replace('_', ' ')}{beside}: {found.reason}")]
    if found.smoke:
        said.append(_sentence(f"before any user met it, {found.smoke}"))
    if found.shadow:
        said.append(_sentence(f"on logged requests: {found.shadow}"))
    rows = [[one.share, one.outcome, one.sentence] for one in found.analyses]
    return [*said, ("What the judge said of each step", ["% of the traffic", "verdict", "why"], rows)]


def _since(card: ModelCard) -> list[CardBlock]:
    found = card.changes
    if found is None:
        return ["There was no champion to compare with."]
    said: list[CardBlock] = [f"Compared with {found.reference}, package {found.package_digest[:12]}."]
    if found.not_compared:
        said.append(f"Not compared: {found.not_compared}.")
    for word, names in (("New", found.features_added), ("Gone", found.features_removed)):
        if names:
            said.append(f"{word} features: {listed(names)}.")
    if found.comparisons:
        rows = [
            [one.metric, one.model, one.champion, _interval(one.difference), one.p_value, one.method]
            for one in found.comparisons
        ]
        said.append(("Metrics of both", ["metric", "model", "champion", "difference", "p", "by"], rows))
    if found.changed:
        changed = [[name, _plain(before), _plain(now)] for name, (before, now) in found.changed.items()]
        said.append(("What is set otherwise", ["setting", "champion", "this model"], changed))
    return said


def _data(card: ModelCard) -> TableBlock:
    rows = [
        [name, _plain(one.source), _plain(one.rows), _plain(one.columns), _plain(one.fingerprint)]
        for name, one in (("training", card.training.table), ("evaluation", card.evaluation.table))
    ]
    return "Tables", ["table", "source", "rows", "columns", "fingerprint"], rows


def _features(card: ModelCard) -> TableBlock:
    rows = [[one.name, one.kind, _plain(one.categories)] for one in card.model.features]
    return f"Columns that it reads, to predict {card.model.target}", ["column", "kind", "categories"], rows


def _training(card: ModelCard) -> TableBlock:
    found, model = card.training, card.model
    values = {
        "estimator": model.estimator,
        "classes": listed(model.classes) if model.classes else None,
        "positive class": model.positive_class,
        "seed": model.seed,
        found.score_name: found.score,
        "candidates": found.candidates,
        "trials": found.trials,
        **{f"{name} column": value for name, value in found.roles.items() if value},
        **model.params,
    }
    return (
        "How it was trained",
        ["", ""],
        [[name, _plain(value)] for name, value in values.items() if value is not None],
    )


def _sentence(words: str) -> str:
    """With a capital and a full stop, as it stands by itself."""
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def _interval(found: Measured | CardImportance | CardImportanceTogether) -> str:
    if found.lower is None or found.upper is None:
        return ""
    return f"{rounded(found.lower)} to {rounded(found.upper)}"


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _shown(part: TableBlock) -> TableBlock:
    caption, columns, rows = part
    if len(rows) <= _MOST_ROWS:
        return part
    return f"{caption}: the first {_MOST_ROWS} of {len(rows):,}, all are in model_card.json", columns, rows[:_MOST_ROWS]


def _as_markdown(part: CardBlock) -> list[str]:
    if isinstance(part, str):
        return [markdown(part)]
    if isinstance(part, list):
        return [f"- {markdown(one)}" for one in part]
    caption, columns, rows = _shown(part)
    if not rows:
        return []
    lines = [f"{markdown(caption)}:", "", _line(columns), "|" + "---|" * len(columns)]
    return [*lines, *(_line([rounded(cell) if isinstance(cell, float) else cell for cell in row]) for row in rows)]


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(markdown("" if cell is None else cell) for cell in cells) + " |"


def _as_html(part: CardBlock) -> Markup:
    if isinstance(part, str):
        return text(part)
    if isinstance(part, list):
        return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(one) for one in part))
    caption, columns, rows = _shown(part)
    if not rows:
        return Markup("")
    if columns == ["", ""]:
        return facts({str(name): value for name, value in rows})
    return table(columns, [["" if cell is None else cell for cell in row] for row in rows], note=caption)
