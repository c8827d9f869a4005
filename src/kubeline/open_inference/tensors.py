"""Tensors of the Open Inference Protocol: datatype names, and raw bytes to values and back.

Raw bytes are the protocol's "binary tensor data": little-endian numbers without padding in row-major order; one byte
for each BOOL; and for BYTES each element after its length in four bytes.
"""

import base64
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from kubeline.errors import UserError, listed
from kubeline.masking import form_of
from kubeline.typing import Array

# BYTES is not among them: its elements are text.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = (*DTYPES, "BYTES")

_NAMES = {(dtype.kind, dtype.itemsize): name for name, dtype in DTYPES.items()}
_length = struct.Struct("<I")
_length_at = _length.unpack_from
_MANY = 8  # texts, from which on trying whether all are of one size pays


def decode_raw(name: str, datatype: str, raw: bytes | memoryview, count: int) -> Array | list[str]:
    """The values of a tensor that was sent as raw bytes.

    Args:
        name: of the input, for errors.
        datatype: one of `DATATYPES`.
        raw: its bytes.
        count: of elements, by its shape.

    Returns:
        Numbers and BOOL as an array of shape (count,) that cannot be written and shares the memory of `raw`; BYTES as
        a list of text.

    Raises:
        UserError: names the input, when the datatype is not known, the bytes are too few or too many, a BOOL is
            neither 0 nor 1, or BYTES are not UTF-8 text.
    """
    dtype = DTYPES.get(datatype)
    if dtype is None:
        if datatype == "BYTES":
            return _texts(name, raw if isinstance(raw, bytes) else bytes(raw), count)
        raise unknown_datatype(name, datatype)
    if len(raw) != count * dtype.itemsize:
        raise UserError(
            f"input '{name}' has {len(raw):,} bytes, but {count:,} elements of {datatype} take "
            f"{count * dtype.itemsize:,}; send as many as its shape says"
        )
    if datatype == "BOOL" and bytes(raw).strip(b"\0\1"):
        raise UserError(f"input '{name}' holds a byte that is neither 0 nor 1, but its datatype is BOOL")
    return np.frombuffer(raw, dtype)


def encode_raw(values: Array | Sequence[str | bytes]) -> bytes:
    """Values as raw bytes: numbers as they are in memory, text and bytes each after its length.

    Raises:
        UserError: when they are of a type that the protocol does not have.
    """
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "fiub":
            dtype = DTYPES[datatype_of(values)]
            return (values if values.dtype == dtype else values.astype(dtype)).tobytes()
        values = values.ravel().tolist()
    # labels repeat: each is written once
    elements = {value: _element(value) for value in set(values)}
    return b"".join([elements[value] for value in values])


def decode_base64(name: str, values: Sequence[Any]) -> list[Any]:
    """The texts of BYTES in JSON that say ``"content_type": "base64"`` among their parameters; None stays None.

    Raises:
        UserError: names the input, when one is not base64 of UTF-8 text.
    """
    try:
        return [value if value is None else base64.b64decode(value, validate=True).decode() for value in values]
    except (ValueError, TypeError):
        raise UserError(
            f"input '{name}' has content_type base64, but one of its values is not UTF-8 text in base64; encode all of "
            "them, or leave content_type out"
        ) from None


def datatype_of(values: Array) -> str:
    """The name of an array's datatype; text in an object array is BYTES.

    Raises:
        UserError: when the protocol has none for it.
    """
    dtype = values.dtype
    if dtype.kind in "OSUT":
        return "BYTES"
    try:
        return _NAMES[dtype.kind, dtype.itemsize]
    except KeyError:
        raise UserError(f"there is no datatype for arrays of {dtype}; convert it to one of {listed(DTYPES)}") from None


def unknown_datatype(name: str, datatype: str) -> UserError:
    """What to say of a datatype that is none of `DATATYPES`."""
    return UserError(f"input '{name}' has datatype '{datatype}'; expected one of {listed(DATATYPES, len(DATATYPES))}")


def _texts(name: str, raw: bytes, count: int) -> list[str]:
    try:
        if not raw.isascii():
            return [str(element, "utf-8") for element in _elements(name, raw, count)]
        text = raw.decode("ascii")  # its parts are cut out faster than bytes are decoded
        if count >= _MANY and (texts := _of_one_size(text, raw, count)):
            return texts
        texts = []
        end = 0
        for _ in range(count):
            start = end + 4
            end = start + _length_at(raw, end)[0]
            texts.append(text[start:end])
    except struct.error:
        raise _cut(name, raw, count) from None
    except UnicodeDecodeError as error:
        raise UserError(f"input '{name}' holds bytes that are not UTF-8 text") from error
    if end != len(raw):
        raise _cut(name, raw, count)
    return texts


def _elements(name: str, raw: bytes, count: int) -> list[bytes]:
    elements = []
    end = 0
    for _ in range(count):
        start = end + 4
        end = start + _length_at(raw, end)[0]
        elements.append(raw[start:end])
    if end != len(raw):
        raise _cut(name, raw, count)
    return elements


def _of_one_size(text: str, raw: bytes, count: int) -> list[str] | None:
    """The elements when all are of one size, so that the same four bytes precede each; otherwise None."""
    size: int = _length_at(raw)[0]
    if len(raw) != count * (_length.size + size):
        return None
    texts = text.split(text[: _length.size])
    del texts[0]  # nothing stands before the first element
    return texts if set(map(len, texts)) == {size} else None


def _cut(name: str, raw: bytes, count: int) -> UserError:
    return UserError(
        f"the {len(raw):,} bytes of input '{name}' are not {count:,} elements of BYTES, each after its length as four "
        "bytes, little-endian"
    )


def _element(value: object) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    if not isinstance(content, bytes):
        raise UserError(f"{form_of(value)} is {type(value).__name__}, but elements of BYTES are text or bytes")
    return _length.pack(len(content)) + content
