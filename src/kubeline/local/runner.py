"""Runs a compiled pipeline on this machine and reports its events as they happen."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, TextIO

from kubeline.errors import NotKnownError, PlatformError, UserError, listed
from kubeline.local.containers import Containers
from kubeline.local.events import ADDRESS, Event, Receiver
from kubeline.local.result import RUNNING, RunResult, TaskTime
from kubeline.local.running import running
from kubeline.local.tasks import log_file
from kubeline.processes import bound_command, kill_group
from kubeline.registry.opening import of_runs
from kubeline.secrets import Secrets

# Variables that steps run with unless others are given, here as in their images.
LEAN = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning starve each other, and the steps beside them
    "OPENBLAS_THREAD_TIMEOUT": "4",  # the same of numpy's, which spin for 2 to this power of cycles
    "NUMPY_MADVISE_HUGEPAGE": "0",  # with huge pages a step holds up to a quarter more memory
    "MIMALLOC_ALLOW_THP": "0",  # the same of Arrow's allocator
}
_ANSI = re.compile(r"\x1b\[\d+m")  # colours, which a file does not show
_EXIT_SECONDS = 10.0
_CODES = {UserError.exit_code, PlatformError.exit_code, NotKnownError.exit_code, 128 + signal.SIGINT}


@dataclass(frozen=True)
class TaskEvent:
    """A step started or ended."""

    task: str
    state: Literal["started", "succeeded", "failed"]


@dataclass
class Run:
    """One local run of a pipeline.

    `folder` holds ``arguments.json``, ``log.txt``, ``logs`` with what each step printed, ``result.json``, one folder
    for each task's outputs, and the page ``index.html``. Only its owner may read it, and no secret of the arguments or
    the environment is in the first four.
    """

    pipeline: str
    folder: Path
    succeeded: bool = False
    reason: str = ""  # why the first failing step failed
    started: float = field(default_factory=time.time)  # Unix seconds
    tasks: list[TaskTime] = field(default_factory=list)  # in the order in which they ended
    running: list[tuple[str, float]] = field(default_factory=list)  # tasks that have not ended, and since when
    exit_code: int = 1  # that of the first failing step where it is one of Kubeline's; 0 after a success

    @property
    def log(self) -> Path:
        """Everything the steps printed."""
        return self.folder / "log.txt"

    def result(self, seconds: float) -> RunResult:
        """How the run ended, which took so long."""
        return RunResult(
            self.pipeline,
            self.succeeded,
            self.reason,
            started=self.started,
            seconds=seconds,
            tasks=(
                *self.tasks,
                *(TaskTime(task, RUNNING, begun, self.started + seconds - begun) for task, begun in self.running),
            ),
        )


def run(
    pipeline: Path,
    name: str,
    arguments: Mapping[str, Any],
    root: Path,
    on_event: Callable[[TaskEvent], None],
    on_change: Callable[[Run], None] = lambda _: None,
    containers: Containers | None = None,
) -> Run:
    """Run the compiled `pipeline` in a new folder below `root` and wait for its end.

    Args:
        pipeline: compiled.
        name: of the pipeline.
        arguments: its parameters.
        root: folder of all runs.
        on_event: called when a step starts or ends.
        on_change: called with the run as it is then, and before its first step.
        containers: that the steps run in; None runs them as processes of this environment.

    Raises:
        UserError: when `root` cannot be written.
        PlatformError: when there is no engine for the containers.
    """
    result, secrets = Run(name, _new_folder(root, name)), Secrets(arguments)
    with _private(result.folder / "arguments.json") as file:
        json.dump(secrets.cleaned(arguments), file, indent=2)

    def changed(event: TaskEvent) -> None:
        on_event(event)
        on_change(result)

    def end(process: "subprocess.Popen[str]") -> None:
        _end(process)
        if containers:
            containers.remove(result.folder)

    with running(result.folder), Receiver() as receiver, _Follower(result, secrets, changed) as follower:
        on_change(result)
        settings = [arguments]
        environment = _environment(root, receiver)
        if containers:
            reported = {name: environment[name] for name in (ADDRESS, "MLFLOW_TRACKING_URI")}
            settings.append(containers.settings(result.folder, root, Path(receiver.address).parent, reported))
        with _worker(pipeline, settings, result.folder, environment) as process:
            try:
                for event in _events(process, receiver, end):
                    follower.take(event)
            except KeyboardInterrupt:
                follower.interrupt()
            finally:
                end(process)
        follower.conclude(process.wait())
        result.result(follower.seconds).write(result.folder)
    return result


def _environment(root: Path, receiver: Receiver) -> dict[str, str]:
    """Variables of the runner and of steps that run as processes."""
    # PATH: a step's command is `python3`, which must be this environment's
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # PYTHONSAFEPATH: a step's command is `python3 -m`, which would take modules from the folder that this was called in
    own = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "PATH": path, "MLFLOW_TRACKING_URI": of_runs(root)}
    return {**LEAN, **os.environ, **own, ADDRESS: receiver.address}


def _worker(
    pipeline: Path, settings: Sequence[Mapping[str, Any]], folder: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[str]":
    """The process that runs the pipeline, with its arguments and what its steps run in as files that have no name."""
    with contextlib.ExitStack() as files:
        descriptors = [files.enter_context(_without_a_name(each)).fileno() for each in settings]
        given, *places = (f"/dev/fd/{number}" for number in descriptors)
        process = subprocess.Popen(  # noqa: S603 (this interpreter and files of this run)
            bound_command("kubeline.local.worker", str(pipeline), given, str(folder), *places),
            stdin=subprocess.PIPE,  # whose end means to the worker that this process is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,  # so that the steps can be ended together
            pass_fds=descriptors,
            umask=0o077,
        )
    if niceness := os.nice(0):
        # Linux shares its time among sessions first (sched(7), autogroup), and this one is new: `nice kubeline run`
        # would change nothing.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/autogroup").write_text(str(niceness), encoding="utf-8")
    return process


def _without_a_name(document: Any) -> TextIO:
    """A file that another process may read as JSON by its descriptor, and that is gone with both processes."""
    file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed when the process has it)
    json.dump(document, file)
    file.flush()
    return file


def _private(path: Path) -> TextIO:
    """A new file that only its owner may read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8")


