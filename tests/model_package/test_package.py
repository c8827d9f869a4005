"""A package is read whole and unchanged, or not at all."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.model_package.formats import FILES, OPTIONAL
from kubeline.model_package.package import write_package


class Trap:
    """Writes a file when it is unpickled, as an attacker's model would."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> Any:
        return (Path.write_text, (Path(self.place), "sprung"))


def test_a_whole_package_opens_with_the_digest_of_its_manifest(folder: Path) -> None:
    package = ModelPackage.open(folder)
    assert package.digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert set(package.manifest.files) == {*FILES, *OPTIONAL}


@pytest.mark.parametrize("name", [*FILES, *OPTIONAL])
def test_a_changed_file_is_refused_by_name(folder: Path, name: Any) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(UserError, match=f"{name} of the model package at .* was changed after training"):
        ModelPackage.open(folder)


@pytest.mark.parametrize("name", [*FILES, *OPTIONAL])
def test_a_missing_file_is_refused_by_name(folder: Path, name: Any) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"lacks {name}"):
        ModelPackage.open(folder)


def test_a_file_that_the_manifest_does_not_name_is_refused(folder: Path) -> None:
    (folder / "nested").mkdir()
    (folder / "nested" / "extra.py").write_text("print()")
    with pytest.raises(UserError, match=r"holds nested/extra\.py, which its manifest does not name"):
        ModelPackage.open(folder)


def test_a_manifest_that_names_a_file_elsewhere_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../secret"] = manifest["files"]["model.onnx"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"holds \.\./secret"):
        ModelPackage.open(folder)


@pytest.mark.parametrize("content", ["", "{}", '{"files": {}}', "[1, 2]", "\x00"])
def test_a_damaged_manifest_is_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"the manifest of the model package at .* is damaged"):
        ModelPackage.open(folder)


def test_a_folder_without_a_manifest_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no model package at"):
        ModelPackage.open(tmp_path)


def test_a_trap_in_joblib_is_never_unpickled(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "sprung"
    (folder / "model.joblib").write_bytes(pickle.dumps(Trap(place)))
    with pytest.raises(UserError, match=r"model\.joblib of the model package"):
        ModelPackage.open(folder).sklearn()
    assert not place.exists()


def test_a_trap_laid_after_the_package_was_opened_is_not_unpickled_either(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "sprung"
    package = ModelPackage.open(folder)
    (folder / "model.joblib").write_bytes(pickle.dumps(Trap(place)))
    with pytest.raises(UserError, match=r"model\.joblib of the model package"):
        package.sklearn()
    assert not place.exists()


def test_the_trap_would_spring(tmp_path: Path) -> None:
    """The two tests above would prove nothing if it did not."""
    place = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(place)))  # noqa: S301  our own bytes
    assert place.exists()


def test_golden_rows_are_answered_as_recorded_by_both_forms(folder: Path, flights: pd.DataFrame) -> None:
    package = ModelPackage.open(folder)
    golden = package.golden()
    found = package.predictor(threads=1).predict(golden)
    recorded = golden[["expected.probability.False", "expected.probability.True"]].to_numpy()
    assert len(golden) == 20
    assert np.array_equal(found.probabilities.astype(float), recorded)
    assert found.values.tolist() == golden["expected.prediction"].tolist()
    assert np.allclose(package.sklearn().predict_proba(package.signature.encoded_frame(golden)), recorded, atol=1e-6)


def test_golden_rows_hold_missing_values_and_every_class(folder: Path) -> None:
    golden = ModelPackage.open(folder).golden()
    assert golden["wind_gust"].isna().any()
    assert (golden["expected.prediction"] == "False").any()


def test_the_reference_profiles_every_feature_and_the_predictions(folder: Path) -> None:
    package = ModelPackage.open(folder)
    reference = package.reference()
    assert set(reference["columns"]) == set(package.signature.names)
    assert set(reference["predictions"]) == {"probability.False", "probability.True"}


def test_a_package_of_other_files_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a package consists of model\.onnx"):
        write_package(tmp_path / "package", {"model.onnx": b""})
