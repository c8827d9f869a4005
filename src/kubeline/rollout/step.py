"""The step that brings a blessed model to its users: locks, drives, and writes down the decision."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubeline.artifacts import Artifact, describe, finite, publish, step
from kubeline.errors import UserError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import KIND, Manifest
from kubeline.model_package import ModelPackage
from kubeline.retries import repeated
from kubeline.rollout.clock import Clock
from kubeline.rollout.driver import Driver
from kubeline.rollout.probes.cluster import WorldAnswers
from kubeline.rollout.report import write_report
from kubeline.rollout.routers import predictor_digest
from kubeline.rollout.spec import Plan
from kubeline.rollout.start import begin, clear_abandoned, owner
from kubeline.rollout.status import Record
from kubeline.rollout.store import Records
from kubeline.rollout.unexpected import understood
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
    last: list[Record] = []

    def listen(record: Record) -> None:
        last[:] = [record]
        logger.info("%s: %s", record.state, record.timeline[-1].sentence if record.timeline else "")

    try:
        record = roll_out(
            Cluster.connect(cluster, timeout_seconds),
            document,
            Plan.read(plan_file, **(plan or {})),
            package,
            gateway,
            listen,
        )
    except Exception:
        if last:  # what happened is told even when it ends badly
            _write(decision, report, last[0])
        raise
    _write(decision, report, record)
    logger.info("%s/%s: %s (%s)", record.namespace, record.name, record.outcome, record.reason)
    return record.outcome


def roll_out(
    cluster: Cluster,
    manifest: Manifest,
    plan: Plan,
    package: ModelPackage | None,
    gateway: str = "",
    listen: Callable[[Record], None] = lambda record: None,
    clock: Clock | None = None,
) -> Record:
    """Begin or go on with a rollout, and drive it to an end, or until it is held.

    Args:
        cluster: where.
        manifest: the InferenceService as `deploy` renders it.
        plan: what is done.
        package: for the smoke test.
        gateway: where the candidate is asked through from outside the cluster; empty asks its own address.
        listen: called with the record after each change.
        clock: time; SIGTERM cancels it.
    """
    clock = clock or Clock(cluster.time())
    me = owner()
    answers = WorldAnswers(cluster, plan, package, gateway)
    with cancelled_by_sigterm(clock), understood(f"the rollout of {manifest['metadata'].get('name', '')}"):
        clear_abandoned(cluster, manifest, plan, answers, me, clock)
        kept, whole = begin(cluster, manifest, plan, me, clock.now(), gateway)
        if kept.record.ended:
            return kept.record
        listen(kept.record)
        meta = manifest["metadata"]
        records = Records(cluster, meta["namespace"], meta["name"])
        driver = Driver(
            cluster=cluster,
            records=records,
            plan=plan,
            answers=answers,
            manifest=whole,
            clock=clock,
            listen=listen,
        )
        return driver.run(kept)


@contextmanager
def cancelled_by_sigterm(clock: Clock) -> Iterator[None]:
    """SIGTERM ends the waiting, and the plan says what follows: at once, whatever is being waited for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()  # a handler may take no lock that the code it interrupts holds
    watcher = threading.Thread(target=_cancel_when_told, args=(reader, clock), daemon=True)
    watcher.start()
    before = signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b"\0"))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _cancel_when_told(reader: int, clock: Clock) -> None:
    while os.read(reader, 1):
        clock.cancel()


def read_manifest(path: str) -> Manifest:
    """The InferenceService of a YAML file.

    Raises:
        UserError: when it is none.
    """
    document = read_mapping(path, "manifest", "the fields of an InferenceService, as deploy renders it")
    if document.get("kind") != KIND:
        raise UserError(f"'{path}' is no {KIND}; give the manifest that deploy renders")
    return document


def decision_of(record: Record) -> dict[str, Any]:
    """The decision, with the evidence of every look."""
    return finite(
        {
            "outcome": record.outcome,
            "reason": record.reason,
            "rollout_id": record.rollout_id,
            "name": record.name,
            "namespace": record.namespace,
            "mode": record.mode,
            "package_digest": record.digest,
            "stable_digest": record.stable_digest,
            "plan": record.plan,
            "smoke": record.smoke,
            "shadow": record.shadow,
            "looks": list(record.looks),
            "timeline": [event.model_dump(mode="json") for event in record.timeline],
        }
    )


def _write(decision: Artifact, report: Artifact, record: Record) -> None:
    with publish(decision.path) as path:
        path.write_text(json.dumps(decision_of(record), indent=2, ensure_ascii=False), encoding="utf-8")
    kept = {"outcome": record.outcome, "rollout_id": record.rollout_id, "package_digest": record.digest}
    describe(decision, {**kept, "name": record.name, "namespace": record.namespace, "reason": record.reason})
    write_report(report, record)