class _Follower:
    """Turns the events of a run into its result and its logs, which hold no secrets. A context manager."""

    def __init__(self, run: Run, secrets: Secrets, on_event: Callable[[TaskEvent], None]) -> None:
        self._run, self._secrets, self._on_event = run, secrets, on_event
        self._start = time.monotonic()
        self._files = contextlib.ExitStack()
        self._log = self._files.enter_context(_private(run.log))
        self._log_of: dict[str, TextIO] = {}
        self._last = ""  # line of the runner itself
        self._broken = ""  # why the pipeline cannot go on, in the runner's words

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self._start

    def take(self, event: Event) -> None:
        """Write an output into the logs, and what begins, ends or fails into the result."""
        text = self._secrets.hidden(_ANSI.sub("", event.text))
        match event.kind:
            case "output":
                self._write(event.task, text)
            case "started":
                self._run.running.append((event.task, self._run.started + self.seconds))
                self._on_event(TaskEvent(event.task, "started"))
            case "ended":
                begun = next(begun for task, begun in self._run.running if task == event.task)
                self._run.running.remove((event.task, begun))
                state: Literal["succeeded", "failed"] = "failed" if event.exit_code else "succeeded"
                self._run.tasks.append(TaskTime(event.task, state, begun, self._run.started + self.seconds - begun))
                if event.exit_code:
                    self._fail(f"{event.task}: {text}", event.exit_code)
                self._on_event(TaskEvent(event.task, state))
            case "broken":  # may come before the end of the step that is why, on another connection
                self._broken = self._broken or text

    def conclude(self, exit_code: int) -> None:
        """Take the exit code of the run as a whole."""
        if exit_code:
            why = self._last or f"no message; see {self._run.log}"
            self._fail(self._broken or f"the run ended with exit code {exit_code} and {why}", 1)
        else:
            self._run.succeeded, self._run.exit_code = True, 0

    def interrupt(self) -> None:
        """Ctrl-C, or SIGTERM: the reason and exit code of the run, unless it has failed before."""
        running = list(dict.fromkeys(task for task, _ in self._run.running))
        self._fail(f"interrupted in {listed(running)}" if running else "interrupted", 128 + signal.SIGINT)

    def _fail(self, reason: str, code: int) -> None:
        """The first failure counts."""
        if not self._run.reason:
            self._run.reason, self._run.exit_code = reason, code if code in _CODES else 1

    def _write(self, task: str, line: str) -> None:
        self._log.write(f"{task} | {line}" if task else line)
        self._log.flush()
        if not task:
            self._last = line.strip() or self._last
            return
        if task not in self._log_of:
            path = log_file(self._run.folder, task)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._log_of[task] = self._files.enter_context(_private(path))
        self._log_of[task].write(line)
        self._log_of[task].flush()


def _events(
    process: "subprocess.Popen[str]", receiver: Receiver, end: Callable[["subprocess.Popen[str]"], None]
) -> Iterator[Event]:
    """Everything that the worker and the steps report, until all of them have ended."""
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    yield from receiver.until_end_of(process.stdout)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_EXIT_SECONDS)
    end(process)  # and with it steps that it has left behind
    yield from receiver.remaining()


def _end(process: "subprocess.Popen[str]") -> None:
    """End the worker and its steps, when they are still there."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # the steps, too
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_EXIT_SECONDS)
    kill_group(process.pid)


def _new_folder(root: Path, name: str) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    try:
        if root.exists() and not root.is_dir():
            raise UserError(f"cannot write the run to '{root}': it is no folder; give another --output")
        root.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{number}" for number in range(2, 100))):
            folder = (root / f"{name}-{stamp}{suffix}").resolve()
            with contextlib.suppress(FileExistsError):  # another run of this second, perhaps from another process
                folder.mkdir(mode=0o700)
                return folder
    except OSError as error:
        raise UserError(f"cannot write the run to '{root}': {error.strerror}; give another --output") from error
    raise UserError(f"'{root}' holds a hundred runs of this second; give another --output")
