"""An exception that no code expects is an error of the platform: a rollout never ends with one of another kind."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kubeline.errors import KubelineError, PlatformError
from kubeline.masking import trace_of, words_of

logger = logging.getLogger(__name__)


def as_kubeline_error(error: Exception, what: str) -> KubelineError:
    """The error, when it is one of ours; anything else in a sentence, and with its traceback in the log."""
    if isinstance(error, KubelineError):
        return error
    logger.error("%s met an unexpected exception\n%s", what, trace_of(error))
    return PlatformError(f"unexpectedly, {type(error).__name__}: {' '.join(words_of(error).split())[:300]}")


@contextmanager
def only_kubeline_errors(what: str) -> Iterator[None]:
    """Within it, every exception becomes a KubelineError."""
    try:
        yield
    except KubelineError:
        raise
    except Exception as error:
        raise as_kubeline_error(error, what) from error
