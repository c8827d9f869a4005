"""YAML that people write for us: files, and values on a command line."""

import re
from pathlib import Path
from typing import Any

import yaml

from kubeline.errors import UserError
from kubeline.json_files import contents

_MAX_BYTES = 4 << 20
_MAX_VALUES = 100_000  # when every alias is written out
_DEEPEST = 100


class _Loader(yaml.CSafeLoader):
    """Reads ``1e-5`` as a number, as YAML 1.2 does; PyYAML follows 1.1, where it is a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), [*"-+.0123456789"]
)


def read_mapping(path: str | Path, what: str, holds: str) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: of the file.
        what: is in it, for errors, such as ``parameter file``.
        holds: what it maps, for errors, such as ``parameter names to values``.

    Raises:
        UserError: when there is no such file, or it holds no mapping, or more than such a file can need.
    """
    file = Path(path)
    if file.exists() and not (file.is_file() or file.is_fifo()):  # a pipe may be what a shell makes of a command
        raise UserError(f"the {what} '{path}' is a folder or a device; give a YAML file that maps {holds}")
    try:
        document = parse(text_of(file, what), f"the {what} '{path}'")
    except FileNotFoundError as error:
        raise UserError(f"there is no {what} '{path}'; give a YAML file that maps {holds}") from error
    except PermissionError as error:
        raise UserError(f"the {what} '{path}' may not be read by this user; change its permissions") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the {what} '{path}' is not valid YAML: {error}; write it in UTF-8") from error
    if not isinstance(document, dict):
        raise UserError(f"the {what} '{path}' must be a mapping of {holds}")
    return document


def first_document(path: Path, what: str) -> Any:
    """The first of the documents in a YAML file, such as the specification in a compiled pipeline.

    Raises:
        UserError: when it is not YAML, or more than such a file can hold.
        OSError: when the file cannot be read.
    """
    try:
        return parse(text_of(path, what), f"the {what} '{path}'", only_first=True)
    except UnicodeDecodeError as error:
        raise UserError(f"the {what} '{path}' is not valid YAML: {error}; write it in UTF-8") from error


def documents(path: Path, what: str) -> list[Any]:
    """All documents in a YAML file, without those that say nothing.

    Raises:
        UserError: when it is not YAML, or more than such a file can hold.
        OSError: when the file cannot be read.
    """
    name = f"the {what} '{path}'"
    try:
        text = text_of(path, what)
        refuse_depth(text, name)
        nodes = list(yaml.compose_all(text, _Loader))
        for node in nodes:
            refuse_size(node, name)
        return [found for node in nodes if (found := yaml.SafeLoader("").construct_document(node)) is not None]
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise UserError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error


def text_of(file: Path, what: str) -> str:
    """The text of a file that people write for us.

    Raises:
        UserError: when it is larger than such a file can be.
        UnicodeDecodeError: when it is no text in UTF-8.
        OSError: when the file cannot be read.
    """
    with file.open("rb") as stream:
        return contents(stream, f"the {what} '{file}'", _MAX_BYTES).decode("utf-8")


def parse(text: str, what: str, only_first: bool = False) -> Any:
    """The value of a YAML text, counted before it is made: aliases of aliases would take all memory.

    Args:
        text: one document, or several of which the first is asked for.
        what: it is, for errors.
        only_first: whether further documents may follow.

    Raises:
        UserError: when the text is not YAML, nests too deep, or is of too many values; `what` names it.
    """
    try:
        refuse_depth(text, what)
        every = yaml.compose_all(text, _Loader)
        node = next(every, None) if only_first else yaml.compose(text, _Loader)
        if node is None:
            return None
        _refuse_twice(node, what)
        refuse_size(node, what)
        return yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: a date or a number that is none
        words = " ".join(str(error).split()).replace('in "<unicode string>", ', "at ")
        raise UserError(f"{what} is not valid YAML: {words}") from error


def refuse_size(node: yaml.Node, what: str) -> None:
    """Count the values of a document, its aliases written out.

    Raises:
        UserError: when they are more than such a document can need; `what` names it.
    """
    if _size(node, {}) > _MAX_VALUES:
        raise UserError(f"{what} holds more than {_MAX_VALUES:,} values, its aliases written out; shorten it")


def refuse_depth(text: str, what: str) -> None:
    """Check the depth first, event by event: what composes the values calls itself for each level.

    Raises:
        UserError: when a document nests too deep; `what` names it.
    """
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise UserError(f"{what} is nested more than {_DEEPEST} levels deep; flatten it")


def _refuse_twice(document: yaml.Node, what: str) -> None:
    """A key that stands twice in a mapping is a slip: YAML forbids it, and PyYAML takes the last one in silence."""
    seen, waiting = set(), [document]
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        keys: set[tuple[str, str]] = set()
        for key, _ in pairs:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    place = f"line {key.start_mark.line + 1}, column {key.start_mark.column + 1}"
                    raise UserError(
                        f"{what} has the key '{key.value}' twice in one mapping, at {place}; keep one of them"
                    )
                keys.add((key.tag, key.value))
        waiting += [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, each alias counted in full; too many for one that holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = _MAX_VALUES + 1  # as long as it is being counted
        inner = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]
