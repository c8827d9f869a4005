"""A pipeline's YAML with the lines its parts stand on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubeline.errors import UserError
from kubeline.yaml_files import refuse_depth, refuse_size, text_of

Keys = Sequence[str | int]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


@dataclass
class Source:
    """The documents of a file.

    Attributes:
        documents: as Python values.
        problem: why the file is no YAML, and `line` where; empty when it is.
    """

    documents: list[Any] = field(default_factory=list)
    problem: str = ""
    line: int = 1
    _nodes: list[Any] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Source":
        """Read a file.

        Raises:
            UserError: when it cannot be read at all.
        """
        try:
            text = text_of(path, "pipeline")
        except UserError as error:
            return cls(problem=str(error))
        except OSError as error:
            raise UserError(f"cannot read '{path}': {error.strerror}; give the path of a pipeline's YAML") from error
        except UnicodeDecodeError as error:
            return cls(problem=f"it is no text in UTF-8 ({error.reason})")
        return cls.of(text)

    @classmethod
    def of(cls, text: str) -> "Source":
        """The documents of a text."""
        source = cls()
        loader = _Loader(text)
        try:
            refuse_depth(text, "the file")
            while loader.check_node():
                node = loader.get_node()
                refuse_size(node, "the file")
                source._nodes.append(node)
                source.documents.append(loader.construct_document(node))
        except UserError as error:
            source.problem = str(error)
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
            mark = getattr(error, "problem_mark", None)
            source.problem = " ".join(str(getattr(error, "problem", "") or error).split())
            source.line = mark.line + 1 if mark else 1
        finally:
            loader.dispose()
        return source

    def line_of(self, document: int, path: Keys) -> int:
        """The line on which the deepest part of a path that exists begins."""
        if document >= len(self._nodes):
            return 1
        node = self._nodes[document]
        line = node.start_mark.line
        for key in path:
            found = _child(node, key)
            if found is None:
                break
            line, node = found
        return int(line) + 1


def _child(node: Any, key: str | int) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line, node.value[key]
    return None


def texts(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text within a value, with the keys that lead to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts(inner, (*path, number))
