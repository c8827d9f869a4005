"""``transform.json``: derived columns as one step hands them to the next."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from kubeline.artifacts import Artifact
from kubeline.columns import Kind
from kubeline.errors import UserError
from kubeline.transform.transform import Transform


class DerivedColumn(BaseModel, frozen=True, extra="forbid"):
    """One derived column: what it is computed by, what it is, and what it is computed from."""

    name: Annotated[str, Field(min_length=1)]
    expression: str
    kind: Kind
    reads: list[str]


class TransformDocument(BaseModel, frozen=True, extra="forbid"):
    """All derived columns. `only_read` are columns of the table that are no features themselves."""

    format: Literal[1] = 1
    derived: list[DerivedColumn]
    only_read: list[str] = []

    @classmethod
    def of(cls, transform: Transform) -> "TransformDocument":
        """The document of a transform."""
        derived = [DerivedColumn.model_validate(each, from_attributes=True) for each in transform.derived]
        return cls(derived=derived, only_read=sorted(transform.only_read))

    @property
    def expressions(self) -> dict[str, str]:
        """As they are declared."""
        found = {**dict.fromkeys(self.only_read, ""), **{each.name: each.expression for each in self.derived}}
        return dict(sorted(found.items()))  # as a step gets those of a parameter


def expressions(given: Mapping[str, str], transform: Artifact | None) -> dict[str, str]:
    """The declared expressions, from the parameter or from what the component `transform` wrote.

    Raises:
        UserError: when both are given, or the file is not one of its.
    """
    if transform is None:
        return dict(given)
    if given:
        raise UserError("derive was given besides the artifact transform; give one of the two")
    try:
        text = Path(transform.path).read_text(encoding="utf-8")
        return TransformDocument.model_validate(json.loads(text)).expressions
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise UserError(
            f"'{transform.path}' is not a transform.json that this version reads ({str(error).splitlines()[0]}); give "
            "what the component transform wrote"
        ) from error
