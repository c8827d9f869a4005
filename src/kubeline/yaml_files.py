"""YAML files that people write for us."""

from pathlib import Path
from typing import Any

import yaml

from kubeline.errors import UserError


def read_mapping(path: str | Path, what: str, holds: str) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: of the file.
        what: is in it, for errors, such as ``parameter file``.
        holds: what it maps, for errors, such as ``parameter names to values``.

    Raises:
        UserError: when there is no such file, or it holds no mapping.
    """
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"there is no {what} '{path}'; give a YAML file that maps {holds}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the {what} '{path}' is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UserError(f"the {what} '{path}' must be a mapping of {holds}")
    return document
