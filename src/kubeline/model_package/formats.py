"""The format of a package: what files it has. A package of any other format is refused."""

import json

from kubeline.errors import UserError

FORMAT = 3  # no release wrote 1, where servers made what they served, or 2, whose golden rows were Parquet

ONNX = "model.onnx"
SERVING = "serving.onnx"
SKLEARN = "model.joblib"
SIGNATURE = "schema.json"
GOLDEN = "golden.json"
REFERENCE = "reference.json"
TRAINING_ROWS = "training_rows.parquet"
FILES = (ONNX, SERVING, SIGNATURE, GOLDEN, REFERENCE, TRAINING_ROWS)
OPTIONAL = (SKLEARN,)  # which a model that came as ONNX does not have


def require_known(manifest: bytes, path: object) -> None:
    """Refuse the manifest of a format that this version does not read, before anything else of it is believed.

    Raises:
        UserError: names the format, and the one that is read.
    """
    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError):
        return  # its reader reports what is wrong
    number = content.get("format", FORMAT) if isinstance(content, dict) else FORMAT
    if type(number) is not int or number != FORMAT:
        raise UserError(
            f"the model package at '{path}' has format {str(number)[:20]}, but this version of Kubeline reads format "
            f"{FORMAT}; use the version that trained it, or train it again with this one"
        )
