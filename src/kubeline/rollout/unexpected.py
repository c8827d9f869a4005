"""What nobody expects is an error of the world around: a rollout never ends with an exception of another kind."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kubeline.errors import KubelineError, PlatformError

logger = logging.getLogger(__name__)


def expected(error: Exception, what: str) -> KubelineError:
    """The error, when it is one of ours; anything else in a sentence, and with its place in the log."""
    if isinstance(error, KubelineError):
        return error
    logger.error("%s met something unexpected", what, exc_info=error)
    return PlatformError(f"unexpectedly, {type(error).__name__}: {' '.join(str(error).split())[:300]}")


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Within it, whatever goes wrong is a KubelineError."""
    try:
        yield
    except KubelineError:
        raise
    except Exception as error:
        raise expected(error, what) from error
