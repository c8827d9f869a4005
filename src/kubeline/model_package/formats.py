"""The formats of a package: what files it has, and who reads which.

1. One model, ``model.onnx``, from which servers of that time made what they served. The manifest names no format.
2. ``serving.onnx`` beside it: what is served is a file, verified and compared like every other.

Steps that judge or predict read both, as the champion of a registry may be of the first; a server reads the second.
"""

import json

from kubeline.errors import UserError, listed

FORMAT = 2  # that is written
READ = (1, 2)

ONNX = "model.onnx"
SERVING = "serving.onnx"
SKLEARN = "model.joblib"
SIGNATURE = "schema.json"
GOLDEN = "golden.parquet"
REFERENCE = "reference.json"
TRAINING_ROWS = "training_rows.parquet"
FILES = (ONNX, SERVING, SIGNATURE, GOLDEN, REFERENCE)
# A model that came as ONNX has no scikit-learn form, and packages of earlier versions have no rows.
OPTIONAL = (SKLEARN, TRAINING_ROWS)


def files_of(number: int) -> tuple[str, ...]:
    """The files that every package of a format has."""
    return FILES if number > 1 else tuple(name for name in FILES if name != SERVING)


def require_known(manifest: bytes, path: object) -> None:
    """Refuse the manifest of a format that this version does not read, before anything else of it is believed.

    Raises:
        UserError: names the format, and those that are read.
    """
    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError):
        return  # its reader reports what is wrong
    number = content.get("format", 1) if isinstance(content, dict) else 1
    if type(number) is not int or number not in READ:
        raise UserError(
            f"the model package at '{path}' has format {str(number)[:20]}, but this version of Kubeline reads the "
            f"formats {listed(READ)}; use the version that trained it, or train it again with this one"
        )
