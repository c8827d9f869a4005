"""`kubeline lint` on a folder of good and of bad pipelines, as the KFP SDK compiled them, or with one thing changed."""

import json
from pathlib import Path

import pytest

from kubeline.cli import main
from kubeline.platform.lint import LintOptions, check
from kubeline.platform.lint.findings import PLACES, RULES

ROOT = Path(__file__).parents[2]
SAMPLES = Path(__file__).parent / "samples"

# Of each bad sample: the level of the rule that its name begins with, and where it runs all the same.
BAD = {
    "accelerator-kubernetes": ("error", "kubeflow here"),
    "accelerator-vertex": ("error", "vertex here"),
    "artifact-input": ("error", "vertex"),
    "container-component": ("error", "kubeflow vertex"),
    "container-component-python": ("error", "kubeflow vertex"),
    "importer-beside-producer": ("error", "vertex here"),
    "job-name": ("error", "kubeflow here"),
    "missing-definition-channel": ("error", ""),
    "missing-definition-component": ("error", ""),
    "missing-definition-executor": ("error", ""),
    "missing-definition-not-given": ("error", ""),
    "missing-definition-parameter": ("error", ""),
    "mutable-tag-latest": ("warning", "kubeflow vertex here"),
    "mutable-tag-none": ("warning", "kubeflow vertex here"),
    "mutable-tag-registry-port": ("warning", "kubeflow vertex here"),
    "not-a-pipeline-argo": ("error", ""),
    "not-a-pipeline-component": ("error", ""),
    "not-a-pipeline-empty": ("error", ""),
    "pipeline-root-minio": ("error", "kubeflow here"),
    "pipeline-root-missing": ("warning", "kubeflow vertex here"),
    "placeholder-argo": ("warning", "kubeflow vertex here"),
    "placeholder-resource": ("error", "kubeflow vertex"),
    "placeholder-unknown": ("error", ""),
    "placeholder-vertex": ("error", "vertex"),
    "quantity-empty": ("error", "here"),
    "quantity-word": ("error", "here"),
    "retries": ("warning", "kubeflow vertex here"),
    "runtime-install": ("warning", "kubeflow vertex here"),
    "secret-in-clear-code": ("error", "kubeflow vertex here"),
    "secret-in-clear-constant": ("error", "kubeflow vertex here"),
    "secret-in-clear-default": ("error", "kubeflow vertex here"),
    "secret-in-clear-env": ("error", "kubeflow vertex here"),
    "secret-name-empty": ("error", "here"),
    "secret-required": ("warning", "kubeflow here"),
    "unknown-field": ("error", ""),
    "unreadable": ("error", ""),
    "whole-item": ("error", "vertex here"),
    "workflow-size": ("warning", "kubeflow vertex here"),
    "workspace": ("warning", "kubeflow here"),
}
EXPECTED_BESIDE = {"several-documents", "placeholder"}  # of those that need a Kubernetes section


def lint(*words: str) -> int:
    return main(["lint", *words])


def test_every_bad_sample_is_listed_and_every_rule_has_one() -> None:
    assert {file.stem for file in (SAMPLES / "bad").glob("*.yaml")} == set(BAD)
    without = {rule for rule in RULES if not any(name.startswith(rule) for name in BAD)}
    assert without == {"several-documents", "node-too-small"}  # those have tests of their own


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sample_is_found_bad_for_its_reason_alone(name: str) -> None:
    level, runs = BAD[name]
    result = check(SAMPLES / "bad" / f"{name}.yaml", LintOptions())
    (mine,) = {(finding.rule, finding.level) for finding in result.findings if name.startswith(finding.rule)}
    assert mine[1] == level
    others = {finding.rule for finding in result.findings} - {mine[0]}
    assert others <= EXPECTED_BESIDE
    assert [place for place in PLACES if result.runs_on(place)] == runs.split()


