"""The figures of a run as a table, and as JSON."""

import json
import math
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving.measurement import Cell

OURS = "kubeline"
SKLEARN = "KServe scikit-learn server"
BARE = "bare ASGI limit"
_FORMS = ("v1", "v2", "v2 binary", "gRPC")
_LIBRARIES = ("kserve", "fastapi", "uvicorn", "scikit-learn", "onnxruntime", "orjson", "grpcio", "numpy", "pandas")
# rows of a request, peer, least ratio of our rate to its rate
GOALS = ((1, SKLEARN, 30.0), (1, BARE, 0.5), (100, SKLEARN, 12.0), (100, BARE, 1.0))


def show(console: Console, cells: Sequence[Cell], notes: dict[str, str], cores: int) -> None:
    """Print a table for each size of requests, and the goals."""
    for rows in sorted({cell.rows for cell in cells}):
        title = f"{rows} row{'s' if rows > 1 else ''} in a request, 8 connections, client and server on {cores} cores"
        table = Table("form", "server", title=title, title_justify="left")
        for heading in ("requests/s", "of ours", "p50 ms", "p99 ms", "errors", "wrong", "peak MiB"):
            table.add_column(heading, justify="right")
        for form in _FORMS:
            for cell in (cell for cell in cells if cell.form == form and cell.rows == rows):
                table.add_row(form, cell.contender, *_figures(cell, _rate(cells, OURS, form, rows)))
            table.add_section()
        console.print(table)
    for name, note in notes.items():
        console.print(f"{name}: {note}")
    for line in goals(cells):
        console.print(line)


def goals(cells: Sequence[Cell]) -> list[str]:
    """One sentence for each goal and form that both servers have."""
    lines = []
    for rows, peer, least in GOALS:
        for form in _FORMS:
            ours, theirs = _rate(cells, OURS, form, rows), _rate(cells, peer, form, rows)
            if not math.isnan(ours) and theirs > 0:
                ratio = ours / theirs
                met = "met" if ratio >= least else "MISSED"
                lines.append(f"{rows:>3} rows, {form}: {ratio:.2f} times the {peer} (goal {least:g}): {met}")
    return lines


def write(file: Path, cells: Sequence[Cell], notes: dict[str, str], digest: str) -> None:
    """Write all figures as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "libraries": {name: version(name) for name in _LIBRARIES},
        "package": digest,
        "measurements": [_record(cell) for cell in cells],
        "not measured": notes,
    }
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _figures(cell: Cell, ours: float) -> list[str]:
    found = cell.all
    median, high = found.quantiles(0.5, 0.99)
    ratio = f"{found.rate / ours:.3f}" if ours > 0 else ""
    errors = ", ".join(f"{count:,} {name}" for name, count in found.errors.items()) or "0"
    memory = f"{cell.memory / 2**20:.0f}"
    return [f"{found.rate:,.0f}", ratio, f"{median:.2f}", f"{high:.2f}", errors, str(cell.wrong), memory]


def _record(cell: Cell) -> dict[str, Any]:
    found = cell.all
    median, high = found.quantiles(0.5, 0.99)
    return {
        "server": cell.contender,
        "form": cell.form,
        "rows": cell.rows,
        "requests_per_second": round(found.rate, 1),
        "requests_per_second_of_rounds": [round(part.rate, 1) for part in cell.rounds],
        "p50_ms": None if math.isnan(median) else round(median, 3),
        "p99_ms": None if math.isnan(high) else round(high, 3),
        "errors": dict(found.errors),
        "refused": len(found.refused),
        "wrong": cell.wrong,
        "peak_memory_bytes": cell.memory,
    }


def _rate(cells: Sequence[Cell], contender: str, form: str, rows: int) -> float:
    for cell in cells:
        if (cell.contender, cell.form, cell.rows) == (contender, form, rows):
            return cell.all.rate
    return math.nan


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
