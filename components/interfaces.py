"""The interfaces of the components as the last release has them, and what has changed since.

python -m components.interfaces            prints each change that breaks a pipeline which loads a component
python -m components.interfaces --write    makes those of today the ones to compare with, at a release
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RELEASED = ROOT / "docs" / "interfaces.json"


def of_today() -> dict[str, Any]:
    """Of every component, by its compiled YAML."""
    from kubeline.testing import interface_of

    return {file.parent.name: interface_of(file) for file in sorted(ROOT.glob("components/*/component.yaml"))}


def main() -> int:
    """Compare, or write."""
    from kubeline.testing import breaking_changes, read_interfaces, write_interfaces

    if sys.argv[1:] == ["--write"]:
        write_interfaces(RELEASED, of_today())
        return 0
    found = list(breaking_changes(read_interfaces(RELEASED), of_today()))
    print("\n".join(found) or "nothing that breaks a pipeline")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
