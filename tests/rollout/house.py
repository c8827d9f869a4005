"""A running embedded KServe for rollouts: one service with a stable model, and candidates for it."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from embedded_kserve import LocalKServe
from kubeline.deployment.inference_service import Service, render
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.connection import Connection, connect
from kubeline.kubernetes.resources import HTTP_ROUTE, OPENSHIFT_ROUTE, Manifest
from kubeline.model_package import ModelPackage
from kubeline.rollout.actions import Context
from kubeline.rollout.clock import Clock
from kubeline.rollout.probes.cluster import ClusterProbes
from kubeline.rollout.routers import predictor_digest
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import Analysis, AnalysisOutcome, RolloutStatus
from kubeline.rollout.step import roll_out
from kubeline.rollout.store import StatusStore, StoredStatus
from tests.support.packages import write_tiny_package
from tests.support.waiting import repeating

NAMESPACE = "default"
QUICK: dict[str, Any] = {
    "steps": [10, 50, 100],
    "bake_seconds": 0.0,
    "max_bake_seconds": 0.2,
    "verify_seconds": 0.0,
    "drain_seconds": 0.05,
    "outage_seconds": 0.5,
    "poll_seconds": 0.02,
    "bootstrap": "direct",
    # Limits that no test is to reach, however busy the machine is.
    "settle_seconds": 120,
    "ready_seconds": 120,
    "lease_seconds": 120,
    "smoke": {"max_latency_ms": 0},
}
_REQUEST_SECONDS = 60
PASS = {"outcome": "pass", "sentence": "as good as stable"}
FAIL = {"outcome": "fail", "sentence": "5 % of the requests failed"}


@dataclass(frozen=True)
class Scripted(ClusterProbes):
    """The probes of the cluster, except that the judge says what a test wants."""

    analysis: Mapping[str, Any] = field(default_factory=dict)

    def snapshot_metrics(self, now: Context) -> dict[str, Any]:
        del now
        return {"begun": True}

    def analyze(self, now: Context) -> Analysis:
        known = {"step": now.status.step.index, "share": now.observed.share}
        outcome = AnalysisOutcome(self.analysis["outcome"])
        return Analysis(**{**self.analysis, **known, "outcome": outcome})


class Ahead(Clock):
    """A clock that is advanced by hand, and counts how often it was waited on."""

    def __init__(self, seconds: float = 0.0, waited: Callable[[int], None] = lambda times: None) -> None:
        super().__init__()
        self.seconds = seconds
        self.times = 0
        self._waited = waited

    def now(self) -> float:
        return super().now() + self.seconds

    def sleep(self, seconds: float) -> None:
        self.times += 1
        self._waited(self.times)
        super().sleep(seconds)


@dataclass
class House:
    """One service in one embedded KServe."""

    kserve: LocalKServe
    folder: Path
    name: str
    cluster: Cluster = field(init=False)
    api: Connection = field(init=False)
    packages: dict[str, ModelPackage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster = Cluster.connect(str(self.kserve.kubeconfig), _REQUEST_SECONDS, waits=(0.05, 0.1, 0.2, 0.4))
        self.api = connect(str(self.kserve.kubeconfig), _REQUEST_SECONDS)

    def package(self, name: str, wrong_by: float = 0.0, turned: bool = False) -> ModelPackage:
        """A package of this name; every name is another model."""
        if name not in self.packages:
            reference = {"made for": name}
            self.packages[name] = write_tiny_package(
                self.folder / name, wrong_by=wrong_by, reference=reference, turned=turned
            )
        return self.packages[name]

    def manifest(self, package: ModelPackage, overrides: Mapping[str, Any] | None = None) -> Manifest:
        uri = Path(package.path).absolute().as_uri()
        return render(Service(self.name, NAMESPACE, storage_uri=uri, package_digest=package.digest), overrides)

    def roll_out(
        self,
        package: ModelPackage,
        look: Mapping[str, Any] | None = PASS,
        clock: Clock | None = None,
        on_change: Any = lambda record: None,
        overrides: Mapping[str, Any] | None = None,
        **plan: Any,
    ) -> RolloutStatus:
        """Begin or go on, to the end; the judge says `look`, or None lets it look at the real metrics."""
        settings = RolloutSpec.read({**QUICK, **plan})
        gateway = self.kserve.gateway_url
        scripted = None if look is None else Scripted(self.cluster, settings, package, gateway, look)
        manifest = self.manifest(package, overrides)
        return roll_out(self.cluster, manifest, settings, package, gateway, on_change, clock or Clock(), scripted)

    @property
    def store(self) -> StatusStore:
        return StatusStore(self.cluster, NAMESPACE, self.name)

    def stored(self) -> StoredStatus:
        found = self.store.read()
        assert found is not None
        return found

    def service(self) -> Manifest:
        found = self.cluster.read(NAMESPACE, self.name)
        assert found is not None
        return found

    def serving(self) -> str:
        """Digest of the model that the specification names."""
        return predictor_digest(self.service()["spec"]["predictor"])

    def share(self) -> dict[str, int]:
        """Per cent of the traffic as the routes have it, by revision or Service."""
        if self.kserve.mode == "knative":
            targets = self.service()["status"]["components"]["predictor"]["traffic"]
            pairs = [(target["revisionName"], target["percent"]) for target in targets]
        elif self.kserve.mode == "openshift":
            there = self.cluster.read(NAMESPACE, self.name, OPENSHIFT_ROUTE)
            assert there is not None
            pairs = [
                (b["name"], b["weight"]) for b in (there["spec"]["to"], *there["spec"].get("alternateBackends", []))
            ]
        else:
            route = self.cluster.read(NAMESPACE, self.name, HTTP_ROUTE)
            assert route is not None
            pairs = [(b["name"], b.get("weight", 1)) for b in route["spec"]["rules"][0]["backendRefs"]]
        shares: dict[str, int] = {}
        for name, percent in pairs:
            shares[name] = shares.get(name, 0) + percent
        total = sum(shares.values())
        return {name: round(100 * percent / total) for name, percent in shares.items() if percent}

    def ask(self, host: str = "") -> int:
        """HTTP status of the service at the gateway; 404 where that routes no such host."""
        try:
            self.model(host)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def model(self, host: str = "") -> dict[str, Any]:
        """What the model at a host says about itself; without a host, at the address of the service."""
        url = f"{self.kserve.gateway_url}/v2/models/{self.name}"
        headers = {"Host": host or urlsplit(self.service()["status"]["url"]).netloc}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as response:  # noqa: S310
            return dict(json.loads(response.read()))

    def close(self) -> None:
        """End its pods."""
        path = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices/{self.name}"
        if self.cluster.read(NAMESPACE, self.name) is not None:
            self.api.ask("DELETE", path)

    def stable(self, name: str = "stable") -> ModelPackage:
        """The service with this model promoted, and no rollout going on."""
        self.kserve.faults.clear()
        package = self.package(name)
        record = self.roll_out(package, strategy="blue-green", attempt=int(time.time() * 1000))
        assert record.outcome in {"promoted", "unchanged"}, record.reason
        return package


@contextmanager
def users(house: House) -> Iterator[Counter[int]]:
    """Somebody asks at the gateway all the time; the status codes that they got."""
    codes: Counter[int] = Counter()

    def ask() -> None:
        codes[house.ask()] += 1

    with repeating(ask, pause=0.02):
        yield codes


def write_payload_log(package: ModelPackage, folder: Path, rows: int = 40, wrong: int = 0) -> str:
    """A payload log with the answers of a package; the first `wrong` rows of it were answered otherwise."""
    frame = package.golden().sample(rows, replace=True, random_state=0).reset_index(drop=True)
    logged = frame[package.signature.names].assign(
        **{
            "request.id": [f"request-{number}" for number in range(rows)],
            "request.time": pd.date_range("2026-01-01", periods=rows, freq="s", tz="UTC"),
            "output.prediction": frame["expected.prediction"],
        }
    )
    for label in package.signature.classes or ():
        moved = np.where(np.arange(rows) < wrong, 0.3, 0.0)
        logged[f"output.probability.{label}"] = (frame[f"expected.probability.{label}"] + moved).astype(np.float32)
    folder.mkdir()
    logged.to_parquet(folder / "part-0.parquet", index=False)
    return str(folder)
