"""What the compiler of the KFP SDK writes, in one form."""

import ast
import pprint
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

_DEFAULT = re.compile(r"^(#    .*\[Default: )([\[{].*)(\])$", re.MULTILINE)


def compiled_text(thing: Any) -> str:
    """The YAML of a component or pipeline of the KFP SDK: the same for the same source, whenever it is compiled.

    The compiler itself writes the mappings in the comment at the head in a random order, and forgets the ``#`` of a
    default's further lines.

    Args:
        thing: what ``dsl.component`` or ``dsl.pipeline`` made of a function.
    """
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compiled.yaml"
        Compiler().compile(thing, str(file))
        header, text = _parted(file.read_text(encoding="utf-8"))
        return _DEFAULT.sub(_in_one_order, header) + text


def _parted(compiled: str) -> tuple[str, str]:
    """The comment at the head, whole, and the document."""
    start = re.search(r"^components:$", compiled, re.MULTILINE)
    if start is None:
        raise ValueError("this is no compiled pipeline: it has no components")
    lines = compiled[: start.start()].splitlines()
    header = "".join(f"{line if line.startswith('#') else f'#    {line}'.rstrip()}\n" for line in lines)
    return header, compiled[start.start() :]


def _in_one_order(comment: re.Match[str]) -> str:
    """A default in the compiler's comment, its mappings sorted."""
    value = ast.literal_eval(comment[2])
    return comment[1] + pprint.pformat(value, width=sys.maxsize, sort_dicts=True) + comment[3]
