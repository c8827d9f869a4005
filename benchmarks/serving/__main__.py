"""The model server beside its peers, in one run: ``make bench-serving``.

python -m benchmarks.serving [--seconds 4] [--rounds 2] [--only NAME …] [--json FILE]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks.serving import figures, grpc_load, http_load
from benchmarks.serving.contenders import PEERS, Contender, all_contenders, trivial
from benchmarks.serving.flights import Question, flights_package, questions
from benchmarks.serving.forms import Form
from benchmarks.serving.measurement import Cell, Measurement
from benchmarks.serving.processes import Server, share_cores
from kubeline.errors import PlatformError
from kubeline.model_package import ModelPackage

CONNECTIONS = 8
ROWS = {1: 64, 100: 8}  # rows of a request, and how many different requests
_WARM_UP_SECONDS = 0.7


def main() -> int:
    """Measure every server, and show the table."""
    parser = argparse.ArgumentParser(description="The model server beside its peers.")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="of all measurements, in turn")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of the servers to measure")
    parser.add_argument("--json", type=Path, default=Path("runs/bench-serving.json"), help="where the figures go")
    arguments = parser.parse_args()
    console = Console(width=150, highlight=False)
    cores = share_cores()
    package = flights_package()
    asked = {rows: questions(package, rows, count) for rows, count in ROWS.items()}
    chosen = [
        contender
        for contender in [*all_contenders(), trivial()]
        if not arguments.only or any(part.lower() in contender.name.lower() for part in arguments.only)
    ]
    cells: dict[tuple[str, str, int], Cell] = {}
    notes: dict[str, str] = {contender.name: contender.missing for contender in chosen if contender.missing}
    for turn in range(arguments.rounds):
        for contender in chosen:
            if contender.name in notes:
                continue
            console.print(f"[dim]round {turn + 1}: {contender.name}[/]")
            try:
                measure(contender, package, asked, arguments.seconds, cells)
            except PlatformError as error:
                notes[contender.name] = str(error)
    figures.show(console, list(cells.values()), notes, cores)
    figures.write(arguments.json, list(cells.values()), notes, package.digest)
    return int(any(cell.wrong for cell in cells.values()))


def measure(
    contender: Contender,
    package: ModelPackage,
    asked: dict[int, list[Question]],
    seconds: float,
    cells: dict[tuple[str, str, int], Cell],
) -> None:
    """One round of one server: every form at every size, the form and then the size."""
    checked = contender.name != trivial().name
    with contender.serve(package, PEERS / "work") as server:
        for form in contender.forms:
            for rows, some in asked.items():
                cell = cells.setdefault((contender.name, form.name, rows), Cell(contender.name, form.name, rows))
                requests = [form.build(question) for question in some]
                load(server, form, requests, _WARM_UP_SECONDS)
                found = load(server, form, requests, seconds)
                cell.rounds.append(found)
                cell.memory = max(cell.memory, server.memory())
                if checked:
                    cell.wrong += wrong_answers(form, found, some)


def load(server: Server, form: Form, requests: Sequence[bytes], seconds: float) -> Measurement:
    """The closed loop that the form needs."""
    if form.is_grpc:
        return uvloop.run(grpc_load.closed_loop(server.grpc_port, requests, CONNECTIONS, seconds))
    return uvloop.run(http_load.closed_loop(server.http_port, requests, CONNECTIONS, seconds))


def wrong_answers(form: Form, found: Measurement, asked: Sequence[Question]) -> int:
    """How many of the different requests were answered otherwise than by the scikit-learn pipeline."""
    return sum(form.differs(answer, asked[position]) for position, answer in found.answers.items())


if __name__ == "__main__":
    raise SystemExit(main())
