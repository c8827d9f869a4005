"""Arguments are checked against the pipeline's own signature."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeline.errors import UserError
from kubeline.local.parameters import check, read_parameters, signature


def test_the_signature_has_the_pipelines_types_defaults_and_descriptions(toy: Path) -> None:
    schema = signature(toy).model_json_schema()["properties"]
    assert schema["limit"] == {
        "default": 5,
        "description": "Where big begins, in bytes.",
        "title": "Limit",
        "type": "integer",
    }
    assert schema["sizes"]["type"] == "array"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"limmit": 1}, "'limmit' is not a parameter of pipeline toy; did you mean 'limit'?"),
        ({"zzz": 1}, "'zzz' is not a parameter of pipeline toy; it has: limit, share, sizes, title"),
        ({"limit": "many"}, "parameter 'limit' of pipeline toy is 'many', but a whole number is expected"),
        ({"limit": 1.5}, "parameter 'limit' of pipeline toy is 1.5, but a whole number is expected"),
        ({"limit": True}, "parameter 'limit' of pipeline toy is True, but a whole number is expected"),
        ({"share": "half"}, "parameter 'share' of pipeline toy is 'half', but a number is expected"),
        ({"title": 2013}, "parameter 'title' of pipeline toy is 2013, but a text (put it in quotes) is expected"),
        ({"sizes": {"size": 1}}, "parameter 'sizes' of pipeline toy is {'size': 1}, but a list is expected"),
        ({"title": None}, "parameter 'title' of pipeline toy is None, but a text (put it in quotes) is expected"),
        (
            {"sizes": [{"size": {"x": None}}]},
            "parameter 'sizes' of pipeline toy holds null at sizes[0].size.x, which no pipeline can pass on; leave it "
            'out to have the default (a check of a plan is switched off by "off")',
        ),
    ],
)
def test_a_wrong_argument_is_named_before_anything_runs(toy: Path, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check(toy, arguments)
    assert str(error.value) == sentence


def test_a_whole_number_is_a_number(toy: Path) -> None:
    taken = check(toy, {"share": 1})
    assert taken == {"share": 1.0}
    assert isinstance(taken["share"], float)  # the local runner takes nothing else


def test_an_artifact_cannot_be_given_to_a_run(toy: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(toy.read_text(encoding="utf-8"))
    kind = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
    document["root"]["inputDefinitions"]["artifacts"] = {"table": {"artifactType": kind}}
    file = tmp_path / "artifact.yaml"
    file.write_text(yaml.safe_dump(document))
    for arguments in ({}, {"table": "x.parquet"}):
        with pytest.raises(
            UserError, match=r"'table' of pipeline toy is an artifact, .* begin the pipeline with dsl.imp"
        ):
            check(file, arguments)


def test_a_missing_parameter_is_told_with_its_meaning(toy: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(toy.read_text(encoding="utf-8"))
    del document["root"]["inputDefinitions"]["parameters"]["limit"]["isOptional"]
    required = tmp_path / "required.yaml"
    required.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"^parameter 'limit' of pipeline toy is missing: Where big begins, in bytes\.$"
    ):
        check(required, {})


def test_values_given_by_hand_go_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("limit: 1\ntitle: one\n", encoding="utf-8")
    assert read_parameters(file, {"limit": 2}) == {"limit": 2, "title": "one"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no parameter file"),
        (b"a: [1\n", "is not valid YAML"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        (b"- 1\n", "must be a mapping of parameter names to values"),
    ],
)
def test_a_bad_parameter_file_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    file = tmp_path / "parameters.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as error:
        read_parameters(file, {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "just text", "a: 1", "root: {}\npipelineInfo: {}"])
def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="is not a compiled pipeline"):
        signature(file)
