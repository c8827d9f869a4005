"""KServe's scikit-learn server: what ``sklearnserver`` of KServe does, on KServe's SDK.

Written after python/sklearnserver/sklearnserver/{__main__,model}.py of github.com/kserve/kserve, with its environment
variable PREDICT_PROBA on. The package itself pins scikit-learn 1.5, which cannot load the model.

    python -m benchmarks.serving.peers.kserve_sklearn --model_dir FOLDER --model_name NAME --http_port N --grpc_port N
"""

import argparse
from pathlib import Path
from typing import Any

import joblib
from kserve import Model, ModelServer, model_server
from kserve.errors import InferenceError
from kserve.utils.utils import get_predict_input, get_predict_response


class SKLearnModel(Model):  # type: ignore[misc]  # kserve's are not known here
    """Answers probabilities of what joblib loads."""

    def __init__(self, name: str, folder: Path):
        super().__init__(name)
        self._model = joblib.load(folder / "model.joblib")
        self.ready = True

    def predict(self, payload: Any, headers: Any = None) -> Any:
        """Probabilities of one request."""
        try:
            instances = get_predict_input(payload)
            result = self._model.predict_proba(instances)
            return get_predict_response(payload, result, self.name)
        except Exception as error:
            raise InferenceError(str(error)) from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    parser.add_argument("--model_dir", type=Path, required=True)
    arguments = parser.parse_args()
    ModelServer().start([SKLearnModel(arguments.model_name, arguments.model_dir)])
