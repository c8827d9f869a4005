"""What lies beside a model package in MLflow, so that it is one of MLflow's own models.

``MLmodel`` names :mod:`kubeline.registry.pyfunc`, which answers by the very file that serves, after the package has
been verified. The package itself stays as it is, to the byte. MLflow's ``onnx`` flavor cannot answer instead: it gives
each input one dimension where these forms take two, and flattens the probabilities of all classes into one column.
That flavor is named as well, for ``mlflow.onnx.load_model``, which hands out the graph.
"""

import json
from typing import TYPE_CHECKING, Any

from kubeline import __version__
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import prediction_names

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.models import ModelSignature

FOLDER = "model"  # among the artifacts of a run
PACKAGE = "package"  # in that folder
LOADER = "kubeline.registry.pyfunc"
_EXAMPLE = "input_example.json"
_SERVING_EXAMPLE = "serving_input_example.json"
_ROWS = 5  # of the example


def files(package: ModelPackage, run: "Run") -> dict[str, str]:
    """The files beside the package by name; for one run always the same, so that writing them can be repeated.

    Args:
        package: that lies in the folder `PACKAGE` beside them.
        run: that has them among its artifacts.
    """
    from datetime import UTC, datetime

    from mlflow import __version__ as mlflow_version
    from mlflow import pyfunc
    from mlflow.models import Model

    model = Model(
        artifact_path=FOLDER,
        run_id=run.info.run_id,
        utc_time_created=datetime.fromtimestamp(run.info.start_time / 1000, UTC).replace(tzinfo=None),
        signature=_signature(package),
        saved_input_example_info={
            "artifact_path": _EXAMPLE,
            "serving_input_path": _SERVING_EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
        },
        model_uuid=package.digest[:32],
        metadata={"package_digest": package.digest},
    )
    environments = {"conda_env": "conda.yaml", "python_env": "python_env.yaml"}
    pyfunc.add_to_model(model, loader_module=LOADER, data=PACKAGE, **environments)
    model.add_flavor("onnx", data=f"{PACKAGE}/model.onnx", onnx_version=package.manifest.versions.get("onnx", ""))
    example = _example(package)
    return {
        "MLmodel": model.to_yaml(),
        **_environment(package, mlflow_version),
        _EXAMPLE: json.dumps(example),
        _SERVING_EXAMPLE: json.dumps({"dataframe_split": example}, indent=2),
    }


def _signature(package: ModelPackage) -> "ModelSignature":
    """The columns in MLflow's words: text, and ``any`` for the rest, whose values the package checks itself.

    MLflow's own types would refuse what the model answers (whole numbers for a double, a missing one for a long, times
    with a zone), or change it unseen: in a request, a missing boolean would become false.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    checked = AnyType()  # type: ignore[no-untyped-call]
    asked = [
        ColSpec(DataType.string if feature.kind == "category" else checked, feature.name)
        for feature in package.signature.features
    ]
    answer, *probabilities = prediction_names(package.signature)
    answered = [
        ColSpec(DataType.double if package.signature.classes is None else DataType.string, answer),
        *(ColSpec(DataType.float, name) for name in probabilities),
    ]
    return ModelSignature(Schema([*asked]), Schema([*answered]))


def _example(package: ModelPackage) -> dict[str, Any]:
    """The first golden rows, as a client of the model server would send them; values of persons are missing."""
    records, _ = package.golden_rows()
    names, personal = package.signature.names, package.manifest.roles.personal
    rows = [[None if name in personal else record[name] for name in names] for record in records[:_ROWS]]
    return {"columns": list(names), "data": rows}


def _environment(package: ModelPackage, mlflow_version: str) -> dict[str, str]:
    """What ``mlflow models serve`` installs without ``--env-manager local``."""
    import yaml

    versions = package.manifest.versions
    python = versions.get("python", "3.11")
    needed = [f"kubeline=={__version__}", f"mlflow=={mlflow_version}"]
    needed += [f"{name}=={versions[name]}" for name in ("numpy", "onnxruntime", "pandas") if name in versions]
    pip = {"pip": needed}
    conda = {"name": "kubeline", "channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", pip]}
    python_env = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    return {
        "requirements.txt": "\n".join(needed) + "\n",
        "conda.yaml": yaml.safe_dump(conda, sort_keys=False),
        "python_env.yaml": yaml.safe_dump(python_env, sort_keys=False),
    }
