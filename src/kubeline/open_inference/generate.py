"""Write the modules of ``grpc_predict_v2.proto`` anew, beside it or into a given folder; needs grpcio-tools."""

import sys
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


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
