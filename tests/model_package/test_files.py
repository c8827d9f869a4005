"""Of a package, only regular files of its own folder are read, of the size that its manifest names."""

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import PlatformError, UserError
from kubeline.model_package import ModelPackage, files
from kubeline.model_package.formats import FILES, OPTIONAL
from tests.support.artifacts import make_artifact
from tests.support.handmade_packages import signed

NAMES = [*FILES, *OPTIONAL, "manifest.json"]
LARGE = 200_000_000


def fifo(place: Path) -> None:
    os.mkfifo(place)


def device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def link_within(place: Path) -> None:
    place.symlink_to("golden.json" if place.name != "golden.json" else "model.onnx")


def link_that_leads_nowhere(place: Path) -> None:
    place.symlink_to("nowhere")


def unix_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(place))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [fifo, device, link_within, link_that_leads_nowhere, Path.mkdir])
def test_what_is_no_regular_file_is_refused_at_once(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(UserError, match=rf"{name} of the model package at .* is a (FIFO|link|folder)"):
        ModelPackage.open(folder)


def test_a_real_device_is_not_even_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="zero of the model package at '/dev' is a device"):
        files.read(Path("/dev"), "zero", 100)


def test_a_socket_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "model.onnx").unlink()
    unix_socket(folder / "model.onnx")
    with pytest.raises(UserError, match=r"model\.onnx of the model package at .* is a socket"):
        ModelPackage.open(folder)


def test_a_link_out_of_the_package_is_refused_though_its_content_is_right(folder: Path, tmp_path: Path) -> None:
    (folder / "model.onnx").rename(tmp_path / "elsewhere")
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"model\.onnx of the model package at .* is a link"):
        ModelPackage.open(folder)


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    """As /mnt/models is, where a cluster brings models as images."""
    (tmp_path / "models").symlink_to(folder)
    assert ModelPackage.open(tmp_path / "models").onnx()


@pytest.mark.parametrize("make", [fifo, device, link_that_leads_nowhere])
@pytest.mark.parametrize("where", ["extra", "nested/extra", "nested/link"])
def test_what_the_manifest_does_not_name_is_refused_of_every_kind(
    folder: Path, where: str, make: Callable[[Path], None]
) -> None:
    (folder / "nested").mkdir()
    make(folder / where)
    with pytest.raises(UserError, match=f"holds {where}, which its manifest does not name"):
        ModelPackage.open(folder)


def test_a_link_to_a_folder_is_no_empty_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "nested").mkdir()
    assert ModelPackage.open(folder)
    (folder / "nested" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="holds nested/link"):
        ModelPackage.open(folder)


def test_what_was_put_in_the_place_of_a_file_after_it_was_opened_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    package = ModelPackage.open(folder)
    for name, read in (("model.onnx", package.onnx), ("serving.onnx", package.predictor)):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + b"x")
        with pytest.raises(UserError, match="was changed after training: its SHA-256"):
            read()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(UserError, match="is a FIFO"):
            read()
    (folder / "golden.json").write_bytes(b"")
    with pytest.raises(UserError, match="it has 0 bytes, the manifest says"):
        package.golden()


@pytest.mark.parametrize("name", [*FILES, *OPTIONAL])
def test_a_file_of_another_size_than_the_manifest_says_is_refused_unread(folder: Path, name: str) -> None:
    """A file of two terabytes would be read for an hour."""
    os.truncate(folder / name, 2**41)
    with pytest.raises(
        UserError, match=rf"{name} .* was changed after training: it has 2,199,023,255,552 bytes, the m"
    ):
        ModelPackage.open(folder)


