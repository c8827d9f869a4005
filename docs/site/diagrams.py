"""Diagrams of states as tables: the site runs no script of Mermaid, which draws them in the repository."""

import re

_BLOCK = re.compile(r"^```mermaid\nstateDiagram-v2\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)
_MOVE = re.compile(r"^\s*(?P<before>\S+) --> (?P<after>[^\s:]+)(?:: (?P<when>.+))?$")


def as_tables(text: str) -> str:
    """The Markdown text with each diagram as a table: from which state to which, and when.

    Raises:
        ValueError: when a diagram has a line that is no transition.
    """
    return _BLOCK.sub(lambda found: _table(found["lines"]), text)


def _table(lines: str) -> str:
    rows = ["| from | to | when |", "|---|---|---|"]
    for line in lines.splitlines():
        if not (move := _MOVE.match(line)):
            raise ValueError(f"'{line.strip()}' is no transition of a diagram of states")
        before, after = (_state(move[side], word) for side, word in (("before", "the begin"), ("after", "the end")))
        rows.append(f"| {before} | {after} | {move['when'] or ''} |")
    return "\n".join(rows)


def _state(name: str, outside: str) -> str:
    return outside if name == "[*]" else f"`{name}`"
