"""A repository that the real Feast writes, in an environment of its own: its packages do not go with the project's."""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
UV = find_uv_bin()
LOCK = Path(__file__).with_name("feast.lock")
SCRIPT = Path(__file__).with_name("feast_repository.py")


def make_repository(folder: Path, asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Make one of rides, drivers and places; what Feast answers to each of `asked` is a Parquet file of that name."""
    _draw(folder)
    (folder / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run([_python_of_feast(), SCRIPT, folder], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]


def _python_of_feast() -> Path:
    """An interpreter that has Feast, whose packages do not go with those of this project."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + sys.prefix.encode()).hexdigest()[:16]
    place = ROOT / ".cache" / "feast" / digest
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / ".ready").exists():
            for old in place.parent.glob("[0-9a-f]*"):
                shutil.rmtree(old)
            subprocess.run([UV, "venv", "--quiet", "--no-project", "--python", sys.executable, place], check=True)
            python = str(place / "bin" / "python")
            install = [UV, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", python]
            subprocess.run([*install, "--requirement", str(LOCK)], check=True)
            (place / ".ready").touch()
    return place / "bin" / "python"


def _draw(folder: Path, seed: int = 0) -> None:
    """Rides, and features of their drivers: some of the very moment, of the very age, of one time, written late."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2024-03-01")

    def moments(number: int, unit: str, most: int) -> pd.Series:
        return start + pd.to_timedelta(pd.Series(rng.integers(0, most, number)), unit=unit)

    rows = pd.DataFrame(
        {
            "driver_id": rng.integers(0, 8, 400),
            "second_id": rng.integers(0, 8, 400),
            "place_id": rng.choice(["north", "south", "07"], 400),
            "at": moments(400, "m", 2_000),
            "late": rng.random(400) < 0.3,
        }
    ).drop_duplicates(["driver_id", "at"])
    rows.insert(0, "ride_id", range(len(rows)))
    rows.to_parquet(folder / "rows.parquet", index=False)
    seen = moments(600, "m", 2_000)
    stats = pd.DataFrame(
        {
            "driver_id": rng.integers(0, 10, 600),
            "seen": seen.dt.tz_localize("UTC"),
            "written": (seen + pd.to_timedelta(rng.permutation(600), unit="m")).dt.tz_localize("UTC"),
            "trips_raw": rng.integers(0, 50, 600),
            "rate": np.where(rng.random(600) < 0.1, np.nan, rng.random(600)),
        }
    )
    stats.to_parquet(folder / "stats.parquet", index=False)
    demand = pd.DataFrame(
        {
            "driver_id": rng.integers(0, 8, 300),
            "place_id": rng.choice(["north", "south", "07"], 300),
            "hour": moments(300, "h", 33),
            "level": rng.random(300),
        }
    ).drop_duplicates(["driver_id", "place_id", "hour"])
    demand.to_parquet(folder / "demand.parquet", index=False)
    days = pd.DataFrame({"day": start + pd.to_timedelta(range(-1, 2), unit="D"), "fuel": [1.5, 1.6, 1.7]})
    days.to_parquet(folder / "prices.parquet", index=False)
