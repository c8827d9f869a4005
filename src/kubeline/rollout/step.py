"""The step that brings a blessed model to its users: takes the lease, drives, and writes the decision."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from kubeline.artifacts import Artifact, describe, finite, publish, step
from kubeline.errors import UserError
from kubeline.kubernetes.resources import KIND, Manifest
from kubeline.model_package import ModelPackage
from kubeline.retries import repeated
from kubeline.rollout.clock import Clock
from kubeline.rollout.driver import Driver
from kubeline.rollout.platform_plan import plan_for
from kubeline.rollout.probes import Probes
from kubeline.rollout.probes.cluster import ClusterProbes
from kubeline.rollout.rollout_report import write_report
from kubeline.rollout.routers import predictor_digest
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.start import abort_abandoned, process_name, start
from kubeline.rollout.status import RolloutStatus
from kubeline.rollout.store import StatusStore
from kubeline.rollout.unexpected import only_kubeline_errors
from kubeline.serving_platform.endpoint_view import KIND as ENDPOINT
from kubeline.serving_platform.interface import ServingPlatform
from kubeline.serving_platform.opening import open_platform
from kubeline.yaml_files import read_mapping

logger = logging.getLogger(__name__)


@step
@repeated
def run(
    model: Artifact,
    manifest: Artifact,
    decision: Artifact,
    report: Artifact,
    *,
    cluster: str,
    plan: Mapping[str, Any] | None = None,
    plan_file: str = "",
    gateway: str = "",
    timeout_seconds: float = 30.0,
) -> str:
    """Roll the model out; see the component `rollout` for the parameters.

    Returns:
        promoted, unchanged, reported, rolled_back or held.

    Raises:
        UserError: when the cluster cannot do what is asked, or the manifest is of another package.
        PlatformError: when the cluster cannot be used, another rollout is going on, or a rollback failed.
    """
    package = ModelPackage.of(model)
    document = read_manifest(manifest.path)
    digest = predictor_digest(document["spec"]["predictor"], document)
    if digest != package.digest:
        raise UserError(
            f"the manifest is of package {digest[:12] or '(none)'}, but the model given is {package.digest[:12]}; give "
            "the manifest that deploy rendered for this model"
        )
    last: list[RolloutStatus] = []

    def on_change(status: RolloutStatus) -> None:
        last[:] = [status]
        logger.info("%s: %s", status.state, status.timeline[-1].sentence if status.timeline else "")

    try:
        status = roll_out(
            open_platform(cluster, timeout_seconds),
            document,
            plan_for(cluster, plan_file, plan, gateway),
            package,
            gateway,
            on_change,
        )
    except Exception:
        if last:  # what happened is reported even when it ends with an error
            _write(decision, report, last[0])
        raise
    _write(decision, report, status)
    logger.info("%s: %s (%s)", status.where, status.outcome, status.reason)
    return str(status.outcome or "")


def roll_out(
    cluster: ServingPlatform,
    manifest: Manifest,
    spec: RolloutSpec,
    package: ModelPackage | None,
    gateway: str = "",
    on_change: Callable[[RolloutStatus], None] = lambda status: None,
    clock: Clock | None = None,
    probes: Probes | None = None,
) -> RolloutStatus:
    """Start or continue a rollout, and drive it to an end, or until it is held.

    Args:
        cluster: where.
        manifest: the InferenceService as `deploy` renders it.
        spec: what is done.
        package: for the smoke test.
        gateway: where the candidate is asked through from outside the cluster; empty asks its own address.
        on_change: called with the status after each change.
        clock: time; SIGTERM cancels it.
        probes: what is found out beside the cluster's objects; by default by asking the candidate and the metrics.
    """
    clock = clock or Clock(cluster.time())
    holder = process_name()
    probes = probes or ClusterProbes(cluster, spec, package, gateway)
    meta = manifest["metadata"]
    with cancelled_by_sigterm(clock), only_kubeline_errors(f"the rollout of {meta.get('name', '')}"):
        abort_abandoned(cluster, manifest, spec, probes, holder, clock)
        started = start(cluster, manifest, spec, holder, clock.now(), gateway)
        status = started.stored.status
        if status.ended:
            return status
        on_change(status)
        driver = Driver(
            cluster=cluster,
            store=StatusStore(cluster, meta["namespace"], meta["name"]),
            spec=spec,
            probes=probes,
            manifest=started.manifest,
            clock=clock,
            on_change=on_change,
        )
        return driver.run(started.stored)


@contextmanager
def cancelled_by_sigterm(clock: Clock) -> Iterator[None]:
    """SIGTERM ends the waiting, and the spec says what follows: at once, whatever is being waited for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()  # a handler may take no lock that the code it interrupts holds
    watcher = threading.Thread(target=_cancel_on_signal, args=(reader, clock), daemon=True)
    watcher.start()
    before = signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b"\0"))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _cancel_on_signal(reader: int, clock: Clock) -> None:
    while os.read(reader, 1):
        clock.cancel()


def read_manifest(path: str) -> Manifest:
    """The InferenceService of a YAML file.

    Raises:
        UserError: when it is none.
    """
    document = read_mapping(path, "manifest", "the fields of an InferenceService, as deploy renders it")
    if document.get("kind") not in {KIND, ENDPOINT}:
        raise UserError(f"'{path}' is no {KIND} and no {ENDPOINT}; give the manifest that deploy renders")
    return document


def decision_of(status: RolloutStatus) -> dict[str, Any]:
    """The decision, with the evidence of every analysis."""
    decision: dict[str, Any] = finite(
        {
            "outcome": status.outcome or "",
            "reason": status.reason,
            "rollout_id": status.rollout_id,
            "name": status.name,
            "namespace": status.namespace,
            "mode": status.mode or "",
            "package_digest": status.candidate.digest,
            "stable_digest": status.stable_digest,
            "plan": status.spec.model_dump(mode="json"),
            "smoke": asdict(status.smoke) if status.smoke else None,
            "shadow": asdict(status.shadow) if status.shadow else None,
            "analyses": [asdict(analysis) for analysis in status.analyses],
            "timeline": [asdict(event) for event in status.timeline],
        }
    )
    return decision


def _write(decision: Artifact, report: Artifact, status: RolloutStatus) -> None:
    document = decision_of(status)
    with publish(decision.path) as path:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
    described = ("outcome", "rollout_id", "package_digest", "name", "namespace", "reason")
    describe(decision, {key: document[key] for key in described})
    write_report(report, status)
