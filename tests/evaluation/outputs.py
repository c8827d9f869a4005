"""The outputs of `evaluate`."""

from pathlib import Path
from typing import Any

from kubeline.model_package.blessing import Blessing


def blessing(judge: Any) -> Blessing:
    return Blessing.read(judge.outputs["blessing"].path)


def page(judge: Any) -> str:
    return Path(judge.outputs["report"].path).read_text(encoding="utf-8")
