"""Fuzzing for a stated time: ``python -m tests.fuzz --seconds 60 [--only NAME]``, or ``make fuzz SECONDS=60``.

Each target is given inputs for that time. What fails is shown with the smallest input that does, and ends with code 1.
"""

import argparse
import logging
import random
import sys
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import TARGETS, Target


def main() -> int:
    """Fuzz, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (10)")
    parser.add_argument("--only", choices=TARGETS, help="this target alone")
    options = parser.parse_args()
    logging.disable()  # of what is left out
    found = [name for name in TARGETS if options.only in (None, name) and fails(name, TARGETS[name], options.seconds)]
    print(f"failed: {', '.join(found)}" if found else "nothing was found")
    return 1 if found else 0


def fails(name: str, target: Target, seconds: float) -> bool:
    """Give inputs for so long; whether one failed."""
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        number = random.randrange(2**32)  # noqa: S311 - a seed that can be printed
        asked = 0

        def one(value: object) -> None:
            nonlocal asked
            asked += 1
            target.run(value)

        limits = settings(
            max_examples=200, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck), print_blob=False,
        )  # fmt: skip
        try:
            seed(number)(limits(given(target.inputs)(one)))()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            traceback.print_exc()
            print(f"{name}: failed with seed {number}", flush=True)
            return True
        tried += asked
    print(f"{name}: {tried:,} inputs in {seconds:g} s", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
