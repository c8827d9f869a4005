"""The pages that people read are true: links lead somewhere, commands are commands, snippets import what there is."""

import argparse
import ast
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp.dsl.base_component import BaseComponent

from kubeline.cli import main
from kubeline.cli.program import make_parser
from tests.support.pages import PAGES, ROOT, blocks, commands, tokens_of
from tests.support.shells import Shell

GENERATED = ROOT / "docs" / "reference"  # by `make docs`
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def headings(page: Path) -> set[str]:
    """What a link to a part of a page may name."""
    tokens = tokens_of(page)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[str]:
    for token in tokens_of(page):
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if target and not re.match(r"[a-z]+:", str(target)):
                yield str(target)


@EACH_PAGE
def test_a_link_leads_to_a_file_and_to_a_heading_that_are_there(page: Path) -> None:
    for link in links(page):
        path, _, part = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target.is_relative_to(GENERATED):
            continue
        assert target.exists(), link
        assert not part or part in headings(target), link


def parameters(options: argparse.Namespace) -> set[str]:
    """Names of the parameters that a command gives to a pipeline of ours, which must be its."""
    compiled = ROOT / "pipelines" / options.pipeline / "kubeflow.yaml"
    if not compiled.is_file():
        return set()
    document = next(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))
    given = {re.split(r"[.=]", pair)[0] for pair in options.set or []}
    return given - set(document["root"]["inputDefinitions"]["parameters"])


@EACH_PAGE
def test_a_command_is_one_that_kubeline_takes(page: Path) -> None:
    """But for the samples of what is refused: those are followed by what Kubeline says to them."""
    text = page.read_text(encoding="utf-8")
    for command in commands(page):
        if not command.startswith("kubeline ") or f"$ {command}\nkubeline: " in text:
            continue
        words = shlex.split(command.replace("$(ls -d runs/training-* | tail -2)", "A B"), comments=True)[1:]
        if "--help" in words:
            continue
        options = make_parser().parse_args([word for word in words if word not in {"|", "head", "…"}])
        if "set" in options:
            assert parameters(options) == set(), command


@EACH_PAGE
def test_make_has_every_target_that_is_named(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@EACH_PAGE
def test_a_snippet_of_python_is_python_and_imports_what_there_is(page: Path) -> None:
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code.replace("=…", "=...").replace("(…", "(..."))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {"kubeline", "kfp"}:
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("components/*/README.md")), ids=lambda page: page.parent.name)
def test_the_snippet_of_a_component_runs_as_it_stands(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(page, "python")
    made: dict[str, Any] = {}
    exec(code, made)  # noqa: S102 - our own page
    assert page.parent.name in {one.name.replace("-", "_") for one in made.values() if isinstance(one, BaseComponent)}


def test_the_pipeline_of_the_tutorial_compiles_and_will_run_where_it_says(tmp_path: Path) -> None:
    page = ROOT / "docs" / "tutorials" / "your-own-component.md"
    (tmp_path / "mine.py").write_text(next(blocks(page, "python")), encoding="utf-8")
    subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, check=True)
    assert (
        main(["lint", str(tmp_path / "mine.yaml"), "--target", "kubeflow", "--target", "vertex", "--target", "here"])
        == 0
    )


@EACH_PAGE
def test_a_snippet_of_yaml_is_yaml(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text) is not None


def test_every_page_is_in_the_contents_of_the_site() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {line for block in blocks(index, "{toctree}") for line in block.splitlines()}
    pages = {page.relative_to(index.parent) for page in index.parent.rglob("*.md") if page != index}
    names = {str(page.with_suffix("")) for page in pages if page.parts[0] not in {"reference", "decisions"}}
    assert names - listed == set()


def test_troubleshooting_quotes_errors_that_there_are() -> None:
    """But for those of KFP and MLflow, which are marked as theirs."""
    page = ROOT / "docs" / "troubleshooting.md"
    quoted = re.findall(r"^\| `(.*?)` \| (.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ours = {said for said, means in quoted if not re.match(r"KFP's own words|MLflow 3\.5", means)}
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src" / "kubeline").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", source)  # a sentence goes on in the next line
    joined = joined.replace("{resource.kind}", "InferenceService")
    assert len(ours) > 15
    assert {said for said in ours if said not in joined} == set()


TUTORIAL = ROOT / "docs" / "tutorials" / "your-own-table.md"


@pytest.mark.slow
@pytest.mark.usefixtures("warm_steps")
def test_the_commands_of_the_tutorial_run_in_their_order(tmp_path: Path) -> None:
    shell = Shell("docs/tutorials/your-own-table.md", tmp_path)
    printed = [shell.give(command).strip().rpartition("\n")[2].strip() for command in shell.commands()]
    promised = "promote roc_auc 0.9957 [0.9844, 1]; registered as models:/cancer/1"
    assert promised in TUTORIAL.read_text(encoding="utf-8")
    assert printed[1] == promised
    assert printed[2].startswith(("promote", "hold", "inconclusive"))
    assert next((tmp_path / "runs" / "compared").iterdir()).is_file()
    assert printed[4].startswith("inconclusive roc_auc")
    assert (tmp_path / "predictions" / "_predictions-1-of-1.json").is_file()
    assert printed[-1].startswith("promote")


def test_every_diagram_is_drawn_by_the_site_which_runs_no_script_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    diagrams = importlib.import_module("diagrams")
    drawn = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = diagrams.on_the_site(text, diagrams.drawings(text))
        assert "```mermaid" not in shown
        drawn += shown.count("<svg")
        for block in blocks(page, "mermaid"):
            names = {name for move in re.findall(r"^ {4}(\w+) --> (\w+)", block, re.MULTILINE) for name in move}
            assert all(name.replace("_", " ") in shown.replace("_", " ") for name in names)
    assert drawn >= 2
    text = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
    states = diagrams.on_the_site(text, diagrams.drawings(text))
    assert "| `analyzing` | `withdrawing` | failed |" in states
    with pytest.raises(ValueError, match="'note' is no transition of a diagram, and no box"):
        diagrams.drawings("```mermaid\nstateDiagram-v2\n    note\n```\n")


def test_what_scrolls_on_the_site_is_within_reach_of_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    accessible = importlib.import_module("accessible").accessible
    page = (
        '<aside class="sidebar-drawer"><p class="caption" role="heading">x</p></aside><aside class="toc-drawer">'
        '<div class="highlight"><pre>y</pre></div><div class="table-wrapper z">'
    )
    shown = accessible(page)
    assert shown.count("aria-label=") == 4
    assert (shown.count('tabindex="0"'), shown.count('aria-level="2"')) == (2, 1)
    assert accessible(shown) == shown
