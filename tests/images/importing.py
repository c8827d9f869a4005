"""Run in an image: import every module of ours that its components reach, and every module of others that those name.

``python importing.py OURS… -- OTHERS…`` prints, as JSON, the names that cannot be imported and why.
"""

import importlib
import json
import sys


def failures(names: list[str]) -> dict[str, str]:
    """The names that are neither a module nor a thing in one, each with the error."""
    found = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            parent, _, attribute = name.rpartition(".")
            try:
                getattr(importlib.import_module(parent), attribute)
            except Exception:
                found[name] = repr(error)
    return found


if __name__ == "__main__":
    print(json.dumps(failures(sys.argv[1:])))
