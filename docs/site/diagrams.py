"""Diagrams as drawings of the page itself: the site runs no script of Mermaid, which draws them in the repository."""

import re
from collections import Counter
from collections.abc import Mapping

_BLOCK = re.compile(r"^```mermaid\n(?P<kind>stateDiagram-v2|flowchart TD)\n(?P<lines>.*?)^```$", re.M | re.S)
_MOVE = re.compile(r"^\s*(?P<before>\S+) --> (?P<after>[^\s:]+)(?:: (?P<when>.+))?$")
_BOX = re.compile(r'^\s*(?P<name>\w+)\["(?P<title>[^"<]+)(?:<br>(?P<note>[^"<]+))?"\]$')
_TONES = {"completed": "good", "rolled_back": "warn", "failed": "bad"}
_OUTSIDE = "[*]"
_ENTRIES = 4  # into one box; of more, the last is a line and the others are words


def drawings(text: str) -> dict[str, str]:
    """An SVG of each diagram in a Markdown text, by the diagram; needs Kubeline, whose pages draw graphs.

    Raises:
        ValueError: when a diagram has a line that is neither a box nor a transition.
    """
    return {found[0]: _drawing(found["lines"]) for found in _BLOCK.finditer(text)}


def on_the_site(text: str, drawn: Mapping[str, str]) -> str:
    """The Markdown text with drawings for diagrams, and a table below one of states: from which to which, and when."""

    def shown(found: re.Match[str]) -> str:
        table = f"\n\n{_table(found['lines'])}" if found["kind"] == "stateDiagram-v2" else ""
        return f"{drawn[found[0]]}{table}"

    return _BLOCK.sub(shown, text)


def _drawing(lines: str) -> str:
    from kubeline.local.graph import Box, drawing  # noqa: PLC0415 (Sphinx has no Kubeline)

    boxes, moves = {}, []
    for line in lines.splitlines():
        if found := _BOX.match(line):
            boxes[found["name"]] = [Box(found["title"], found["note"] or "", "plain")]
        else:
            moves.append(_move(line))
    inside = list(dict.fromkeys((before, after) for before, after, _ in moves if _OUTSIDE not in (before, after)))
    entries, last = Counter(after for _, after in inside), {after: before for before, after in inside}
    waits: dict[str, set[str]] = {}
    notes: dict[str, str] = {}
    for before, after in inside:
        waits.setdefault(before, set())
        if entries[after] > _ENTRIES and before != last[after]:
            notes[before] = f"or {after}"
        elif not _leads(waits, after, before):  # what goes back is in the table
            waits.setdefault(after, set()).add(before)
    for name in waits:
        boxes.setdefault(name, [Box(name.replace("_", " "), notes.get(name, ""), _TONES.get(name, "plain"))])
    return str(drawing(waits, boxes))


def _leads(waits: Mapping[str, set[str]], first: str, last: str) -> bool:
    """Whether the last waits for the first, or is it."""
    return first == last or any(_leads(waits, first, before) for before in waits.get(last, ()))


def _table(lines: str) -> str:
    rows = ["| from | to | when |", "|---|---|---|"]
    for before, after, when in map(_move, lines.splitlines()):
        rows.append(f"| {_state(before, 'the begin')} | {_state(after, 'the end')} | {when} |")
    return "\n".join(rows)


def _move(line: str) -> tuple[str, str, str]:
    if not (found := _MOVE.match(line)):
        raise ValueError(f"'{line.strip()}' is no transition of a diagram, and no box")
    return found["before"], found["after"], found["when"] or ""


def _state(name: str, outside: str) -> str:
    return outside if name == _OUTSIDE else f"`{name}`"
