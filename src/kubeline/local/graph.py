"""The graph of a compiled pipeline: its tasks, what each waits for, and a drawing of how it ran."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from markupsafe import Markup

from kubeline.printable import shortened
from kubeline.reports import Tone

_WIDE, _HIGH = 150, 44  # of a task's box, in pixels
_GAP, _STEP = 12, 24  # between boxes side by side, and between layers
_CHARACTERS = 20  # that fit into a box


@dataclass(frozen=True)
class Box:
    """A task of the drawing.

    Attributes:
        title: its name.
        note: a second line: how long it took, what it decided.
        tone: the colour; None for a task that did not run.
        link: where a click leads; empty for nowhere.
    """

    title: str
    note: str = ""
    tone: Tone | None = None
    link: str = ""


TaskInputs = Mapping[str, frozenset[str]]  # name of a component's input: the tasks that it comes from


def dependencies(document: Mapping[str, Any]) -> dict[str, set[str]]:
    """The tasks of a compiled pipeline, each with those that it waits for, without what follows from others.

    What stands in groups (conditions, loops, exit handlers, nested pipelines) is taken out of them: a task waits for
    what the conditions around it rest on.

    Args:
        document: the pipeline's specification.
    """
    waits: dict[str, set[str]] = {}
    _walk(document, document["root"], {}, frozenset(), waits)
    return {task: _direct(task, waits) for task in waits}


def _walk(
    document: Mapping[str, Any],
    group: Mapping[str, Any],
    inputs: TaskInputs,
    held: frozenset[str],
    waits: dict[str, set[str]],
) -> dict[str, frozenset[str]]:
    """Go through a group; returns its tasks, each with the leaves that stand for it."""
    leaves: dict[str, frozenset[str]] = {}
    tasks = group["dag"]["tasks"]
    order = TopologicalSorter({name: {one for one in _named(task) if one in tasks} for name, task in tasks.items()})
    for name in order.static_order():
        task = tasks[name]
        component = document["components"][task["componentRef"]["name"]]
        given = dict(_given(task, inputs, leaves))
        after = frozenset().union(*(leaves[one] for one in task.get("dependentTasks", ()) if one in leaves))
        if "dag" in component:
            condition = str(task.get("triggerPolicy", {}).get("condition", ""))
            loop = str(task.get("parameterIterator", "")) + str(task.get("artifactIterator", ""))
            asked = (tasks for name, tasks in given.items() if name in condition or name in loop)
            inside = _walk(document, component, given, held | after | frozenset().union(*asked), waits)
            leaves[name] = frozenset().union(*inside.values())
        else:
            waits[name] = set(held | after | frozenset().union(*given.values()))
            leaves[name] = frozenset({name})
    return leaves


def _named(task: Mapping[str, Any]) -> Iterator[str]:
    """The tasks of the same group that a task refers to."""
    yield from task.get("dependentTasks", ())
    for source in _sources(task):
        if "producerTask" in source[1]:
            yield source[1]["producerTask"]


def _given(
    task: Mapping[str, Any], inputs: TaskInputs, leaves: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, frozenset[str]]]:
    for name, source in _sources(task):
        if "producerTask" in source:
            yield name, leaves.get(source["producerTask"], frozenset())
        else:
            outer = source.get("componentInputParameter") or source.get("componentInputArtifact") or ""
            yield name, inputs.get(outer, frozenset())


def _sources(task: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in ("parameters", "artifacts"):
        for name, source in task.get("inputs", {}).get(kind, {}).items():
            output = source.get("taskOutputParameter") or source.get("taskOutputArtifact")
            yield name, output or source


def _direct(task: str, waits: Mapping[str, set[str]]) -> set[str]:
    """Those that a task waits for but do not already wait for each other."""
    return {one for one in waits[task] if not any(one in _all(other, waits) for other in waits[task] if other != one)}


def _all(task: str, waits: Mapping[str, set[str]]) -> set[str]:
    found, ahead = set[str](), [*waits.get(task, ())]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += waits.get(one, ())
    return found


def drawing(waits: Mapping[str, set[str]], boxes: Mapping[str, Sequence[Box]]) -> Markup:
    """The graph from top to bottom as inline SVG.

    Args:
        waits: the tasks, each with those that it waits for.
        boxes: of each task; several of one in a loop, side by side.
    """
    layers = _layers(waits)
    rows = [[(task, box) for task in layer for box in boxes[task]] for layer in layers]
    width = max(len(row) for row in rows) * (_WIDE + _GAP) - _GAP
    height = len(rows) * (_HIGH + _STEP) - _STEP
    places: dict[str, list[tuple[float, float]]] = {}
    shapes = []
    for level, row in enumerate(rows):
        left = (width - len(row) * (_WIDE + _GAP) + _GAP) / 2
        for number, (task, box) in enumerate(row):
            x, y = left + number * (_WIDE + _GAP), level * (_HIGH + _STEP)
            places.setdefault(task, []).append((x + _WIDE / 2, y))
            shapes.append(_box(box, x, y))
    lines = [
        _line(x0, y0 + _HIGH, x1, y1)
        for task, befores in waits.items()
        for before in sorted(befores)
        for x0, y0 in places[before]
        for x1, y1 in places[task]
    ]
    return Markup(
        '<div class="scroll" tabindex="0"><svg class="graph" width="{0}" height="{1}" viewBox="-1 -1 {0} {1}" '
        'role="img" aria-label="{2}">{3}{4}</svg></div>'
    ).format(
        width + 2,
        height + 2,
        "The steps from top to bottom: " + ", ".join(f"{box.title} {box.note}" for row in rows for _, box in row),
        Markup("").join(lines),
        Markup("").join(shapes),
    )


def _layers(waits: Mapping[str, set[str]]) -> list[list[str]]:
    """The tasks from top to bottom, each about below those that it waits for, so that fewer lines cross."""
    sorter = TopologicalSorter(waits)
    sorter.prepare()
    layers: list[list[str]] = []
    places: dict[str, float] = {}  # from the middle of the layer

    def below(task: str) -> tuple[float, str]:
        before = [places[one] for one in waits.get(task, ())]
        return sum(before) / max(len(before), 1), task

    while ready := sorted(sorter.get_ready(), key=below):
        places |= {task: number - (len(ready) - 1) / 2 for number, task in enumerate(ready)}
        layers.append(ready)
        sorter.done(*ready)
    return layers


def _box(box: Box, x: float, y: float) -> Markup:
    stroke = f"var(--{box.tone})" if box.tone else "var(--line)"
    dashes = "" if box.tone else ";stroke-dasharray:4 3"
    colour = "var(--ink)" if box.tone else "var(--soft)"
    shape = Markup(
        '<g><title>{0} {1}</title><rect x="{2:.0f}" y="{3}" width="{4}" height="{5}" rx="6" '
        'style="fill:var(--tint);stroke:{6};stroke-width:1.5{7}"/>'
        '<text x="{8:.0f}" y="{9}" style="fill:{10};font-weight:600">{11}</text>'
        '<text x="{8:.0f}" y="{12}" style="fill:var(--soft)">{13}</text></g>'
    ).format(
        box.title, box.note, x, y, _WIDE, _HIGH, stroke, dashes, x + 10, y + 18, colour,
        shortened(box.title, _CHARACTERS), y + 35, shortened(box.note, _CHARACTERS),
    )  # fmt: skip
    return Markup('<a href="{}">{}</a>').format(box.link, shape) if box.link else shape


def _line(x0: float, y0: float, x1: float, y1: float) -> Markup:
    middle = y1 - _STEP / 2
    return Markup(
        '<path d="M{:.0f} {:.0f}L{:.0f} {:.0f}L{:.0f} {:.0f}L{:.0f} {:.0f}" style="fill:none;stroke:var(--neutral)"/>'
    ).format(x0, y0, x0, middle, x1, middle, x1, y1)
