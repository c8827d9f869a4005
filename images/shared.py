"""Print what all of these locks of images hold: ``python3 images/shared.py steps drift > images/model.lock``.

The packages that images share are a layer of its own under each of them, so that a node holds and pulls them once.
"""

import re
import sys
from pathlib import Path

IMAGES = Path(__file__).parent
ENTRY = re.compile(r"^\S.*(?:\n[ \t].*)*", re.MULTILINE)  # a requirement, and its hashes on the lines below


def main(*images: str) -> None:
    """Print the entries that stand in the lock of every one of these images, in the order of the first."""
    locks = [ENTRY.findall((IMAGES / f"{image}.lock").read_text(encoding="utf-8")) for image in images]
    shared = set(locks[0]).intersection(*locks[1:])
    print("\n".join(entry for entry in locks[0] if entry in shared))


if __name__ == "__main__":
    main(*sys.argv[1:])
