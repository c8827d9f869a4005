"""The HTML report of a validation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from markupsafe import Markup

from kubeline.addresses import redact
from kubeline.errors import counted
from kubeline.printable import rounded
from kubeline.reports import Report, facts, table, text, verdict
from kubeline.schema.document import Column, Target
from kubeline.schema.examine import Examination
from kubeline.schema.findings import Finding, problem_count
from kubeline.schema.infer import plain
from kubeline.schema.profile import EXACT_ROWS, ColumnProfile

Mode = Literal["fail", "warn", "quarantine"]

WIDTH, HEIGHT, BINS = 132, 26, 30  # of the small drawing of a column, in pixels and bars
SHOWN_CLASSES = 20
SHOWN_SCORES = 8
SHOWN_COLUMNS = 500  # of a wide table, which no one scrolls through


def build_report(
    found: Examination, mode: Mode | str, schema_uri: str, failed: bool, features: Sequence[Mapping[str, Any]] = ()
) -> Report:
    """The page: verdict, findings, target, the `features` that `load` joined, and every column's distribution."""
    origin = f"the schema {redact(schema_uri)}" if schema_uri else "the schema inferred from this table"
    report = Report(
        "Table validation",
        f"{counted(found.tally.rows, 'row')}, {counted(len(found.profile.columns), 'column')}, by {origin}",
    )
    report.add("Verdict", _verdict(found, mode, failed), _facts(found, mode, failed))
    everything = [*found.problems, *found.row_problems]
    if everything:
        report.add("Problems", _findings(everything))
    if found.warnings:
        report.add("Warnings", text("Nothing here stops the pipeline."), _findings(found.warnings))
    target = found.schema.target
    if target is not None and target.column in found.profile.columns:
        report.add(f"Target: {target.column}", *_target(found, target))
        if found.leaks:
            report.add("How well each column alone predicts the target", _scores(found, target))
    if features:
        report.add("Features that were joined by time", _features(features))
    report.add("Columns", _columns(found))
    if found.schema.rules or found.schema.unique:
        report.add("Rules and keys", _rules(found))
    report.add("The schema", *_about_schema(found))
    return report


def _features(joined: Sequence[Mapping[str, Any]]) -> Markup:
    """What was joined, by what, of which times, how old it was at most, and how many rows found nothing."""
    rows = [
        (
            each.get("name") or each["source"],
            ", ".join(each.get("keys", {}).values()) or "nothing",
            f"{each.get('since', '')} to {each.get('until', '')}",
            each.get("oldest", ""),
            each.get("max_age", "any"),
            f"{1 - each['found']:.2%}",
            each["fingerprint"][:12],
        )
        for each in joined
    ]
    heads = ("features", "joined by", "of the times", "oldest", "allowed age", "rows without", "fingerprint")
    return table(heads, rows, "Each row has the latest features that were known at its own time.")


def _verdict(found: Examination, mode: str, failed: bool) -> Markup:
    everything = [*found.problems, *found.row_problems]
    if not everything:
        return verdict("passed", "good", [f"The schema is met by {counted(found.tally.rows, 'row')}."])
    reasons = [finding.message for finding in everything[:5]]
    reasons += [f"and {len(everything) - 5:,} more, below"] if len(everything) > 5 else []
    if failed:
        return verdict(f"failed: {problem_count(everything)}", "bad", reasons)
    if mode == "quarantine":
        word = f"passed without {found.tally.bad_rows:,} quarantined rows"
        return verdict(word, "warn", reasons)
    return verdict(f"{problem_count(everything)}, reported only", "warn", reasons)


def _facts(found: Examination, mode: str, failed: bool) -> Markup:
    rows, bad = found.tally.rows, found.tally.bad_rows
    quarantined = bad if mode == "quarantine" and not failed else 0
    values: dict[str, Any] = {"Mode": mode, "Rows in": rows, "Rows with a fault": _share(bad, rows)}
    if failed:
        values["Output"] = "no data was passed on"
    else:
        values |= {"Rows passed on": rows - quarantined, "Rows quarantined": quarantined}
    copies = found.profile.copies
    return facts(values | {"Rows equal to an earlier one": _share(copies, rows)})


