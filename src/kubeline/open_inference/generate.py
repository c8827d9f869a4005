"""Write the modules of ``grpc_predict_v2.proto``, or check them.

    python -m kubeline.open_inference.generate            writes them beside the .proto
    python -m kubeline.open_inference.generate --check    writes nothing, and fails when a committed one differs

Needs grpcio-tools; another version than the one in requirements.lock may write something else.
"""

import argparse
import sys
import tempfile
from importlib import resources
from pathlib import Path

HERE = Path(__file__).parent
PROTO = "grpc_predict_v2.proto"
MODULES = ("grpc_predict_v2_pb2.py", "grpc_predict_v2_pb2.pyi", "grpc_predict_v2_pb2_grpc.py")

_HEADER = "# Copyright 2022 The KServe Authors (the interface). SPDX-License-Identifier: Apache-2.0\n"
# protoc knows no packages of Python other than by folders under its root, and these would change the name of the file
_IMPORT = "import grpc_predict_v2_pb2 as"


def generate(folder: Path) -> None:
    """Write `MODULES` into a folder.

    Raises:
        RuntimeError: when protoc fails; it has told why on stderr.
    """
    from grpc_tools import protoc

    included = resources.files("grpc_tools") / "_proto"
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    code = protoc.main(["protoc", f"-I{HERE}", f"-I{included}", *outputs, PROTO])
    if code != 0:
        raise RuntimeError(f"protoc ended with exit code {code}")
    for name in MODULES:
        text = (folder / name).read_text(encoding="utf-8")
        text = text.replace(_IMPORT, f"from kubeline.open_inference {_IMPORT}")
        (folder / name).write_text(_HEADER + text, encoding="utf-8")


def stale_modules(folder: Path) -> list[str]:
    """The modules of a folder that are absent or differ from fresh ones."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(fresh)
        return [
            module
            for module in MODULES
            if not (folder / module).exists() or (folder / module).read_bytes() != (fresh / module).read_bytes()
        ]


def main() -> int:
    """Write the modules, or check them."""
    parser = argparse.ArgumentParser(description="Generate the modules of the Open Inference Protocol.")
    parser.add_argument("--check", action="store_true", help="compare with the committed modules, write nothing")
    if not parser.parse_args().check:
        generate(HERE)
        return 0
    stale = stale_modules(HERE)
    if stale:
        print(f"{', '.join(stale)} differ from {PROTO}; run 'make proto' and commit the result")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
