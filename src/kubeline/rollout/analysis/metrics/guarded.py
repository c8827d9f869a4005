"""The boundary of a source: whatever it reads, a rollout gets evidence or a MetricsError."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from kubeline.errors import KubelineError
from kubeline.rollout.analysis.judge import Evidence
from kubeline.rollout.analysis.metrics.source import MetricsError, Snapshot

if TYPE_CHECKING:
    from kubeline.rollout.analysis.metrics.cloud_monitoring import CloudMonitoring
    from kubeline.rollout.analysis.metrics.prometheus import Prometheus
    from kubeline.rollout.analysis.metrics.scrape import Scrape

logger = logging.getLogger(__name__)

T = TypeVar("T")


class MetricsSource:
    """Evidence since a snapshot. Without state: it can be opened anew for each analysis, with the addresses of then.

    The sources themselves refuse what they know to be wrong, each with its own sentence. Their unexpected exceptions
    become errors of the evidence here: a metrics page is written by the candidate, and must not be able to end the
    rollout that judges it.
    """

    def __init__(self, source: "Prometheus | CloudMonitoring | Scrape") -> None:
        self._source = source

    def check(self) -> None:
        """See that a window that begins now has a beginning.

        Raises:
            MetricsError: when what was counted before it would not be known.
        """
        self._guarded(self._source.check)

    def start(self) -> Snapshot:
        """Begin a window.

        Raises:
            MetricsError: when the source cannot be read.
        """
        return self._guarded(self._source.start)

    def evidence(self, since: Snapshot) -> Evidence:
        """What happened since `since`.

        Raises:
            MetricsError: when that is not known.
        """
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
