"""What the catalog of the Kubeflow project asks of each component: ``metadata.yaml`` and ``OWNERS``.

    python -m components.catalog FOLDER    writes the components as github.com/kubeflow/pipelines-components has them

`compile.py` writes both files beside each component. Its fields, their order and the names of categories are those that
the catalog's `scripts/validate_metadata` and its CONTRIBUTING accept.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from components.images import Image, image

ROOT = Path(__file__).parents[1]
VERIFIED = "2026-11-29T00:00:00Z"  # when the whole suite last passed; the catalog wants it within a year
PIPELINES = "'>=2.17.0'"
APPROVERS = ("kubeline-maintainers",)  # the catalog wants members of the Kubeflow organisation
_SERVICES = {"MLflow": "'>=3.17.0'", "KServe": "'>=0.20.0'"}


class Entry(NamedTuple):
    """What the catalog says of a component beside what its interface says."""

    category: str
    tags: Sequence[str]
    services: Sequence[str] = ()


ENTRIES = {
    "alarm": Entry("evaluation", ("drift", "monitoring")),
    "deploy": Entry("deployment", ("kserve", "serving"), ("KServe",)),
    "drift_check": Entry("evaluation", ("drift", "monitoring")),
    "evaluate": Entry("evaluation", ("metrics", "quality-gate"), ("MLflow",)),
    "import_model": Entry("training", ("onnx", "scikit-learn")),
    "infra_validate": Entry("evaluation", ("onnx", "serving", "quality-gate")),
    "load": Entry("data_processing", ("parquet", "sql")),
    "notify": Entry("deployment", ("notification",)),
    "predict": Entry("deployment", ("batch-prediction", "onnx")),
    "preflight": Entry("deployment", ("checks",), ("KServe", "MLflow")),
    "promote_champion": Entry("deployment", ("model-registry",), ("MLflow",)),
    "register": Entry("deployment", ("model-registry",), ("MLflow",)),
    "rollout": Entry("deployment", ("canary", "kserve", "serving"), ("KServe",)),
    "select": Entry("training", ("model-selection",)),
    "split": Entry("data_processing", ("train-test-split",)),
    "take_alarm": Entry("deployment", ("drift", "monitoring")),
    "train": Entry("training", ("lightgbm", "onnx", "scikit-learn", "xgboost")),
    "transform": Entry("data_processing", ("feature-engineering",)),
    "validate": Entry("data_processing", ("data-quality", "schema")),
}


def metadata(name: str, repository: str = "") -> str:
    """The text of ``metadata.yaml``; where the address of this repository is known, with links to it."""
    entry = ENTRIES[name]
    lines = ["---", f"name: {name}", "stability: alpha", "dependencies:", "  kubeflow:"]
    lines += ["    - name: Pipelines", f"      version: {PIPELINES}"]
    if entry.services:
        lines.append("  external_services:")
        for service in entry.services:
            lines += [f"    - name: {service}", f"      version: {_SERVICES[service]}"]
    lines += ["tags:", "  - tabular", *(f"  - {tag}" for tag in entry.tags)]
    lines += [f"lastVerified: {VERIFIED}", "ci:", "  skip_dependency_probe: false"]
    if repository:
        page, issues = f"{repository}/tree/main/components/{name}", f"{repository}/issues"
        lines += ["links:", f"  documentation: {page}", f"  issue_tracker: {issues}"]
    return "\n".join(lines) + "\n"


def owners() -> str:
    """The text of ``OWNERS``."""
    return "\n".join(["approvers:", *(f"  - {one}" for one in APPROVERS)]) + "\n"


def interface(name: str) -> str:
    """The source of a component with its image written out: the catalog compiles each file alone."""
    source = (ROOT / "components" / name / "component.py").read_text(encoding="utf-8")
    source = source.replace("from components.images import image\n", "")
    return re.sub(r'image\("(\w+)"\)', lambda found: f'"{image(cast(Image, found[1]))}"', source)


def write(folder: Path) -> Iterator[Path]:
    """Write every component into its category below `folder`, and give the folders."""
    for name, entry in ENTRIES.items():
        place = folder / "components" / entry.category / name
        place.mkdir(parents=True, exist_ok=True)
        exported = f'"""{name}."""\n\nfrom .component import {name}\n\n__all__ = ["{name}"]\n'
        texts = {
            "metadata.yaml": metadata(name, os.environ.get("KUBELINE_REPOSITORY", "")),
            "OWNERS": owners(),
            "component.py": interface(name),
        }
        for file, text in {**texts, "__init__.py": exported}.items():
            (place / file).write_text(text, encoding="utf-8")
        yield place


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("give the folder to write to, such as a clone of github.com/kubeflow/pipelines-components")
    print("\n".join(f"wrote {place}" for place in write(Path(sys.argv[1]))))
