"""A reader of a page: writes its files, gives its commands and runs its Python, in their order and in one folder."""

import io
import os
import re
import runpy
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeline.cli import main
from tests.support.commands import Ran
from tests.support.pages import commands_of, tokens_of
from tests.support.unrun_commands import unrun


@dataclass
class Reader:
    """Reads one page.

    Attributes:
        page: the page.
        folder: the working directory.
        files: names of the files that the blocks of YAML are written to, in their order; a second block of one file
            is appended to it.
        addresses: what is on the page, and what stands for it here; in commands, not in files.
        ran: what was given: the exit code, what was printed, the error.
        python: the names that each piece of Python left.
    """

    page: Path
    folder: Path
    files: Sequence[str] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    ran: dict[str, Ran] = field(default_factory=dict)
    python: list[dict[str, Any]] = field(default_factory=list)

    def commands(self) -> Iterator[str]:
        """Each command that is to be given (those that are listed are not), when all that stands before it is done."""
        names = iter(self.files)
        for token in tokens_of(self.page):
            if token.info == "yaml":
                self._write(next(names), token.content)
            elif token.info == "python":
                self._run_python(token.content)
            elif token.info == "console":
                yield from (one for one in commands_of(token.content) if unrun(one) is None)
        assert list(names) == [], "the page has no block for these files"

    def give(self, command: str) -> Ran:
        """Run the command in this process."""
        line = command
        for there, here in self.addresses.items():
            line = line.replace(there, here)
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            os.environ[name] = value
            return 0, "", ""
        assert words[0] == "kubeline", f"nothing is known of how to give: {command}"
        printed, errors = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(printed), redirect_stderr(errors):
            try:
                code = main(words[1:])
            except SystemExit as ended:  # as --help does
                code = int(ended.code or 0)
        self.ran[command] = code, printed.getvalue(), errors.getvalue()
        return self.ran[command]

    def follow(self) -> None:
        """Give every command; each succeeds, but for those that the page shows an error of."""
        text = self.page.read_text(encoding="utf-8")
        for command in self.commands():
            code, printed, errors = self.give(command)
            refused = re.search(rf"\$ {re.escape(command)}\n(kubeline: .*\n)", text)
            if refused:
                assert (code, errors) == (2, refused[1]), command
            else:
                assert code == 0, f"{command}\n{printed}\n{errors}"

    def _write(self, name: str, content: str) -> None:
        assert name in self.page.read_text(encoding="utf-8").replace(content, ""), f"the page does not name {name}"
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(content)

    def _run_python(self, code: str) -> None:
        script = self.folder / f"snippet_{len(self.python)}.py"
        script.write_text(code, encoding="utf-8")
        with chdir(self.folder), redirect_stdout(io.StringIO()):
            self.python.append(runpy.run_path(str(script), run_name="__main__"))
