"""Reusable KFP components that take a table from raw data to a canaried KServe model.

What may be imported is what a package names in its ``__all__``: this one, and the rooms that docs/python-api.md lists
beside ``kubeline.components``. Everything deeper may change in any version.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]  # `python -m` put the working directory in front of all libraries, and what lies there is none

from kubeline.lazy import attribute_of

TYPE_CHECKING = False  # as typing has it, which takes longer to load than all of this
if TYPE_CHECKING:
    from kubeline.artifacts import Artifact, describe, publish, step
    from kubeline.data.dataset import DatasetWriter, open_dataset, read_frame, write_dataset
    from kubeline.errors import KubelineError, NotKnownError, PlatformError, UserError
    from kubeline.model_package import ModelPackage, version_of

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "DatasetWriter",
    "KubelineError",
    "ModelPackage",
    "NotKnownError",
    "PlatformError",
    "UserError",
    "__version__",
    "describe",
    "open_dataset",
    "publish",
    "read_frame",
    "step",
    "version_of",
    "write_dataset",
]

if not TYPE_CHECKING:  # a type checker takes a package that has it for one with every name
    __getattr__ = attribute_of(
        __name__,
        dict.fromkeys(("Artifact", "describe", "publish", "step"), "artifacts")
        | dict.fromkeys(("DatasetWriter", "open_dataset", "read_frame", "write_dataset"), "data.dataset")
        | dict.fromkeys(("KubelineError", "NotKnownError", "PlatformError", "UserError"), "errors")
        | dict.fromkeys(("ModelPackage", "version_of"), "model_package"),
    )
