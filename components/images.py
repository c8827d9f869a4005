"""One constant per image; the registry and the version can be set at compile time."""

import os
from typing import Literal

from kubeline import __version__

Image = Literal["steps", "deploy", "drift", "serving"]


def image(name: Image) -> str:
    """The image of a component: ``REGISTRY/kubeline-python-NAME:VERSION``.

    ``KUBELINE_REGISTRY`` and ``KUBELINE_VERSION`` override the two when compiling; a version that starts with
    ``sha256:`` is a digest. The name holds ``python`` because the local runner warns about other images.
    """
    registry = os.environ.get("KUBELINE_REGISTRY", "ghcr.io/kubeline")
    version = os.environ.get("KUBELINE_VERSION", __version__)
    separator = "@" if version.startswith("sha256:") else ":"
    return f"{registry}/kubeline-python-{name}{separator}{version}"
