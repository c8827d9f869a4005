"""The boundary of a source: whatever it reads, a rollout gets evidence or a MetricsError."""

import logging
from collections.abc import Callable
from typing import TypeVar

from kubeline.errors import KubelineError
from kubeline.rollout.analysis.judge import Evidence
from kubeline.rollout.analysis.metrics.source import MetricsError, MetricsSource, Snapshot

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Guarded:
    """A source whose unexpected exceptions are errors of the evidence.

    The sources themselves refuse what they know to be wrong, each with its own sentence. This is for the rest: a
    metrics page is written by the candidate, and must not be able to end the rollout that judges it.
    """

    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def check(self) -> None:
        """See :class:`MetricsSource`."""
        self._guarded(self._source.check)

    def start(self) -> Snapshot:
        """See :class:`MetricsSource`."""
        return self._guarded(self._source.start)

    def evidence(self, since: Snapshot) -> Evidence:
        """See :class:`MetricsSource`."""
        return self._guarded(lambda: self._source.evidence(since))

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except KubelineError:
            raise
        except Exception as error:
            logger.warning("the metrics could not be understood", exc_info=True)
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise MetricsError(f"What the metrics say could not be understood ({reason}).") from error
