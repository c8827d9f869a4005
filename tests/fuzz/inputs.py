"""Inputs that are nearly right: what a parser takes, changed in a few places."""

import copy
import gzip
import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import feather, parquet

NASTY_BYTES = st.sampled_from(
    [b"", b"\x00", b"\xff", b"\n", b'"', b"'", b",", b"[" * 2_000, b"{", b"}", b"]", b"NaN", b"1e999", b"-1", b"9" * 40,
     b"\xed\xa0\x80", b"null", b"true", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"&a [*a]", b"!!python/none x"]
)  # fmt: skip
NASTY_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        101,
        2**63,
        10**400,
        1e308,
        float("nan"),
        "",
        "x" * 300,
        "\ud800",
        "\x00",
        [],
        {},
        [[]],
        {"": 0},
    ]
) | st.text(max_size=5)


@st.composite
def changed_bytes(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """One of the samples with up to six cuts, repetitions and insertions; now and then anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 1, 2, 8, 64])))
        put = draw(NASTY_BYTES | st.binary(min_size=1, max_size=4) | st.just(content[start:end] * 2))
        content = content[:start] + put + content[end:]
    return content


@st.composite
def overwritten(draw: st.DrawFn, sample: bytes) -> bytes:
    """The sample with up to eight of its bytes replaced where they stand, so that all else stays in its place."""
    content = bytearray(sample)
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(content) - 1))
        content[place] = draw(st.sampled_from([0, 127, 128, 255]) | st.integers(0, 255))
    return bytes(content)


def binary_files() -> list[tuple[str, bytes]]:
    """Tables of texts, lists, dictionaries and numbers as files, each with its ending."""
    rows = range(300)
    table = pa.table(
        {
            "number": pa.array([row / 7 for row in rows]),
            "text": pa.array([None if row % 7 == 0 else f"v{row % 20}" for row in rows]),
            "list": pa.array([None if row % 5 == 0 else [*range(row % 4)] for row in rows]),
            "word": pa.array([f"x{row % 9}" for row in rows]).dictionary_encode(),
        }
    )
    files = []
    for options in (
        {"compression": "none"},
        {"data_page_version": "2.0", "compression": "zstd", "row_group_size": 100},
    ):
        parquet.write_table(table, buffer := io.BytesIO(), **options)
        files.append(("parquet", buffer.getvalue()))
    for compression in ("uncompressed", "zstd", "lz4"):
        feather.write_feather(table, buffer := io.BytesIO(), compression=compression)
        files.append(("feather", buffer.getvalue()))
    text = b"a,b\n" + b"1,x\n" * 300
    return [*files, ("csv.gz", gzip.compress(text)), ("csv.zst", pa.compress(text, "zstd", asbytes=True))]


@st.composite
def changed_value(draw: st.DrawFn, sample: Any) -> Any:
    """A value of JSON with up to four of its parts removed, or replaced by something else."""
    root = [copy.deepcopy(sample)]
    for _ in range(draw(st.integers(0, 4))):
        places = _places(root)
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        if draw(st.booleans()) and holder is not root:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(draw(NASTY_VALUES))  # which may itself be changed
    return root[0]


def changed_json(sample: Any) -> st.SearchStrategy[bytes]:
    """The same as text, itself changed in turn."""
    return changed_value(sample).map(_to_json) | changed_bytes([_to_json(sample)])


def _to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _places(holder: Any) -> list[tuple[Any, Any]]:
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    inner = [place for key in keys if isinstance(holder[key], (dict, list)) for place in _places(holder[key])]
    return [(holder, key) for key in keys] + inner