@pytest.mark.parametrize("file", sorted((SAMPLES / "good").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_good_sample_has_nothing_but_its_kubernetes_section(file: Path) -> None:
    result = check(file, LintOptions())
    assert {finding.rule for finding in result.findings} <= {"several-documents"}
    assert result.passed
    assert result.runs_on("kubeflow")
    assert result.runs_on("here")


def test_our_own_pipelines_run_where_they_are_compiled_for() -> None:
    for file in sorted(ROOT.glob("pipelines/*/*.yaml")):
        result = check(file, LintOptions(targets=["kubeflow" if file.stem == "kubeflow" else "vertex", "here"]))
        assert result.passed, result.findings
        assert {finding.rule for finding in result.findings} <= {"several-documents", "pipeline-root", "retries"}


def test_a_step_that_no_node_can_hold_is_found_by_the_values_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = str(ROOT / "pipelines/training/kubeflow.yaml")
    assert lint(pipeline, "--node", "cpu=4,memory=16Gi") == 0
    values = tmp_path / "values.yaml"
    values.write_text("memory_request: 32Gi\n")
    assert lint(pipeline, "--node", "cpu=4,memory=16Gi", "--params", str(values)) == 1
    assert "asks for memory 32Gi, and a node of the given size has 16Gi" in capsys.readouterr().out


def test_values_of_a_run_are_named_as_a_run_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("folds: 3\nsplit_column: day\nsource.format: csv\n")
    assert lint("training", "--params", str(values)) == 0
    values.write_text("foldz: 3\nfolds: 3\n")
    assert lint("training", "monitoring", "--params", str(values)) == 2
    assert "no pipeline given has a parameter 'foldz'" in capsys.readouterr().err


def test_without_a_request_the_limit_is_what_a_node_must_have() -> None:
    file = SAMPLES / "good" / "everything.yaml"  # 500m as request, 2Gi as limit
    small = check(file, LintOptions(node={"cpu": "250m", "memory": "1Gi"}))
    assert sorted(finding.sentence.split(", ")[0] for finding in small.findings) == [
        "exec-model-out asks for cpu 500m",
        "exec-model-out asks for memory 2Gi",
    ]
    gpu = check(SAMPLES / "bad" / "accelerator-kubernetes.yaml", LintOptions(node={"nvidia.com/gpu": "0"}))
    assert "node-too-small" in {finding.rule for finding in gpu.findings}


@pytest.mark.parametrize("size", ["4", "cpu=many", "cpus=4", "cpu=4;memory=1Gi"])
def test_a_size_that_is_none_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(str(SAMPLES / "good"), "--node", size) == 2
    assert "--node" in capsys.readouterr().err


def test_a_secret_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json", "sarif"):
        assert lint(str(SAMPLES / "bad"), "--format", form) == 1
        printed = capsys.readouterr().out
        for secret in ("correct-horse", "AKIAIOSFODNN7EXAMPLE", "Zm9vYmFyYmF6"):
            assert secret not in printed


def test_a_finding_has_the_line_it_is_about() -> None:
    file = SAMPLES / "bad" / "secret-in-clear-default.yaml"
    (finding,) = check(file, LintOptions()).findings
    assert "correct-horse" in file.read_text(encoding="utf-8").splitlines()[finding.line - 1]


def test_the_exit_code_is_that_of_the_platforms_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(SAMPLES / "bad" / "container-component.yaml")
    assert lint(file) == 0  # on one of the clusters
    assert lint(file, "--target", "kubeflow", "--target", "vertex") == 0
    assert lint(file, "--target", "here") == 1
    assert lint(str(SAMPLES / "bad" / "secret-in-clear-env.yaml")) == 1  # it would run, and must not
    assert lint("training", "--target", "vertex") == 0
    assert "training/vertex.yaml: runs on Kubeflow: yes, Vertex: yes, here: yes" in capsys.readouterr().out


def test_json_gives_programs_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    lint(str(SAMPLES / "bad" / "accelerator-vertex.yaml"), "--format", "json")
    (result,) = json.loads(capsys.readouterr().out)
    assert result["runs"] == {"kubeflow": False, "vertex": True, "here": True}
    (finding,) = result["findings"]
    assert (finding["rule"], finding["level"], finding["platforms"]) == ("accelerator", "error", ["kubeflow"])


def test_sarif_names_its_rules_and_the_places_of_its_results(capsys: pytest.CaptureFixture[str]) -> None:
    lint(str(SAMPLES / "bad"), "--format", "sarif")
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert len(run["results"]) >= len(BAD)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        lines = Path(place["artifactLocation"]["uri"]).read_text(encoding="utf-8").splitlines()
        assert 1 <= place["region"]["startLine"] <= max(1, len(lines))


def test_a_file_that_cannot_be_read_is_a_users_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(str(tmp_path / "none.yaml")) == 2
    assert lint(str(tmp_path)) == 2
    assert "holds no YAML file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "a",
        "root: 5\npipelineInfo: {name: a}",
        "root: {dag: 5}\npipelineInfo: {name: a}",
        "a: 2013-13-45",
        "\ta: b",
    ],
)
def test_whatever_stands_in_a_file_one_sentence_is_reported(text: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    (finding,) = check(file, LintOptions()).findings
    assert finding.level == "error"
    assert "\n" not in finding.sentence


def test_nulls_and_the_other_spelling_of_names_are_read_as_the_platforms_read_them(tmp_path: Path) -> None:
    text = (SAMPLES / "bad" / "accelerator-vertex.yaml").read_text(encoding="utf-8")
    file = tmp_path / "spelled.yaml"
    file.write_text(
        text.replace("deploymentSpec:", "deployment_spec:").replace("resources:", "env: null\n        resources:")
    )
    assert [finding.rule for finding in check(file, LintOptions()).findings] == ["accelerator"]
