"""A model is loaded without a word to the maker of ONNX Runtime."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.packages import write_tiny_package

_PREDICT = """
import sys
from pathlib import Path
from kubeline.model_package import ModelPackage
ModelPackage.open(Path(sys.argv[1])).predictor(threads=1)
"""


def test_loading_a_model_leaves_no_device_id(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", _PREDICT, str(package.path)], env=environment, check=True)
    assert list(home.iterdir()) == []
