"""What ``model.joblib`` holds: a model that takes the table as it came."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.errors import UserError, listed
from kubeline.model_package.signature import Signature
from kubeline.typing import Array

if TYPE_CHECKING:
    import pandas as pd


class RawTable:
    """A scikit-learn pipeline behind the encoding that the package's signature says.

    The pipeline alone reads encoded columns in one order, and takes what else it is given for numbers of other columns.
    Here columns count by name, others are ignored, and what is missing or of another type is refused.

    Args:
        model: the pipeline; it reads ``signature.encoded_frame(frame)`` and answers positions of classes, or numbers.
        signature: of the package.
    """

    def __init__(self, model: Any, signature: Signature):
        self.model = model
        self._signature = signature.model_dump_json()  # as text, whose bytes are the same in every process

    @property
    def signature(self) -> Signature:
        """The columns it reads and the classes it answers."""
        return Signature.model_validate_json(self._signature)

    @property
    def feature_names_in_(self) -> Array:
        """The columns it reads."""
        return np.array(self.signature.names, dtype=object)

    @property
    def classes_(self) -> Array:
        """The labels, in the order of the probabilities."""
        if self.signature.classes is None:
            raise AttributeError("a regression has no classes")
        return np.array(self.signature.classes, dtype=object)

    def predict(self, X: "pd.DataFrame") -> Array:
        """Labels as text, or float64 numbers; shape (rows,).

        Raises:
            UserError: names the column that is missing or holds a value of another type.
        """
        if self.signature.classes is None:
            return np.asarray(self.model.predict(self._encoded(X)), dtype=np.float64)
        classes: Array = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return classes

    def predict_proba(self, X: "pd.DataFrame") -> Array:
        """Probabilities, shape (rows, classes); see :meth:`predict`."""
        if self.signature.classes is None:
            raise AttributeError("a regression has no probabilities; call predict")
        found: Array = np.asarray(self.model.predict_proba(self._encoded(X)), dtype=np.float64)
        return found

    def _encoded(self, table: Any) -> "pd.DataFrame":
        import pandas as pd

        if not isinstance(table, pd.DataFrame):
            raise UserError(
                f"the model takes a pandas DataFrame, whose columns have names, but was given {type(table).__name__}; "
                f"it needs the columns: {listed(self.signature.names, 40)}"
            )
        return self.signature.encoded_frame(table)
