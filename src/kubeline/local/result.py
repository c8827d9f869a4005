"""How a run ended, as its ``result.json`` stores it and the page of all runs shows it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kubeline import json_files
from kubeline.artifacts import publish
from kubeline.decision import GOOD, REFUSED, deciding, tone
from kubeline.errors import UserError
from kubeline.local.tasks import Output
from kubeline.printable import rounded
from kubeline.reports import Tone

FILE = "result.json"
RUNNING = "running"  # in place of the verdict of a run that goes on, and of the state of a task

_WORDS = {
    "hold": "held",
    "drift": "drifted",
    "insufficient_data": "too few rows",
    "rolled_back": "rolled back",
}
TONE_COLOURS = {"good": "green", "warn": "yellow", "bad": "red", "plain": "default"}  # on a terminal
_REGISTERED = re.compile(r"^models:/([^@/]+)")


@dataclass(frozen=True)
class TaskTime:
    """When a task ran: Unix seconds, and how many; `state` is ``succeeded``, ``failed`` or ``running``."""

    task: str
    state: str
    begun: float
    seconds: float


@dataclass(frozen=True)
class DecidingFigure:
    """The figure that a run was decided by, with its interval where it has one."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None

    def __str__(self) -> str:
        interval = (
            "" if self.lower is None or self.upper is None else f" [{rounded(self.lower)}, {rounded(self.upper)}]"
        )
        return f"{self.name} {rounded(self.value)}{interval}"


@dataclass(frozen=True)
class RunResult:
    """What is stored of a run.

    Attributes:
        pipeline: its name.
        succeeded: whether every step did its work, whatever it found.
        reason: of a run that failed, its sentence.
        verdict: how it ended, in a word: ``promoted``, ``held``, ``drifted``, ``failed``, …
        sentence: why.
        model: name of the registered model that it is about; empty for none.
        serves: what this run brought to serving, such as ``models:/flights/3``; empty for nothing.
        estimate: what it was decided by.
        started: Unix seconds.
        seconds: how long it took.
        tasks: when each task ran, in the order in which they ended.
    """

    pipeline: str
    succeeded: bool
    reason: str = ""
    verdict: str = ""
    sentence: str = ""
    model: str = ""
    serves: str = ""
    estimate: DecidingFigure | None = None
    started: float = 0.0
    seconds: float = 0.0
    tasks: tuple[TaskTime, ...] = ()

    @property
    def word(self) -> str:
        """The verdict, else whether the run succeeded."""
        return self.verdict or ("succeeded" if self.succeeded else "failed")

    @property
    def tone(self) -> Tone:
        """The colour of the verdict."""
        if self.verdict == RUNNING:
            return "plain"
        return tone(self.word)

    def write(self, folder: Path, file: str = FILE) -> None:
        """Write the file, whole, for its owner only."""
        with publish(folder / file) as partial:
            partial.touch(mode=0o600)
            partial.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
            partial.chmod(0o600)  # the reason may contain what its owner alone should read

    @classmethod
    def read(cls, file: Path) -> "RunResult":
        """The result in a file."""
        return _RESULT.validate_python(json_files.parse(json_files.contents_of(file, f"'{file}'"), f"'{file}'"))


_RESULT = TypeAdapter(RunResult)


def _is_held(result: RunResult, decision: Output | None) -> bool:
    """Whether the first step that failed did so because a check, which itself has succeeded, held the model."""
    return decision is not None and decision.verdict not in GOOD and REFUSED in result.reason


def concluded(result: RunResult, made: Sequence[Output], arguments: Mapping[str, Any]) -> RunResult:
    """The result with what the outputs say of it: the verdict, the figure it rests on, the model, and what serves."""
    decision = deciding([one for one in made if one.verdict], lambda one: one.verdict)
    uris = (str(one.metadata.get("uri")) for one in reversed(made))
    uri = next(filter(_REGISTERED.match, uris), "")
    named = [uri, str(arguments.get("reference", "")), str(arguments.get("model", ""))]
    model = next((match[1] for text in named if (match := _REGISTERED.match(text))), "")
    found = replace(
        result,
        model=model or str(arguments.get("name", "")),
        estimate=next(_estimates(made), None),
        serves=uri if any(one.metadata.get("outcome") == "promoted" for one in made) else "",
    )
    if not result.succeeded and not _is_held(result, decision):
        return replace(found, verdict="failed", sentence=result.reason)
    if decision is None:
        return replace(found, verdict="succeeded", sentence=f"registered as {uri}" if uri else "")
    why = next(iter(decision.reasons()), "")
    sentence = f"{decision.task}: {why}" if why else f"by {decision.task}"
    if uri and decision.verdict == "promote":
        sentence = f"registered as {uri}"
    return replace(found, verdict=_WORDS.get(decision.verdict, decision.verdict), sentence=sentence)


def _estimates(made: Sequence[Output]) -> Iterator[DecidingFigure]:
    """What an evaluation was decided by, and the greatest shift that a drift check found."""
    for one in made:
        if one.metadata.get("check") == "evaluation":
            try:
                evidence = json_files.parse(json_files.contents_of(one.path, "it"), "it")["evidence"]
                yield DecidingFigure(evidence["metric"], **evidence["metrics"][evidence["metric"]])
            except (UserError, OSError, ValueError, KeyError, TypeError):
                continue
    for one in made:
        if isinstance(value := one.metadata.get("max_effect"), int | float):
            yield DecidingFigure("greatest shift", float(value))
