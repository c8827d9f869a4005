"""The modules of the .proto files are those that the generator writes."""

import re
from pathlib import Path

import pytest

from kubeline import protos


def essence(folder: Path, proto: protos.Proto) -> list[list[str]]:
    """What is generated, whatever the generator's version: messages and their types."""
    texts = [(folder / name).read_text(encoding="utf-8") for name in proto.modules]
    patterns = [r"AddSerializedFile\((.*)\)", r"class (\w+)|^ +(\w+: .*)$"]
    return [re.findall(pattern, text, re.MULTILINE) for text, pattern in zip(texts, patterns, strict=True)]


@pytest.mark.parametrize("proto", protos.PROTOS, ids=lambda proto: proto.name)
def test_the_committed_modules_are_those_of_the_proto(proto: protos.Proto, tmp_path: Path) -> None:
    protos.generate(proto, tmp_path)
    committed = essence(proto.folder, proto)
    assert all(committed)
    assert committed == essence(tmp_path, proto)


def test_a_module_edited_by_hand_or_absent_is_reported(tmp_path: Path) -> None:
    proto = protos.OPEN_INFERENCE
    protos.generate(proto, tmp_path)
    assert protos.stale_modules(proto, tmp_path) == []
    messages, types = (tmp_path / name for name in proto.modules)
    messages.write_text(messages.read_text(encoding="utf-8") + "edited = True\n", encoding="utf-8")
    types.unlink()
    assert protos.stale_modules(proto, tmp_path) == [messages.name, types.name]
