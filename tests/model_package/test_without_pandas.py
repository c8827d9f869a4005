"""What the model server does with a package needs no library of tables."""

import json
import subprocess
import sys
from typing import Any

SERVE = """
import json, sys
import numpy as np
from kubeline.model_package import ModelPackage
package = ModelPackage.open(sys.argv[1])
inputs = {
    feature.name: np.full((2, 1), "" if feature.kind == "category" else np.nan).astype(
        {"category": object, "datetime": np.float64}.get(feature.kind, np.float32)
    )
    for feature in package.signature.features
}
answer = package.predictor(threads=1).predict_inputs(inputs)
package.reference()
imported = {"pandas", "pyarrow", "sklearn", "joblib"} & set(sys.modules)
print(json.dumps([answer.probabilities.tolist(), sorted(imported)]))
"""


def test_a_package_is_opened_and_answers_without_pandas(package: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, package.path], capture_output=True, text=True, check=True, timeout=240
    )
    probabilities, imported = json.loads(done.stdout)
    assert imported == []
    assert [len(row) for row in probabilities] == [2, 2]
