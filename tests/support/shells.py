"""A reader of a page who gives its commands to a shell: as they stand, in their order, in one folder."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks, dialogue
from tests.support.unrun_commands import unrun
from tests.support.waiting import wait_for

_CLEAN = ("MLFLOW_", "AWS_", "KUBELINE_", "KF_PIPELINES_", "KUBECONFIG", "DOCKER_HOST")


def clean_environment(**variables: str) -> dict[str, str]:
    """That of the tests, where their programs are found and nothing else is configured but `variables`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CLEAN)}
    return {**kept, "PATH": path, "COLUMNS": "200", **variables}


@dataclass
class Shell:
    """Reads one page.

    Attributes:
        page: its path from the root of the project.
        folder: the working directory.
        stands_for: what is on the page, and what stands for it here.
        environment: of the next command; what a command exports stays.
        printed: what each command printed.
    """

    page: str
    folder: Path
    stands_for: Mapping[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=clean_environment)
    printed: dict[str, str] = field(default_factory=dict)
    _given: bool = True

    def commands(self) -> Iterator[str]:
        """Each command that is to be given, in the order of the page; each must be, before the next is asked for."""
        for block in blocks(ROOT / self.page, "console"):
            for command, shown in dialogue(block):
                if unrun(command) is None:
                    self._given, self._shown = False, shown
                    yield command
                    assert self._given, f"{self.page}: nothing gave {command}"

    def here(self, command: str) -> str:
        """The command with what stands here for what is on the page."""
        for there, here in self.stands_for.items():
            command = command.replace(there, here)
        return command

    def give(self, command: str, code: int = 0) -> str:
        """Run it; it must end with this exit code, and print what the page shows. Returns what it printed.

        Where the page shows an error, the command must end with 2, and that is what it printed.
        """
        state = self.folder / ".environment"
        script = f'{self.here(command)}\nended=$?; env -0 > "{state}"; exit $ended'
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        refused = self._shown.startswith("kubeline: ")
        printed = done.stderr if refused else done.stdout
        ended = f"{self.page}: {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == (2 if refused else code), ended
        assert not self._shown or alike(self.here(self._shown), printed), ended
        pairs = (pair.partition("=") for pair in state.read_text(encoding="utf-8").split("\0") if pair)
        self.environment = {name: value for name, _, value in pairs}
        self._given = True
        self.printed[command] = printed
        return printed

    @contextmanager
    def serving(self, command: str, is_ready: Callable[[str], bool]) -> Iterator[None]:
        """Run what does not end by itself from when it is ready, by what it has printed, until Ctrl-C at the end."""
        said = self.folder / "served.txt"
        with said.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self.here(command)}"],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            wait_for(lambda: process.poll() is not None or is_ready(said.read_text(encoding="utf-8")))
            self.printed[command] = said.read_text(encoding="utf-8")
            assert process.poll() is None, self.printed[command]
            self._given = True
            yield
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Its folder and environment in this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in [one for one in os.environ if one.startswith(_CLEAN)]:
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield


def alike(shown: str, printed: str) -> bool:
    """Whether the output has the lines of the sample: the same words, with other figures, times and identifiers.

    Steps that ended between two looks at a server are shown in any order.
    """
    return sorted(map(_words, shown.splitlines())) == sorted(map(_words, printed.splitlines()))


def _words(line: str) -> str:
    line = re.sub(r"\b(?=[0-9a-f-]*\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b", "ID", line)
    return re.sub(r"\s*\d+(?:[.,]\d+)*", " 0", line)
