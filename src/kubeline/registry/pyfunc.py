"""How MLflow loads a registered model: the loader module that ``MLmodel`` names, which must keep its name and place."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import prediction_names

if TYPE_CHECKING:
    import pandas as pd

    from kubeline.model_package.predictor import Predictor
    from kubeline.model_package.signature import Signature


class PackageModel:
    """Answers as the model server does: by ONNX Runtime, from the file that serves."""

    def __init__(self, predictor: "Predictor", signature: "Signature"):
        self._predictor = predictor
        self._names = prediction_names(signature)

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """One row for each row given: ``prediction`` and, of a classification, ``probability.<class>``.

        Args:
            model_input: the features by name, in any order; other columns are ignored.
            params: MLflow's; there are none.

        Raises:
            UserError: names the column that is missing or holds a value of another type.
        """
        import pandas as pd

        found = self._predictor.predict(model_input)
        answer, *probabilities = self._names
        table = {answer: found.values}
        if found.probabilities is not None:
            table |= dict(zip(probabilities, found.probabilities.T, strict=True))
        return pd.DataFrame(table, index=model_input.index)


def _load_pyfunc(path: str) -> PackageModel:
    """Verify the package at `path`, which is the one that the ``MLmodel`` beside it names, and load what serves of it.

    Raises:
        UserError: when it was changed since it was registered.
    """
    from mlflow.models import Model

    named = (Model.load(str(Path(path).parent)).metadata or {}).get("package_digest", "")
    package = ModelPackage.open(path, str(named), "MLmodel")
    return PackageModel(package.predictor(), package.signature)
