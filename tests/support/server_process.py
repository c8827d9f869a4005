"""The command of the model server, run until it ends."""

import subprocess
import sys
from pathlib import Path


def serve(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kubeline_serving", "--model_dir", str(folder), "--model_name", "tiny", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
