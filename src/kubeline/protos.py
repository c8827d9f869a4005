"""Write the modules of the library's .proto files, or check them.

    python -m kubeline.protos            writes them beside each .proto
    python -m kubeline.protos --check    writes nothing, and fails when a committed one differs

Needs grpcio-tools; another version than the one in requirements.lock may write something else.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

LIBRARY = Path(__file__).parent


@dataclass(frozen=True)
class Proto:
    """One .proto file.

    Attributes:
        package: the part of the library where it lies.
        name: of the file, without its ending.
        owner: who wrote the interface.
    """

    package: str
    name: str
    owner: str

    @property
    def file(self) -> str:
        """The name of the .proto file."""
        return f"{self.name}.proto"

    @property
    def folder(self) -> Path:
        """Where it lies, and its modules with it."""
        return LIBRARY / self.package

    @property
    def modules(self) -> list[str]:
        """The names of its modules."""
        return [f"{self.name}_pb2.py", f"{self.name}_pb2.pyi"]


OPEN_INFERENCE = Proto("open_inference", "grpc_predict_v2", "2022 The KServe Authors (the interface)")
ONNX = Proto("model_package", "onnx_parts", "ONNX Project Contributors (the messages)")
FEAST = Proto("loading", "feast_registry", "The Feast Authors (the messages)")
PROTOS = (OPEN_INFERENCE, ONNX, FEAST)


def generate(proto: Proto, folder: Path) -> None:
    """Write the modules of a .proto file into a folder.

    Raises:
        RuntimeError: when protoc fails; the reason is on stderr.
    """
    from grpc_tools import protoc

    included = resources.files("grpc_tools") / "_proto"
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi")]
    code = protoc.main(["protoc", f"-I{proto.folder}", f"-I{included}", *outputs, proto.file])
    if code != 0:
        raise RuntimeError(f"protoc ended with exit code {code}")
    header = f"# Copyright {proto.owner}. SPDX-License-Identifier: Apache-2.0\n"
    for name in proto.modules:
        (folder / name).write_text(header + (folder / name).read_text(encoding="utf-8"), encoding="utf-8")


def stale_modules(proto: Proto, folder: Path) -> list[str]:
    """The modules of a folder that are absent or differ from fresh ones."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(proto, fresh)
        return [
            module
            for module in proto.modules
            if not (folder / module).exists() or (folder / module).read_bytes() != (fresh / module).read_bytes()
        ]


def main() -> int:
    """Write the modules, or check them."""
    parser = argparse.ArgumentParser(description="Generate the modules of the library's .proto files.")
    parser.add_argument("--check", action="store_true", help="compare with the committed modules, write nothing")
    if not parser.parse_args().check:
        for proto in PROTOS:
            generate(proto, proto.folder)
        return 0
    failed = False
    for proto in PROTOS:
        if stale := stale_modules(proto, proto.folder):
            print(f"{', '.join(stale)} differ from {proto.file}; run 'make proto' and commit the result")
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
