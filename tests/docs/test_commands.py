"""Every command of every page is run by a test as it stands, or is listed with the reason why not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import PAGES, ROOT, blocks, commands, tokens_of
from tests.support.shells import Shell, alike, clean_environment
from tests.support.unrun_commands import unrun

PROGRAMS = ("bash", "curl", "docker", "git", "kubectl", "kubeline", "make", "mlflow", "openssl", "pip", "python", "uv")


def test_every_page_with_commands_is_followed_by_a_test() -> None:
    """Which gives every command that is not listed: a Shell or Reader takes no page with one left over."""
    written = [file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")]
    tests = "".join(text for text in written if re.search(r"^from tests\.support\.(shells|readers) import", text, re.M))
    pages = {page for page in PAGES if any(unrun(command) is None for command in commands(page))}
    assert len(pages) > 25
    assert [str(page.relative_to(ROOT)) for page in pages if not any(name in tests for name in names(page))] == []


def names(page: Path) -> Iterator[str]:
    """How a test names a page; those of the tutorials leave the folder out."""
    yield f'"{page.relative_to(ROOT)}"'
    if page.parent.name == "tutorials":
        yield f'"{page.name}"'


def unmarked(page: Path) -> Iterator[str]:
    """Commands in blocks that are not said to be a dialogue with a shell, where no test would find them."""
    for token in tokens_of(page):
        if token.type == "fence" and token.info in {"", "bash", "sh", "shell", "text"}:
            yield from (
                line for line in token.content.splitlines() if line.startswith(tuple(f"{p} " for p in PROGRAMS))
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_stands_behind_a_prompt(page: Path) -> None:
    assert list(unmarked(page)) == []
    for block in blocks(page, "console"):
        assert block.startswith("$ "), block


def test_a_sample_of_output_is_compared_by_its_words() -> None:
    shown = "run     9e056bfe-237d-4fb1-bb6b-5dc0847163c6\n  ✓ load 12.3 s\n"
    assert alike(shown, "run     00000000-237d-4fb1-bb6b-5dc0847163c6\n  ✓ load   0.1 s\n")
    assert not alike(shown, "run     9e056bfe-237d-4fb1-bb6b-5dc0847163c6\n  ✗ load 12.3 s\n")
    assert not alike(shown, "run     9e056bfe-237d-4fb1-bb6b-5dc0847163c6\n")


def test_a_command_that_fails_and_one_that_is_left_out_are_found(tmp_path: Path) -> None:
    shell = Shell("docs/new-project.md", tmp_path, {"new project": "new porject"})
    for command in shell.commands():
        with pytest.raises(AssertionError, match="'porject' is not one of the choices"):
            shell.give(command)
        break
    with pytest.raises(AssertionError, match="nothing gave kubeline new project late-flights"):
        list(Shell("docs/new-project.md", tmp_path).commands())


def test_the_page_on_a_repository_of_your_own(tmp_path: Path) -> None:
    shell = Shell("docs/new-project.md", tmp_path)
    for command in shell.commands():
        assert "late-flights" in shell.give(command)
    assert (tmp_path / "late-flights" / "pipelines" / "train.py").is_file()


def test_the_page_for_contributors(tmp_path: Path) -> None:
    shell = Shell("CONTRIBUTING.md", tmp_path, environment=clean_environment(PYTHONPATH=str(ROOT)))
    for command in shell.commands():
        shell.give(command)
    metadata = (tmp_path / "CLONE" / "components" / "training" / "train" / "metadata.yaml").read_text(encoding="utf-8")
    assert "https://…/tree/main/components/train" in metadata


@pytest.mark.parametrize(("page", "mode"), [("docs/embedded-kserve.md", "knative"), ("docs/openshift.md", "openshift")])
def test_the_embedded_kserve_starts_as_its_pages_say(page: str, mode: str, tmp_path: Path) -> None:
    shell = Shell(page, tmp_path)
    for command in shell.commands():
        with shell.serving(command, lambda said: "}" in said):
            said = json.loads(shell.printed[command].splitlines()[0])
            assert said["mode"] == mode
            assert Path(said["kubeconfig"]) == tmp_path / "cluster" / "kubeconfig"
        sample = re.search(r"^\{.*\}$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert sample is None or json.loads(sample[0]).keys() == said.keys()