def _share(count: int, rows: int) -> str:
    if not count:
        return "0"
    return f"{count:,} ({f'{count / rows:.2%}' if count >= rows / 10_000 else 'less than 0.01%'})"


def _findings(findings: Iterable[Finding]) -> Markup:
    rows = [
        (
            f.check,
            _code(f.column) if f.column else "the table",
            _capital(f.message) + (f"; {f.advice}" if f.advice else ""),
            f.rows if f.rows is not None else "",
        )
        for f in findings
    ]
    return table(["Check", "Column", "What was found", "Rows"], rows)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _target(found: Examination, target: Target) -> list[Markup]:
    counted = " Classes are counted over the rows without a fault." if found.tally.bad_rows else ""
    blocks = [text(f"A target for {target.task}.{counted}")]
    labels = found.tally.labels
    if target.task == "classification" and labels:
        total = sum(labels.values())
        rows = [
            (str(plain(value)), count, f"{count / total:.2%}", _bar(count / max(labels.values())))
            for value, count in labels.most_common(SHOWN_CLASSES)
        ]
        note = (
            f"{len(labels):,} classes, the {SHOWN_CLASSES} most frequent shown." if len(labels) > SHOWN_CLASSES else ""
        )
        blocks.append(table(["Class", "Rows", "Share", "Drawn"], rows, note))
    return blocks


def _scores(found: Examination, target: Target) -> Markup:
    """The columns that predict the target best alone; the bars begin at chance."""
    chance, measure = (0.5, "AUC") if target.task == "classification" else (0.0, "R² of ranks")
    flagged = {finding.column for finding in found.problems if finding.check == "leak"}
    rows = [
        (_code(name), f"{score:.3f}", _bar((score - chance) / (1 - chance), "bad" if name in flagged else "model"))
        for name, score in list(found.leaks.items())[:SHOWN_SCORES]
    ]
    note = (
        f"Fitted on one half of {len(found.sample):,} sampled rows and scored on the other. The bars go from chance "
        f"({chance:g}) to 1, where the column gives the target away."
    )
    return table(["Column", measure, "Drawn"], rows, note)


def _bar(share: float, colour: str = "model") -> Markup:
    width = max(1.0, min(share, 1.0) * WIDTH)
    return Markup(
        '<svg width="{}" height="12" role="img" aria-label="{}"><rect width="{}" height="12" style="fill:var(--grid)"/>'
        '<rect width="{:.1f}" height="12" style="fill:var(--{})"/></svg>'
    ).format(WIDTH, f"{share:.2f}", WIDTH, width, colour)


def _columns(found: Examination) -> Markup:
    flagged = {finding.column for finding in found.warnings if finding.column}
    faulty = {finding.column for finding in [*found.problems, *found.row_problems] if finding.column}
    rows = []
    marked = [name for name in found.profile.columns if name in faulty | flagged]
    every = list(found.profile.columns)
    shown = every if len(every) <= SHOWN_COLUMNS else list(dict.fromkeys([*marked, *every]))[:SHOWN_COLUMNS]
    for name in shown:
        column, expected = found.profile.columns[name], found.schema.columns.get(name)
        sample = found.sample.get(name)
        values, drawing = _values(column, sample), _drawing(column, sample)
        if name in found.personal:
            values, drawing = f"not shown: {found.personal[name]}", Markup("")
        rows.append(
            (
                _name(name, "problem" if name in faulty else "warning" if name in flagged else ""),
                expected.type if expected else f"{column.type} (not in the schema)",
                f"{column.missing_share:.1%}" if column.missing else "–",
                column.distinct if column.distinct is not None else "",
                values,
                drawing,
                _enforced(expected),
            )
        )
    note = "Drawings show a sample: numbers and times between the ends, categories by frequency."
    note += f" Distinct values are estimates above {EXACT_ROWS:,} rows." if found.profile.rows > EXACT_ROWS else ""
    if len(shown) < len(every):
        note += f" {len(shown):,} of {len(every):,} columns, those with findings first; the schema artifact has all."
    return table(["Column", "Type", "Missing", "Distinct", "Values", "Distribution", "Enforced"], rows, note)


def _code(name: str) -> Markup:
    return Markup("<code>{}</code>").format(name)


