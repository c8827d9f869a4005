"""Models on a service with users: what the demo deploys, watches and shows."""

import re
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import yaml
from kfp import dsl
from rich.console import Console
from rich.markup import escape

from components.train.component import train
from embedded_kserve import LocalKServe
from examples.flights.traffic import Traffic
from kubeline import KubelineError, ModelPackage, publish, write_dataset
from kubeline.deployment import Service, render
from kubeline.kubernetes import Cluster
from kubeline.rollout import RolloutSpec, RolloutStatus, State, StatusStore, TimelineEvent, roll_out

NAME, NAMESPACE = "flights", "default"
PLAN = yaml.safe_load((Path(__file__).parent / "training.yaml").read_text(encoding="utf-8"))["plan"]

# lines of a timeline that have no decision
_QUIET = re.compile(r"begun by|the step |the restored |the spec|the candidate (is|takes|leaves|answers)")
_WIDTH = 100  # of a decision on the terminal
_POLL_SECONDS = 0.2
_AFTERWARDS_SECONDS = 1.5  # that users are still watched when a rollout is over


def earlier_model(months: list[Path], folder: Path) -> ModelPackage:
    """The model of half a year before: trained on January to June."""
    table = pd.concat([pd.read_parquet(month) for month in months[:6]], ignore_index=True)
    return _train(table, folder, max_iter=50)


def bad_model(months: list[Path], folder: Path) -> ModelPackage:
    """A model that is wrong and slow: its labels were turned round, and it has hundreds of trees."""
    table = pd.concat([pd.read_parquet(month) for month in months[:9]], ignore_index=True)
    table = table.sample(min(8_000, len(table)), random_state=0).sort_values("departure", ignore_index=True)
    table["late"] = ~table["late"].astype(bool)
    return _train(table, folder, max_iter=400)


def _train(table: pd.DataFrame, folder: Path, **params: Any) -> ModelPackage:
    data = dsl.Dataset(uri=str(folder / "data"), metadata={})
    rows = pa.Table.from_pandas(table, preserve_index=False)
    with publish(data.path) as path:
        write_dataset(data, rows.schema, rows.to_batches(), path, source="examples/flights")
    model = dsl.Model(uri=str(folder / "model"), metadata={})
    metrics = dsl.Metrics(uri=str(folder / "metrics"), metadata={})
    report = dsl.HTML(uri=str(folder / "report.html"), metadata={})
    outputs = {"model": model, "metrics": metrics, "report": report}
    train.python_func(dataset=data, **outputs, target="late", params=params, time_column="departure")
    return ModelPackage.of(model)


def deploy(kserve: LocalKServe, package: ModelPackage, **plan: Any) -> RolloutStatus:
    """Roll a package out as it is: nobody asks here whether it was blessed, as the component `deploy` does."""
    uri = Path(package.path).absolute().as_uri()
    manifest = render(Service(NAME, NAMESPACE, storage_uri=uri, package_digest=package.digest))
    cluster = Cluster.connect(str(kserve.kubeconfig))
    return roll_out(cluster, manifest, RolloutSpec.read({**PLAN, **plan}), package, kserve.gateway_url)


def host(kserve: LocalKServe) -> str:
    """What users call the service."""
    service = Cluster.connect(str(kserve.kubeconfig)).read(NAMESPACE, NAME) or {}
    return str(urlsplit(service["status"]["url"]).netloc)


@dataclass(frozen=True)
class Moment:
    """The rollout at one time (Unix seconds): share of the candidate that is planned and that the routes have, in %."""

    time: float
    planned: int
    observed: int


class Watch:
    """Follows the next rollout of the service from its record, and reports each decision with what users saw till then.

    Args:
        kserve: where.
        traffic: the users.
        names: of the models by version; others are new.
        on_start: called once with the record when the rollout begins.
        on_end: called once with the record when it is over.
        prints: whether decisions are printed as they come; else they are buffered until :meth:`print_buffered`.
    """

    def __init__(
        self,
        kserve: LocalKServe,
        traffic: Traffic,
        names: Mapping[str, str],
        on_start: Callable[[RolloutStatus], None] = lambda _: None,
        on_end: Callable[[RolloutStatus], None] = lambda _: None,
        prints: bool = True,
    ) -> None:
        self.moments: list[Moment] = []
        self.record: RolloutStatus | None = None
        self._records = StatusStore(Cluster.connect(str(kserve.kubeconfig)), NAMESPACE, NAME)
        kept = self._records.read()
        self._before = kept.status.rollout_id if kept else ""
        self._traffic, self._names, self._on_start, self._on_end = traffic, names, on_start, on_end
        self._seen = 0  # events of the timeline
        self._prints = prints
        self._buffered: list[str] = []
        self._printing = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ending.is_set():
            self.end(error is None)

    def end(self, afterwards: bool = True) -> None:
        """End; by default a while after the rollout, so that users are seen then as well."""
        if afterwards and self.record is not None:
            time.sleep(max(2 * _POLL_SECONDS, self.record.timeline[-1].time + _AFTERWARDS_SECONDS - time.time()))
        self._ending.set()
        self._thread.join()

    def print_buffered(self) -> None:
        """Print what has been decided so far, and from now on each decision as it comes."""
        with self._printing:
            for line in self._buffered:
                _print(line)
            self._buffered, self._prints = [], True

    def _follow(self) -> None:
        while not self._ending.wait(_POLL_SECONDS):
            try:
                kept = self._records.read()
            except KubelineError:  # the next look may succeed
                continue
            if kept is None or kept.status.rollout_id == self._before:
                continue
            was = self.record
            if was is not None and kept.status.rollout_id != was.rollout_id:
                self._note(was)  # the next rollout has begun
                continue
            self.record = kept.status
            if was is None:
                self._on_start(self.record)
            self._note(self.record)
            if self.record.ended and not (was and was.ended):
                self._on_end(self.record)

    def _note(self, record: RolloutStatus) -> None:
        shares = [event.share for event in record.timeline if event.share is not None]
        self.moments.append(Moment(time.time(), planned(record), shares[-1] if shares else 0))
        for event in record.timeline[self._seen :]:
            if not _QUIET.match(event.sentence):
                self._say(self._line(record, event))
        self._seen = len(record.timeline)

    def _say(self, line: str) -> None:
        with self._printing:
            if self._prints:
                _print(line)
            else:
                self._buffered.append(line)

    def _line(self, record: RolloutStatus, event: TimelineEvent) -> str:
        counts = self._traffic.by_version(since=record.timeline[0].time)
        seen = ", ".join(f"{n:,} {self._names.get(version, 'new')}" for version, n in counts.items())
        share = "" if event.share is None else f"{event.share} %"
        sentence = textwrap.shorten(event.sentence, _WIDTH, placeholder=" …")
        return f"  {share:>5}  {event.state.value:<18}  {sentence:<{_WIDTH}}  {seen}, {self._traffic.failed} failed"


def _print(line: str) -> None:
    Console(highlight=False).print(escape(line), soft_wrap=True)


def planned(record: RolloutStatus) -> int:
    """Share that the candidate should have in this state, in %."""
    if record.stable is None or record.state in {State.CUTTING_OVER, State.PROMOTING, State.VERIFYING, State.COMPLETED}:
        return 100
    shares = record.spec.shares
    watched = record.state in {State.SHIFTING, State.BAKING, State.ANALYZING, State.AWAITING_APPROVAL}
    return shares[min(record.step.index, len(shares) - 1)] if watched and shares else 0