@pytest.mark.parametrize("name", [*FILES, *OPTIONAL])
def test_a_manifest_that_names_no_sizes_does_not_make_every_size_right(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sizes"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert ModelPackage.open(folder).manifest.sizes == {}  # as of earlier versions
    os.truncate(folder / name, 2**41)
    with pytest.raises(UserError, match=rf"{name} .* has 2,199,023,255,552 bytes, but at most"):
        ModelPackage.open(folder)


def test_a_manifest_of_200_mb_is_not_read(folder: Path) -> None:
    with (folder / "manifest.json").open("ab") as file:
        file.truncate(LARGE)
    with pytest.raises(
        UserError, match=r"manifest\.json of the model package at .* has 200,000,000 bytes, but at most"
    ):
        ModelPackage.open(folder)


def test_a_package_that_this_user_may_not_read_is_not_the_packages_fault(folder: Path) -> None:
    (folder / "model.onnx").chmod(0)
    if os.access(folder / "model.onnx", os.R_OK):  # root may read everything
        assert ModelPackage.open(folder)
        return
    with pytest.raises(
        PlatformError, match=r"model\.onnx of the model package at .* cannot be read: Permission denied"
    ):
        ModelPackage.open(folder)


@pytest.mark.parametrize("path", ["\x00", "no such folder", "x" * 5000])
def test_a_path_that_leads_nowhere_is_a_sentence(path: str) -> None:
    with pytest.raises(UserError, match="there is no model package at"):
        ModelPackage.open(path)


def test_the_digest_that_an_artifact_names_is_that_of_the_package_or_nothing_is_parsed(
    folder: Path, tmp_path: Path
) -> None:
    model = make_artifact(tmp_path, "Model", folder.name)
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert ModelPackage.of(model).digest == digest  # a model of an importer has no metadata
    model.metadata["package_digest"] = digest
    assert ModelPackage.of(model).digest == digest
    (folder / "manifest.json").write_text("not even JSON")
    with pytest.raises(UserError, match=f"but the metadata of the model artifact says {digest[:12]}"):
        ModelPackage.of(model)


def test_damaged_parts_of_a_package_that_its_maker_signed_are_sentences(folder: Path) -> None:
    """Whoever makes a package makes its digests, too."""
    read = {
        "golden.json": ModelPackage.golden,
        "reference.json": ModelPackage.reference,
        "training_rows.parquet": ModelPackage.training_rows,
        "model.onnx": ModelPackage.onnx,
        "serving.onnx": ModelPackage.predictor,
    }
    for content in (b"", b"[" * 100_000, b"\xff\x00", b"PAR1" * 10, b"[1]"):
        for name, reading in read.items():
            signed(folder, name, content)
            with pytest.raises(UserError, match=name):
                reading(ModelPackage.open(folder))
            assert ModelPackage.open(folder)


def test_training_rows_that_unfold_to_a_hundred_gigabytes_are_not_read(folder: Path) -> None:
    content = written(bomb(1_000_000))
    assert len(content) < 100_000
    signed(folder, "training_rows.parquet", content)
    with pytest.raises(UserError, match=r"training_rows\.parquet .* has 1,000,000 rows that could .* than is read"):
        ModelPackage.open(folder).training_rows()


def written(table: Any, **options: Any) -> bytes:
    import io

    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def bomb(rows: int) -> Any:
    """Rows that share one text of a megabyte."""
    import pyarrow as pa

    text = pa.array(["x" * 1_000_000])
    return pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text)})


def lying(content: bytes, true: int, reported: int) -> bytes:
    """The file, whose metadata states another number of bytes or rows: of the same length, as zigzag varints."""

    def varint(number: int) -> bytes:
        number, parts = number << 1, []
        while number >= 0x80:
            parts.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes([*parts, number])

    metadata = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    assert len(varint(true)) == len(varint(reported))
    assert varint(true) in content[metadata:]
    return content[:metadata] + content[metadata:].replace(varint(true), varint(reported))


@pytest.mark.parametrize("case", ["encoded bytes", "rows", "zstd"])
def test_parquet_whose_metadata_lies_is_refused_before_it_is_read(folder: Path, case: str) -> None:
    import io

    import pyarrow.parquet as pq

    content = written(bomb(20_000), compression="zstd" if case == "zstd" else "snappy")
    metadata = pq.ParquetFile(io.BytesIO(content)).metadata
    if case == "encoded bytes":
        true = metadata.row_group(0).total_byte_size
        content = lying(content, true, 8_193)
        assert pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).total_byte_size < true
    if case == "rows":  # those of the file, and not of its group
        place = content.rindex(b"\x16\xc0\xb8\x02")  # the last one is the group's
        first = content.index(b"\x16\xc0\xb8\x02", len(content) - 8 - int.from_bytes(content[-8:-4], "little"))
        assert first < place
        content = content[:first] + b"\x16\x82\x80\x00" + content[first + 4 :]
    signed(folder, "training_rows.parquet", content)
    package = ModelPackage.open(folder)
    with pytest.raises(UserError, match=r"that could take|its groups say|compressed with ZSTD"):
        package.training_rows()
