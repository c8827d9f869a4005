"""Arguments are checked against the pipeline's own signature."""

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeline.errors import UserError
from kubeline.local.parameters import assigned, check, read_parameters, signature


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
        ({"limit": True}, "parameter 'limit' of pipeline toy is true, but a whole number is expected"),
        ({"share": "half"}, "parameter 'share' of pipeline toy is 'half', but a number is expected"),
        ({"title": 2013}, "parameter 'title' of pipeline toy is 2013, but a text (put it in quotes) is expected"),
        ({"sizes": {"size": 1}}, "parameter 'sizes' of pipeline toy is {'size': 1}, but a list is expected"),
        (
            {"title": ["x" * 300]},
            f"parameter 'title' of pipeline toy is ['{'x' * 198}…, but a text (put it in quotes) is expected",
        ),
        (
            {"title": datetime.date(2013, 10, 1)},
            "parameter 'title' of pipeline toy is 2013-10-01, but a text (put it in quotes) is expected",
        ),
        ({"title": None}, "parameter 'title' of pipeline toy is null, but a text (put it in quotes) is expected"),
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


def test_a_missing_parameter_is_reported_with_its_meaning(toy: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(toy.read_text(encoding="utf-8"))
    del document["root"]["inputDefinitions"]["parameters"]["limit"]["isOptional"]
    required = tmp_path / "required.yaml"
    required.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"^parameter 'limit' of pipeline toy is missing: Where big begins, in bytes\.$"
    ):
        check(required, {})


@pytest.fixture
def grouped(toy: Path, tmp_path: Path) -> Path:
    """The toy with parameters that are groups of fields."""
    document = yaml.safe_load(toy.read_text(encoding="utf-8"))
    parameters = document["root"]["inputDefinitions"]["parameters"]
    for name, default in {
        "training": {"folds": 5, "task": "auto", "balanced": False, "tolerance": 1e-5, "weights": []},
        "split": {"by": "random", "cutoff": ""},
        "plan": {},
    }.items():
        parameters[name] = {"parameterType": "STRUCT", "isOptional": True, "defaultValue": default}
    file = tmp_path / "grouped.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("pair", "taken"),
    [
        ("title=10", {"title": "10"}),
        ("title=2013-10-01", {"title": "2013-10-01"}),
        ("title=", {"title": ""}),
        ("title=null", {"title": "null"}),
        ("title=a: b # c", {"title": "a: b # c"}),
        ('title="10"', {"title": "10"}),
        ("title='it''s'", {"title": "it's"}),
        ("title='a' = 'b'", {"title": "'a' = 'b'"}),
        ("title={x", {"title": "{x"}),
        ("limit=010", {"limit": 10}),
        ("share=1", {"share": 1.0}),
        ("share=1e-3", {"share": 0.001}),
        ("sizes=[{size: 1e-3}]", {"sizes": [{"size": 0.001}]}),
        ("training.folds=3", {"training": {"folds": 3}}),
        ("folds=3", {"training": {"folds": 3}}),
        ("training.task=10", {"training": {"task": "10"}}),
        ("training={folds: 3}", {"training": {"folds": 3}}),
        ("split.cutoff=2013-10-01", {"split": {"cutoff": "2013-10-01"}}),
        ("split_cutoff=10", {"split": {"cutoff": "10"}}),
        ("plan.rules.max_error_rate=1e-2", {"plan": {"rules": {"max_error_rate": 0.01}}}),
    ],
)
def test_a_pair_is_read_by_the_type_of_its_parameter(grouped: Path, pair: str, taken: dict[str, Any]) -> None:
    assert check(grouped, assigned(grouped, {}, [pair])) == taken


def test_an_empty_mapping_takes_away_what_the_file_has(grouped: Path) -> None:
    values = {"plan": {"steps": [5], "rules": {"alpha": 0.1}}}
    assert assigned(grouped, values, ["plan.rules={}"]) == {"plan": {"steps": [5], "rules": {}}}
    assert assigned(grouped, values, ["plan={}"]) == {"plan": {}}
    assert assigned(grouped, values, ["plan={steps: [9]}"]) == {"plan": {"steps": [9], "rules": {"alpha": 0.1}}}


def test_fields_of_a_group_are_put_together_whatever_names_them(grouped: Path) -> None:
    values = {"training": {"folds": 3, "balanced": True}, "split_by": "time", "task": "binary"}
    assert assigned(grouped, values, ["training.folds=4", "cutoff=7"]) == {
        "training": {"folds": 4, "balanced": True, "task": "binary"},
        "split": {"by": "time", "cutoff": "7"},
    }
    assert values["training"] == {"folds": 3, "balanced": True}


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("training.fold=3", "'fold' is not a field of 'training'; did you mean 'folds'?"),
        ("training.zzz=3", "'zzz' is not a field of 'training'; it has: balanced, folds, task, tolerance, weights"),
        ("folds=many", "field 'folds' of 'training' is 'many', but a number is expected"),
        ("folds=true", "field 'folds' of 'training' is true, but a number is expected"),
        ("balanced=1", "field 'balanced' of 'training' is 1, but true or false is expected"),
        ("weights=1", "field 'weights' of 'training' is 1, but a list is expected"),
        ("blanced=1", "'blanced' is not a parameter of pipeline toy; did you mean 'balanced'?"),
        (
            "share=.nan",
            "parameter 'share' of pipeline toy holds nan at share, which no pipeline can pass on; give a finite number",
        ),
        (
            "sizes=[{day: 2013-10-01}]",
            "parameter 'sizes' of pipeline toy holds 2013-10-01 at sizes[0].day, which no pipeline can "
            "pass on; put a date in quotes",
        ),
        ("limit=1.5", "parameter 'limit' of pipeline toy is 1.5, but a whole number is expected"),
        ("limit", "--set takes NAME=VALUE, but 'limit' was given"),
    ],
)
def test_a_wrong_pair_is_reported_before_anything_runs(grouped: Path, pair: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check(grouped, assigned(grouped, {}, [pair]))
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("training", "place"), [({"task": "\ud800"}, "training.task"), ({"\ud800": 1}, "the names of training")]
)
def test_half_a_character_is_no_text_that_a_pipeline_can_pass_on(
    grouped: Path, training: dict[str, Any], place: str
) -> None:
    with pytest.raises(UserError, match=f"half of a surrogate pair at {place}, which is no character"):
        check(grouped, {"training": training})


def test_the_defaults_of_a_group_are_whole_numbers_again(grouped: Path) -> None:
    assert repr(signature(grouped).model_fields["training"].default["folds"]) == "5"


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
