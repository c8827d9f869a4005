"""Write the files of a new repository from the templates beside this module.

A template is a file whose name ends with ``.in``; ``@NAME@``, ``@PACKAGE@``, ``@UPPER@`` and ``@VERSION@`` stand for
the project's name, its Python package, the beginning of its variables' names, and the version of Kubeline.
"""

import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from kubeline import __version__
from kubeline.errors import UserError

_TEMPLATE = Path(__file__).parent / "template"
# That of an InferenceService, a container image and, with '_', a Python package.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MOST = 40
_TAKEN = {"compiled", "kfp", "kubeline", "pipelines", "pytest", "tests"}


def write_project(name: str, folder: Path) -> list[Path]:
    """Write the repository `name` into `folder`, which must be new or empty, and give its files.

    Raises:
        UserError: when no project can have that name, or the folder holds something; nothing is written then.
    """
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name) or len(name) > _MOST:
        raise UserError(
            f"'{name}' cannot name a project; use lower-case letters, digits and single '-', begin with a letter, at "
            f"most {_MOST}"
        )
    if package in _TAKEN or package in sys.stdlib_module_names or keyword.iskeyword(package):
        raise UserError(f"'{name}' would be the Python package '{package}', which is taken; choose another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"'{folder}' is there and not empty; give a new folder by --folder")
    words = {"NAME": name, "PACKAGE": package, "UPPER": package.upper(), "VERSION": __version__}
    written = []
    for template in sorted(_TEMPLATE.rglob("*.in")):
        path = folder / _filled(str(template.relative_to(_TEMPLATE)).removesuffix(".in"), words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template.read_text(encoding="utf-8"), words), encoding="utf-8")
        written.append(path)
    return written


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub("@(NAME|PACKAGE|UPPER|VERSION)@", lambda found: words[found[1]], text)
