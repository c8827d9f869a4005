"""The command ``python -m embedded_kserve``: prints one JSON line of addresses, and runs until SIGTERM."""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import get_args

from embedded_kserve.cluster import Cluster, ClusterSettings
from embedded_kserve.delays import DEFAULT_FACTOR
from embedded_kserve.launch import Mode
from kubeline.errors import KubelineError


def main() -> int:
    """Run the embedded KServe. Returns the exit code: 3 when a part of it does not start."""
    parser = argparse.ArgumentParser(prog="python -m embedded_kserve", description=__doc__)
    parser.add_argument("--mode", choices=get_args(Mode), default="knative", help="The mode of deployment.")
    parser.add_argument("--folder", type=Path, required=True, help="Where it keeps its files and logs.")
    parser.add_argument(
        "--no-splits",
        dest="splits",
        action="store_false",
        help="Standard mode claims a split of traffic and makes none, as KServe 0.20.0 does.",
    )
    parser.add_argument(
        "--pace",
        type=float,
        default=DEFAULT_FACTOR,
        help="What the delays of a real cluster are multiplied by (default: %(default)s).",
    )
    args = parser.parse_args()
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        with Cluster(ClusterSettings(args.folder.absolute(), args.mode, args.splits, args.pace)) as cluster:
            print(json.dumps(cluster.addresses), flush=True)
            while not ending.wait(0.5):
                cluster.check()
    except KubelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
