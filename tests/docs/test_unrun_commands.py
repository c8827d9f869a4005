"""What pages tell their readers to do and no test can: what can be checked of it is right all the same."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from components.catalog import ENTRIES
from examples.fraud import demo
from kubeline_serving.options import read_options
from tests.support.pages import PAGES, ROOT, commands
from tests.support.unrun_commands import UNRUN, unrun

KUBECTL = str(Path(sys.executable).with_name("kubectl"))  # from its wheel
LISTED = [
    pytest.param(command, id=f"{page.relative_to(ROOT)}: {command[:40]}")
    for page in PAGES
    for command in commands(page)
    if unrun(command)
]


def run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(command: str, folder: Path) -> None:
    """Make has the target, and knows how to make it."""
    del folder
    assert run("make", "--dry-run", *shlex.split(command, comments=True)[1:])


def docker(command: str, folder: Path) -> None:
    """The Dockerfiles are there and have the stages; the image's arguments are options of the model server."""
    del folder
    words = shlex.split(command)
    if words[1] == "run":
        image = next(n for n, word in enumerate(words) if "kubeline-python-serving" in word)
        assert read_options(words[image + 1 :]).model_name == "flights"
        assert '"" | -*) exec python -P -m kubeline_serving "$@"' in (ROOT / "serving/entrypoint.sh").read_text()
        return
    named = re.search(r" (?:-f|--file) (\S+)", command)
    dockerfile = (ROOT / (named[1] if named else "Dockerfile")).read_text(encoding="utf-8")
    looped = re.search(r"for image in (.*?);", command)
    assert looped is None or "--target $image " in command
    for stage in looped[1].split() if looped else []:
        assert re.search(rf"^FROM \S+ AS {stage}$", dockerfile, re.MULTILINE)


def kubectl(command: str, folder: Path) -> None:
    """What kubectl would send is what the page says, without a cluster."""
    words = shlex.split(command)[1:]
    if words[0] == "apply":
        assert list(yaml.safe_load_all(run(KUBECTL, "kustomize", words[words.index("-k") + 1])))
        return
    for word in words:
        if word.startswith("--from-file="):
            (folder / word.rpartition("=")[2]).write_text("a key", encoding="utf-8")
    words = [word for word in words if word != "…"]
    (made,) = yaml.safe_load_all(run(KUBECTL, *words, "--dry-run=client", "-o", "yaml", cwd=folder))
    kind = next(word for word in words[1:] if word in {"secret", "configmap", "namespace"})
    assert made["kind"].lower() == kind
    shipped = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "manifests").rglob("*.yaml"))
    shipped += (ROOT / "pipelines/training/kubeflow.yaml").read_text(encoding="utf-8")
    for key in made.get("data", {}):
        assert key in shipped, f"nothing reads the key {key} of {made['metadata']['name']}"


def kustomize(command: str, folder: Path) -> None:
    """With another namespace, which `kustomize edit set namespace` writes into the file, all is in that one."""
    where, namespace = re.findall(r"cd (\S+) && kustomize edit set namespace (\S+) && kubectl apply -k \.$", command)[0]
    shutil.copytree(ROOT / "manifests", folder / "manifests")
    settings = folder / where / "kustomization.yaml"
    document = {**yaml.safe_load(settings.read_text(encoding="utf-8")), "namespace": namespace.lower()}
    settings.write_text(yaml.safe_dump(document), encoding="utf-8")
    made = list(yaml.safe_load_all(run(KUBECTL, "kustomize", str(folder / where))))
    assert made
    assert {one["metadata"].get("namespace", namespace.lower()) for one in made} == {namespace.lower()}


def pip(command: str, folder: Path) -> None:
    """What is installed is a project, and has the extra."""
    del folder
    path, extra = re.findall(r"^([^\[]+)(?:\[(\w+)\])?$", shlex.split(command, comments=True)[2])[0]
    project = tomllib.loads((ROOT / path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not extra or extra in project["optional-dependencies"]


def cosign(command: str, folder: Path) -> None:
    """The identity is that of the workflow which publishes images of this name."""
    del folder
    words = shlex.split(command)
    (identity,) = [after for word, after in pairwise(words) if word.endswith("-regexp")]
    assert re.search(identity, "https://github.com/kubeline/kubeline/.github/workflows/release.yml@refs/tags/v0.1.0")
    assert words[2] == "ghcr.io/kubeline/kubeline-python-steps:VERSION"
    assert "kubeline-python-" in (ROOT / ".ci/release").read_text(encoding="utf-8")


def scripts(command: str, folder: Path) -> None:
    """The folder is where the command before it writes that component."""
    del folder
    where = re.findall(r"components/(\w+)/(\w+)", command)
    assert [ENTRIES[name].category for _, name in where] == [category for category, _ in where]


def fraud(command: str, folder: Path) -> None:
    """The program takes the option."""
    del folder
    options = set(re.findall(r" (--[a-z]+)", command))
    assert options <= set(re.findall(r'add_argument\("(--[a-z]+)"', Path(demo.__file__).read_text(encoding="utf-8")))


def nothing(command: str, folder: Path) -> None:
    """There is nothing of it here."""


CHECKS: dict[str, Callable[[str, Path], None]] = {
    "make ": make,
    "docker ": docker,
    "for image in steps drift deploy; do": docker,
    "kubectl ": kubectl,
    "cd manifests/": kustomize,
    "gcloud ": nothing,
    "pip install ": pip,
    "cosign ": cosign,
    "python -m scripts.": scripts,
    "python -m examples.fraud.demo ": fraud,
}


@pytest.mark.parametrize("command", LISTED)
def test_what_is_not_run_is_right_as_far_as_can_be_seen_here(command: str, tmp_path: Path) -> None:
    CHECKS[str(unrun(command))](command, tmp_path)


def test_nothing_is_listed_that_no_page_has_and_each_has_its_check() -> None:
    found = {unrun(command) for page in PAGES for command in commands(page)}
    assert found - {None} == UNRUN.keys() == CHECKS.keys()
