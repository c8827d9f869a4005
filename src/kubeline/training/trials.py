"""Where the folds of tuning are fitted: in this process, or side by side in processes that share the rows.

    python -m kubeline.training.trials ROWS DESCRIPTOR

is such a process. The rows are in a file that each maps into its memory; numbers are held once, whatever the number of
processes, and of text each holds a pointer a value. The file has no name: it is gone with the last process that has it,
also when all of them are killed.
"""

import contextlib
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import IO, Any

from kubeline.columns import Kind
from kubeline.errors import PlatformError, UserError
from kubeline.evaluation.metrics import choose
from kubeline.masking import trace_of, words_of
from kubeline.processes import bound_command, stop
from kubeline.training import estimators
from kubeline.training.copies import RowHashes
from kubeline.training.encoded import Encoded
from kubeline.training.fitting import Recipe, predict
from kubeline.training.metrics import deciding, score, scored
from kubeline.training.table import TrainingTable
from kubeline.typing import Array

logger = logging.getLogger(__name__)

Params = Mapping[str, Any]
Scores = Callable[[Sequence[Params], int], list[float | None]]
_TRIES = 2  # of one fold, when its process is lost


@dataclass(frozen=True)
class Objective:
    """What all trials share.

    Attributes:
        recipe: what is tuned.
        table: the table.
        pairs: of each fold, positions to learn from and to score on.
        kinds: the features.
        metric: name of what is made best.
    """

    recipe: Recipe
    table: TrainingTable
    pairs: Sequence[tuple[Array, Array]]
    kinds: Mapping[str, Kind]
    metric: str

    def score(self, params: Params, fold: int) -> float:
        """The score of one fit; minus infinity where the fold does not define the metric."""
        learned, held = self.pairs[fold]
        candidate = replace(self.recipe, params={**self.recipe.params, **params})
        found = predict(
            candidate.fit(self.table, learned, self.kinds), self.table.encoded.rows(held), self.table.classes
        )
        metric = choose(self.table.task, self.metric)
        try:
            return score(deciding(scored(self.table, held, found), metric), metric)
        except UserError:
            return -float("inf")


@contextlib.contextmanager
def scores(folds: Objective, processes: int) -> Iterator[Scores]:
    """What scores several trials on one fold, side by side while the block runs.

    A score is None when its process was lost, and the one that repeated it, too.

    Args:
        folds: what the trials share.
        processes: how many at a time; 1 is this process.
    """
    if processes == 1:
        yield lambda several, fold: [folds.score(params, fold) for params in several]
        return
    with tempfile.TemporaryFile() as rows, contextlib.ExitStack() as stack:
        write_folds(folds, rows)
        pool = [stack.enter_context(_Process(rows.fileno())) for _ in range(processes)]
        yield lambda several, fold: _side_by_side(pool, [(params, fold) for params in several])


def _side_by_side(pool: "Sequence[_Process]", tasks: Sequence[tuple[Params, int]]) -> list[float | None]:
    """The score of each task; which process has it makes no difference."""
    found: list[float | None] = [None] * len(tasks)
    waiting, tries = list(range(len(tasks)))[::-1], [0] * len(tasks)
    at_work: dict[Any, tuple[_Process, int]] = {}
    idle = list(pool)
    while waiting or at_work:
        while waiting and idle:
            process, number = idle.pop(), waiting.pop()
            tries[number] += 1
            process.begin(tasks[number])
            at_work[process.connection] = (process, number)
        for connection in wait(list(at_work)):
            process, number = at_work.pop(connection)
            idle.append(process)
            try:
                found[number] = process.answer()
            except (EOFError, OSError):
                code = process.again()
                logger.warning("a process of the trials ended with exit code %d; its fold is repeated", code)
                if tries[number] < _TRIES:
                    waiting.append(number)
    return found


class _Process:
    """One process that fits, begun at its first task. It ends with this one, even when that is killed."""

    def __init__(self, rows: int) -> None:
        self._rows = rows  # descriptor of the file
        self._child: subprocess.Popen[bytes] | None = None
        self.connection: Connection[Any, Any]

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.again()

    def begin(self, task: tuple[Params, int]) -> None:
        """Hand over a task; one that cannot be is seen when its answer is read."""
        if self._child is None:
            self.connection, theirs = Pipe()
            command = bound_command("kubeline.training.trials", str(self._rows), str(theirs.fileno()))
            with theirs:
                passed = [self._rows, theirs.fileno()]
                self._child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=passed)  # noqa: S603
        with contextlib.suppress(OSError):
            self.connection.send(task)

    def answer(self) -> float:
        """The score.

        Raises:
            EOFError, OSError: when the process is gone.
            UserError: as the fit did.
            PlatformError: when the fit failed with another error.
        """
        kind, value = self.connection.recv()
        if kind == "refused":
            raise UserError(value)
        if kind == "failed":
            raise PlatformError(f"a fit of tuning failed: {value}")
        return float(value)

    def again(self) -> int:
        """End the process, so that the next task begins another; its exit code."""
        if self._child is None:
            return 0
        self._child.kill()
        code = stop(self._child, 0)
        if self._child.stdin is not None:
            self._child.stdin.close()
        self.connection.close()
        self._child = None
        return code


def write_folds(folds: Objective, file: IO[bytes]) -> None:
    """The rows as arrays that can be mapped: of text, codes beside the texts."""
    import joblib

    encoded, coded = folds.table.encoded, folds.table.encoded.coded
    numbers = {name: encoded.column(name) for name in encoded.columns if name not in coded}
    none = folds.table.raw.schema.empty_table()
    bare = replace(folds.table, raw=none, encoded=Encoded(coded), hashes=RowHashes(none))
    joblib.dump((replace(folds, table=bare), list(encoded.columns), numbers), file)
    file.flush()


def read_folds(file: Path) -> Objective:
    """What was written, the numbers as maps of the file."""
    import joblib

    bare, names, numbers = joblib.load(file, mmap_mode="r")
    columns = {name: numbers[name] if name in numbers else bare.table.encoded.columns[name] for name in names}
    whole: Objective = replace(bare, table=replace(bare.table, encoded=Encoded(columns)))
    return whole


def _main(rows: str, descriptor: str) -> None:
    import sklearn.ensemble  # noqa: F401  loads the thread pools that are to be limited
    from threadpoolctl import threadpool_limits

    folds = read_folds(Path(f"/proc/self/fd/{rows}"))
    with Connection(int(descriptor)) as connection, threadpool_limits(estimators.threads_for(len(folds.table.y))):
        while True:
            try:
                params, fold = connection.recv()
            except EOFError:
                return
            try:
                answer: tuple[str, Any] = ("score", folds.score(params, fold))
            except UserError as error:
                answer = ("refused", str(error))
            except Exception as error:
                print(trace_of(error), file=sys.stderr, end="")
                answer = ("failed", f"{type(error).__name__}: {words_of(error)}")
            connection.send(answer)


if __name__ == "__main__":
    _main(*sys.argv[1:])
