"""Fitted models in files of other makers, opened without running what nobody vouches for."""

import hashlib
import io
import pickle
import warnings
from importlib import import_module
from pathlib import PurePosixPath
from typing import Any

from kubeline.addresses import redact, refuse_credentials
from kubeline.errors import PlatformError, UserError, listed
from kubeline.mounted import refuse_irregular

SKOPS = (".skops",)
PICKLES = (".joblib", ".pkl", ".pickle")
ONNX = (".onnx",)
MOST_BYTES = 4 * 2**30
_SCHEMA, MOST_SCHEMA_BYTES = "schema.json", 2**26  # what skops reads first, as objects of many times its size


def read(source: str, sha256: str) -> bytes:
    """The content of a file, when its digest is the one given.

    Args:
        source: path or URI.
        sha256: hexadecimal digits; empty for any, which a pickle may not have.

    Raises:
        UserError: when the ending is not known, the file is not there, or it is another one.
        PlatformError: when its storage does not give it.
    """
    refuse_credentials(source, "source")
    ending = PurePosixPath(source).suffix.lower()
    if ending not in (*SKOPS, *PICKLES, *ONNX):
        raise UserError(
            f"the source '{source}' ends with '{ending}'; expected a fitted scikit-learn pipeline as "
            f"{listed((*SKOPS, *PICKLES))}, or an ONNX model as {ONNX[0]}"
        )
    wanted = sha256.strip().lower()
    if not wanted and ending in PICKLES:
        raise UserError(
            f"the source '{source}' is a pickle, which runs what is in it, and no sha256 was given; give the SHA-256 "
            "that its maker states, or save the pipeline by skops.io.dump"
        )
    refuse_irregular(source, "the source")
    content = _content(source)
    found = hashlib.sha256(content).hexdigest()
    if wanted and found != wanted:
        raise UserError(
            f"the source '{source}' has the SHA-256 {found[:12]}…, but sha256 says {wanted[:12]}…; it was not opened: "
            "get the file again, or correct sha256"
        )
    return content


def is_onnx(source: str) -> bool:
    """Whether the file is an ONNX model, by its name."""
    return PurePosixPath(source).suffix.lower() in ONNX


def load(source: str, content: bytes) -> tuple[Any, list[str]]:
    """The object in a file that may be opened, and what its library warns of.

    Args:
        source: its name, which says the form.
        content: as :func:`read` gives it.

    Raises:
        UserError: when it holds types that are not trusted, or cannot be opened.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = _skops(source, content) if PurePosixPath(source).suffix.lower() in SKOPS else _pickle(content)
        except UserError:
            raise
        except Exception as error:  # whatever the classes in it raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(
                f"the source '{source}' cannot be opened here ({reason}); save it with the versions of this image"
            ) from error
    other = sorted({" ".join(str(one.message).split()) for one in caught if "Version" in one.category.__name__})
    return made, [words[:300] for words in other]


def _content(source: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(source, "rb") as file:
            content: bytes = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"there is no file at '{source}'; check source") from error
    except (ValueError, ImportError) as error:  # fsspec: unknown protocol, or its package is not installed
        raise UserError(f"cannot read '{source}': {redact(str(error))}") from error
    except Exception as error:  # each storage raises errors of its own
        raise PlatformError(f"cannot read '{source}': {redact(f'{type(error).__name__}: {error}')}") from error
    if len(content) > MOST_BYTES:
        raise UserError(f"the source '{source}' has more than {MOST_BYTES:,} bytes; expected a fitted pipeline")
    return content


def _skops(source: str, content: bytes) -> Any:
    from skops.io import get_untrusted_types, loads

    _require_unpacked_size(source, content)
    found = get_untrusted_types(data=content)
    strange = [name for name in found if not _is_known(name)]
    if strange:
        raise UserError(
            f"the source '{source}' holds types that are not trusted: {listed(strange)}; expected those of "
            "scikit-learn and NumPy alone, or a pickle whose SHA-256 you give"
        )
    return loads(content, trusted=found)


def _require_unpacked_size(source: str, content: bytes) -> None:
    """Refuse an archive whose files say that they are too large; more than they say is not unpacked."""
    from zipfile import ZipFile

    with ZipFile(io.BytesIO(content)) as archive:
        files = archive.infolist()
    sizes = {file.filename: file.file_size for file in files}
    whole = sum(file.file_size for file in files)
    for what, size, most in (("files", whole, MOST_BYTES), ("a schema.json", sizes.get(_SCHEMA, 0), MOST_SCHEMA_BYTES)):
        if size > most:
            raise UserError(
                f"the source '{source}' unpacks to {what} of {size:,} bytes, and {most:,} are read; expected a fitted "
                "pipeline"
            )


def _is_known(name: str) -> bool:
    """Whether it is a class of scikit-learn, such as the loss of a boosting, and no function, which might do more."""
    module, _, attribute = name.rpartition(".")
    if name == "numpy.dtype":
        return True
    if module.partition(".")[0] != "sklearn":
        return False
    try:
        return isinstance(getattr(import_module(module), attribute, None), type)
    except ImportError:
        return False


def _pickle(content: bytes) -> Any:
    import joblib

    try:
        return joblib.load(io.BytesIO(content))
    except (ValueError, KeyError):  # a plain pickle of a protocol that joblib takes for a file of its own
        return pickle.loads(content)  # noqa: S301 (its digest was verified)