def _name(name: str, mark: str) -> Markup:
    if not mark:
        return _code(name)
    tone = "bad" if mark == "problem" else "warn"
    return Markup('<code>{}</code><br><small style="color:var(--{})">{}</small>').format(name, tone, mark)


def _values(column: ColumnProfile, sample: "pd.Series | None") -> str:
    if column.min is not None:
        return f"{_number(column.min)} to {_number(column.max)}"
    if column.type not in ("string", "boolean") or sample is None:
        return ""
    frequent = list(column.counts or sample.value_counts().head(3).index)[:3]
    words = [word if len(word) <= 16 else word[:15] + "…" for word in map(str, frequent)]
    return ", ".join(words) + (", …" if (column.distinct or 0) > len(words) else "")


def _number(value: Any) -> str:
    value = plain(value)
    if isinstance(value, float):
        return rounded(value)
    return str(value).removesuffix("T00:00:00").replace("T", " ")


def _enforced(column: Column | None) -> str:
    if column is None:
        return ""
    parts = [f"missing ≤ {column.max_missing:.0%}"] if 0 < column.max_missing < 1 else []
    parts += ["never missing"] if column.max_missing == 0 else []
    if column.min is not None or column.max is not None:
        low, high = ("…" if limit is None else str(limit) for limit in (column.min, column.max))
        parts.append(f"{low} to {high}")
    if column.categories is not None:
        parts.append(counted(len(column.categories), "category"))
    return ", ".join(parts + ([] if column.required else ["optional"]))


def _drawing(column: ColumnProfile, sample: "pd.Series | None") -> Markup:
    """A histogram, or a bar for each frequent category, as a small inline SVG."""
    if sample is None or column.type == "any":
        return Markup("")
    if column.counts is not None and (column.type in ("string", "boolean") or len(column.counts) <= BINS):
        pairs = list(column.counts.items())
        if column.type in ("integer", "number", "datetime"):
            pairs.sort(key=lambda pair: pair[0])
        return _bars([count for _, count in pairs[:BINS]], f"frequency of the values of {column.name}")
    if column.type == "string":
        return _bars(sample.value_counts().head(BINS).tolist(), f"most frequent values of {column.name}", "neutral")
    times = pd.api.types.is_datetime64_any_dtype(sample)
    numbers = sample.dropna().astype("int64" if times else "float64").to_numpy(dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return Markup("")
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(numbers.max() - numbers.min()):
            return Markup("")
    return _bars(np.histogram(numbers, bins=BINS)[0].tolist(), f"histogram of {column.name}")


def _bars(counts: list[int], label: str, colour: str = "model") -> Markup:
    top = max(counts, default=0)
    if not top:
        return Markup("")
    width = min(WIDTH / len(counts), 22.0)
    shapes = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            index * width, HEIGHT - max(height, 0.7), max(width - 1, 0.8), max(height, 0.7)
        )
        for index, height in enumerate(HEIGHT * count / top for count in counts)
        if height
    )
    return Markup('<svg width="{}" height="{}" role="img" aria-label="{}" style="fill:var(--{})">{}</svg>').format(
        WIDTH, HEIGHT, label, colour, shapes
    )


def _rules(found: Examination) -> Markup:
    counts = found.tally.counts
    rows: list[tuple[Any, ...]] = []
    for check in found.checker.checks.values():
        if check.check in ("rule", "unique"):
            label = check.reason.removeprefix("rule: ").removesuffix(": repeated")
            rows.append((_code(label), check.check, counts[check.reason]))
    known = {f"rule: {rule}" for rule in found.schema.rules} - set(found.checker.checks)
    rows += [(_code(rule[6:]), "rule", "not checked: a column fails") for rule in sorted(known)]
    return table(["Rule or key", "Kind", "Rows that break it"], rows)


def _about_schema(found: Examination) -> list[Markup]:
    values = {"Columns": len(found.schema.columns), "Fingerprint": found.schema.fingerprint[:16]}
    if not found.inferred:
        return [text("The table was checked against a given schema."), facts(values)]
    words = (
        "The schema artifact was inferred from this table: types, columns, missing shares and the target's classes are "
        "enforced; ranges and categories are recorded under “observed”. Edit it, keep it under version control, and "
        "give it as schema_uri to check later tables against it."
    )
    return [text(words), facts(values)]
