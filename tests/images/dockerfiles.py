"""What the Dockerfiles say: the tests build the same without Docker, and cannot drift apart from them."""

import json
import re
import shlex
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from docker.utils.build import exclude_paths

ROOT = Path(__file__).parents[2]
IMAGES = ("steps", "drift", "deploy", "serving")


def dockerfile(image: str) -> Path:
    """The file that an image is made from."""
    return ROOT / "serving" / "Dockerfile" if image == "serving" else ROOT / "Dockerfile"


@dataclass(frozen=True)
class Stage:
    """What a process in an image finds: variables, working directory, user and entry point; and what made it.

    `runs` are the commands that were run for it, `copies` the stages of which it holds something.
    """

    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


def stages(file: Path) -> dict[str, Stage]:
    """The stages of a Dockerfile by their names; one without a name is called ``serving``."""
    found: dict[str, Stage] = {}
    name = ""
    for keyword, words in _instructions(file):
        stage = found.get(name, Stage())
        match keyword:
            case "FROM":
                parts = words.split()
                name = parts[2] if len(parts) == 3 else "serving"
                stage = found.get(parts[0], Stage())
            case "ENV":
                pairs = dict(pair.split("=", 1) for pair in shlex.split(words))
                stage = replace(stage, environment={**stage.environment, **pairs})
            case "WORKDIR":
                stage = replace(stage, workdir=words)
            case "USER":
                stage = replace(stage, user=words)
            case "ENTRYPOINT":
                stage = replace(stage, entrypoint=tuple(json.loads(words)))
            case "COPY" if "--from=" in words:
                stage = replace(stage, copies=(*stage.copies, words.partition("--from=")[2].split()[0]))
            case "RUN":
                stage = replace(stage, runs=(*stage.runs, words))
        if name:
            found[name] = stage
    return found


def stage(image: str) -> Stage:
    """The stage that is an image."""
    return stages(dockerfile(image))[image]


def layers(image: str) -> list[str]:
    """The locks that an image is installed from, one upon the other."""
    return [name.removesuffix("-packages") for name in stage(image).copies if name.endswith("-packages")]


def copy_context(folder: Path) -> None:
    """Copy what a build is sent, as ``.dockerignore`` has it, and of that what the Dockerfiles copy."""
    sent = exclude_paths(str(ROOT), (ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    copied = {source for image in IMAGES for source in _copied(dockerfile(image))}
    missing = [source for source in copied if not any(path == source or path.startswith(source + "/") for path in sent)]
    assert not missing, f".dockerignore keeps {missing} from the builds"
    for path in sorted(sent):
        wanted = any(path == source or path.startswith(source + "/") for source in copied)
        if wanted and (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / path)


def _copied(file: Path) -> list[str]:
    """The sources of a Dockerfile's COPY instructions, but those from another stage."""
    words = [words for keyword, words in _instructions(file) if keyword == "COPY" and "--from=" not in words]
    return [source for each in words for source in each.split()[:-1]]


def _instructions(file: Path) -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(keyword, words.strip()) for keyword, _, words in (line.partition(" ") for line in lines) if keyword]
