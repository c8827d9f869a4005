"""What a model needs and what it answers: the columns of ``schema.json`` and their form as ONNX inputs."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from kubeline.columns import MISSING_CATEGORY, Kind, label_text
from kubeline.errors import UserError, listed
from kubeline.masking import form_of
from kubeline.task import Task
from kubeline.typing import Array

if TYPE_CHECKING:  # the model server reads signatures without pandas
    import pandas as pd


class Feature(BaseModel, frozen=True, extra="forbid"):
    """One column that the model reads.

    `categories` are the values a category column had in training, most frequent first; any other value is
    answered too, as an unseen one. It is None for the other kinds. `rare` are further values that the model
    distinguishes, as where each is encoded by the mean of its targets. A number is read as `dtype`: float64 where
    float32 would merge values that training distinguished.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: Kind
    categories: list[str] | None = None
    rare: list[str] = []
    dtype: Literal["float32", "float64"] = "float32"

    @model_validator(mode="after")
    def _number_of_dtype(self) -> Self:
        if self.dtype != "float32" and self.kind != "number":
            raise ValueError("dtype belongs to numbers")
        return self

    @model_validator(mode="after")
    def _rare_beside_categories(self) -> Self:
        if self.rare and (self.kind != "category" or {MISSING_CATEGORY, *(self.categories or [])} & {*self.rare}):
            raise ValueError("rare values belong to categories, beside those that are listed")
        return self

    @property
    def is_double(self) -> bool:
        """Whether a model reads it as float64: times, and numbers that need it."""
        return self.kind == "datetime" or self.dtype == "float64"


class Signature(BaseModel, frozen=True, extra="forbid"):
    """The inputs and the answer of a model.

    `classes` are in the order of the probabilities; None for regression. `positive_class` is the one of two classes
    that recall, precision and their like speak of (where a package does not say, the second one); None for other tasks.
    """

    features: Annotated[list[Feature], Field(min_length=1)]
    target: str
    task: Task
    classes: list[str] | None = None
    positive_class: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _second_is_positive(cls, given: Any) -> Any:
        """What packages meant before they said it."""
        if isinstance(given, dict) and given.get("task") == "binary" and given.get("positive_class") is None:
            classes = given.get("classes")
            if isinstance(classes, list) and len(classes) == 2:
                return {**given, "positive_class": classes[1]}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError("two features have the same name")
        if (self.task == "regression") != (self.classes is None):
            raise ValueError("classes belong to classification, and only there")
        if self.classes is not None and (len(set(self.classes)) != len(self.classes) or len(self.classes) < 2):
            raise ValueError("classification needs at least two different classes")
        if self.task == "binary" and len(self.classes or ()) != 2:
            raise ValueError("a binary task has two classes")
        if (self.task == "binary") != (self.positive_class is not None):
            raise ValueError("a positive class belongs to a binary task, and only there")
        if self.positive_class is not None and self.positive_class not in (self.classes or ()):
            raise ValueError("the positive class must be one of the classes")
        return self

    @property
    def names(self) -> list[str]:
        """The feature columns, in the order of the model."""
        return [feature.name for feature in self.features]

    @property
    def positive_code(self) -> int:
        """The position of the positive class in `classes`."""
        return (self.classes or []).index(self.positive_class or "")

    def require(self, columns: Collection[str]) -> None:
        """Raise a :class:`UserError` that names the first feature that is not among the columns of a table."""
        absent = [name for name in self.names if name not in columns]
        if absent:
            raise UserError(
                f"column '{absent[0]}' is missing; the model needs {listed(self.names, 40)} and was given "
                f"{listed(columns)}"
            )

    def encode(
        self, frame: "pd.DataFrame", codes: "Mapping[str, Callable[[Array], Array]]" = MappingProxyType({})
    ) -> dict[str, Array]:
        """The ONNX inputs of `frame`, by column name, each of shape (rows, 1).

        Numbers and booleans become float32 (missing: NaN), or float64 where their dtype says so, whole numbers then
        exactly. Categories become text in an object array (missing: ``""``), datetimes float64 seconds since 1970-01-01
        UTC (missing: NaN; without a time zone they are taken as UTC; text is read as ISO 8601). Other columns are
        ignored, and the order of columns does not matter.

        Args:
            frame: The rows.
            codes: By name of categories, what a model reads in place of their texts, made of an array of these.

        Raises:
            UserError: names the column that is missing, or holds a value of another type or one that is not exact.
        """
        from kubeline.model_package.encoding import encode_categories, encode_column, encode_exactly

        self.require(frame.columns)
        found = {}
        for feature in self.features:
            column = frame[feature.name]
            if feature.name in codes:
                found[feature.name] = encode_categories(column, codes[feature.name])
            elif feature.dtype == "float64":
                found[feature.name] = encode_exactly(column)
            else:
                found[feature.name] = encode_column(column, feature.kind)
        return {name: values[:, None] for name, values in found.items()}

    def encoded_frame(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """The same as :meth:`encode` as a frame: what the scikit-learn pipeline of ``model.joblib`` reads."""
        import pandas as pd

        return pd.DataFrame({name: column[:, 0] for name, column in self.encode(frame).items()})

    def truth(self, frame: "pd.DataFrame") -> Array:
        """The target column in the form of predictions: labels as str, or float64 for regression; shape (rows,).

        Raises:
            UserError: when there is no such column, a value is missing, or a number is expected and not found.
        """
        from kubeline.model_package.encoding import encode_column, labels

        column = self._target_of(frame)
        return labels(column) if self.classes is not None else encode_column(column, "number", np.float64)

    def _target_of(self, frame: "pd.DataFrame") -> "pd.Series":
        """The target column, of which no value is missing."""
        if self.target not in frame.columns:
            raise UserError(f"target '{self.target}' is not a column of this table; it has: {listed(frame.columns)}")
        column = frame[self.target]
        missing = int(column.isna().sum())
        if missing:
            raise UserError(f"target '{self.target}' is missing in {missing:,} of {len(column):,} rows; remove them")
        return column

    def codes(self, frame: "pd.DataFrame") -> Array:
        """The target column of a classification as int64 positions in `classes`, shape (rows,).

        Raises:
            UserError: as :meth:`truth`, and when a label is not one of `classes`.
        """
        import pandas as pd

        from kubeline.model_package.encoding import coded_labels

        places, different = coded_labels(self._target_of(frame))
        codes: Array = pd.Index(self.classes or []).get_indexer(pd.Index(different))[places]
        if (codes < 0).any():
            self.position(different[places[codes < 0][0]])
        return codes.astype(np.int64)

    def position(self, label: Any) -> int:
        """Where a label, of any type that a table may have it in, stands in `classes`.

        Raises:
            UserError: when it is not one of them.
        """
        text = label_text(label)
        if self.classes is None or text not in self.classes:
            raise UserError(
                f"target '{self.target}' holds {form_of(text)}, which is not a class of this model; it has: "
                f"{listed(self.classes or ())}"
            )
        return self.classes.index(text)
