"""Raw bytes of tensors, compared with what KServe's own client writes and reads."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kserve import InferInput, InferOutput

from kubeline.errors import UserError
from kubeline.open_inference.tensors import DTYPES, datatype_of, decode_raw, encode_raw

TEXTS = st.lists(st.text(max_size=300), max_size=150)
# of one size, also with letters that look like the length of the next one
CODES = st.lists(st.text("ABÅ\0", min_size=2, max_size=2), min_size=5, max_size=70)
LENGTHS = st.lists(st.text("A\5\0", min_size=5, max_size=5), min_size=5, max_size=20)


def raw_of_kserve(values: np.ndarray, datatype: str) -> bytes:
    tensor = InferInput("x", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=True)
    return tensor._raw_data


@pytest.mark.parametrize("datatype", DTYPES)
def test_numbers_are_read_and_written_as_kserve_does(datatype: str) -> None:
    values = np.array([0, 1, 1, 0, 1]).astype(DTYPES[datatype])
    raw = raw_of_kserve(values, datatype)
    assert encode_raw(values) == raw
    for given_as in (raw, memoryview(b"ab" + raw)[2:]):
        decoded = decode_raw("x", datatype, given_as, 5)
        assert isinstance(decoded, np.ndarray)
        assert (datatype_of(decoded), decoded.dtype) == (datatype, values.dtype)
        np.testing.assert_array_equal(decoded, values)


@given(st.one_of(TEXTS, CODES, LENGTHS))
def test_texts_are_read_and_written_as_kserve_does(texts: list[str]) -> None:
    raw = encode_raw(texts)
    if texts:
        assert raw == raw_of_kserve(np.array(texts, dtype=object), "BYTES")
    assert encode_raw(np.array(texts, dtype=object)) == raw
    assert encode_raw([text.encode() for text in texts]) == raw
    assert decode_raw("x", "BYTES", raw, len(texts)) == texts
    assert decode_raw("x", "BYTES", memoryview(raw), len(texts)) == texts


@given(st.binary(max_size=40), st.integers(0, 9))
def test_bytes_that_are_no_texts_are_refused_by_the_name_of_the_input(raw: bytes, count: int) -> None:
    try:
        texts = decode_raw("carrier", "BYTES", raw, count)
    except UserError as error:
        assert "input 'carrier'" in str(error)  # noqa: PT017 - what is not refused is compared instead
    else:
        assert (len(texts), encode_raw(texts)) == (count, raw)


@pytest.mark.parametrize("text", ["", "A", "JFK", "Å", "\5\0\0\0A", "\4\0\0\0"])
def test_many_texts_of_one_size_are_read(text: str) -> None:
    assert decode_raw("x", "BYTES", encode_raw([text] * 100), 100) == [text] * 100


@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize("text", ["AA", "Å"])
def test_texts_that_are_cut_or_too_many_are_refused(count: int, text: str) -> None:
    raw = encode_raw([text] * count)
    for wrong in (raw[:-1], raw + b"\0", raw + encode_raw([text]), encode_raw([text] * (count - 1)), b""):
        with pytest.raises(UserError, match=rf"input 'carrier' are not {count} elements of BYTES"):
            decode_raw("carrier", "BYTES", wrong, count)


def test_a_length_beyond_the_bytes_is_refused_though_the_sizes_add_up() -> None:
    raw = encode_raw(["AA"] * 99) + struct.pack("<I", 3) + b"AA"
    with pytest.raises(UserError, match="not 100 elements"):
        decode_raw("carrier", "BYTES", raw, 100)


def test_lengths_at_other_places_are_refused_though_the_sizes_add_up() -> None:
    raw = encode_raw(["AAAAA"] * 8) + b"\5\0\0\0" + b"A" * 4 + b"\5\0\0\0" + b"A" * 6
    with pytest.raises(UserError, match="not 10 elements"):
        decode_raw("carrier", "BYTES", raw, 10)


def test_a_number_of_bytes_that_does_not_fill_the_shape_is_refused() -> None:
    with pytest.raises(UserError, match=r"input 'month' has 7 bytes, but 2 elements of FP32 take 8"):
        decode_raw("month", "FP32", bytes(7), 2)


def test_a_boolean_other_than_0_and_1_is_refused() -> None:
    with pytest.raises(UserError, match="input 'rush' holds a byte that is neither 0 nor 1"):
        decode_raw("rush", "BOOL", b"\1\2\0", 3)


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(UserError, match="input 'carrier' holds bytes that are not UTF-8"):
        decode_raw("carrier", "BYTES", encode_raw([b"\xff\xfe"]), 1)


def test_datatypes_that_the_protocol_does_not_have_are_refused() -> None:
    with pytest.raises(UserError, match=r"input 'x' has datatype 'BF16'; expected one of BOOL, .*BYTES"):
        decode_raw("x", "BF16", b"", 0)
    with pytest.raises(UserError, match="there is no datatype for arrays of complex128"):
        datatype_of(np.array([1j]))
    with pytest.raises(UserError, match="elements of BYTES are text or bytes"):
        encode_raw([None])  # type: ignore[list-item]


def test_arrays_in_another_order_of_bytes_or_of_memory_are_written_little_endian_by_rows() -> None:
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    assert encode_raw(values) == encode_raw(values.astype("<f4"))
    columns = np.asfortranarray(values.astype("<f4"))
    output = InferOutput("x", [2, 3], "FP32", data=None)
    output.set_data_from_numpy(columns, binary_data=True)
    assert encode_raw(columns) == output._raw_data
