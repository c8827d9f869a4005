"""How many processes of a training this machine has room for."""

import logging
import math
import os
from pathlib import Path

from kubeline.training import estimators, memory

logger = logging.getLogger(__name__)

_CGROUP = Path("/sys/fs/cgroup")
_LIBRARIES = 300 << 20  # of a process that fits, before it has a row
_ENCODED = 12.0  # bytes of a value of the rows of a fold, with its text
_MANY = 2.0**31


def cpus(cgroup: Path = _CGROUP) -> int:
    """The CPUs that the process may run on, or the quota of its control group where that is less; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.floor(_quota(cgroup))))


def processes(wanted: int, rows: int, columns: int, estimator: str, cgroup: Path = _CGROUP) -> int:
    """As many as are wanted, as far as CPUs and memory go; at least 1.

    Args:
        wanted: how many.
        rows: that each learns from and scores.
        columns: of them.
        estimator: that each fits, with the threads that so many rows get.
        cgroup: of this container.
    """
    if wanted == 1:
        return 1
    each = _LIBRARIES + rows * columns * (_ENCODED + 4 + estimators.find(estimator).fit_bytes)
    free = memory.limit(cgroup) - _held()
    found = max(1, min(wanted, cpus(cgroup) // estimators.threads_for(rows), int(free / each)))
    logger.info("%d trials at a time; this machine has room for %d of their processes", wanted, found)
    return found


def _held() -> int:
    """The bytes that this process holds now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _quota(cgroup: Path) -> float:
    """CPUs that a container gets, of version 2 or 1; a great number where there is no quota."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return _MANY if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):  # none of this version
        pass
    try:
        of_one = [
            int((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period")
        ]
    except (OSError, ValueError):
        return _MANY
    return of_one[0] / of_one[1] if of_one[0] > 0 else _MANY
