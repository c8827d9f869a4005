"""Rollouts in whatever cluster a kubeconfig names, with KServe in either mode.

KUBELINE_CLUSTER_KUBECONFIG   the kubeconfig; without it nothing here runs
KUBELINE_CLUSTER_NAMESPACE    where (default), with manifests/base and tests/cluster/rbac.yaml applied
KUBELINE_CLUSTER_GATEWAY      address of the ingress gateway; empty inside the cluster
KUBELINE_CLUSTER_STABLE, _GOOD, _WRONG
                              three packages as FOLDER=URI: here, and where the cluster reads the same one; the golden
                              rows of the third must not be what its model answers
"""

import os
import time
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import pytest

from kubeline.deployment.inference_service import Service, render
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.connection import connect
from kubeline.model_package import ModelPackage
from kubeline.rollout.operations import roll_back
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import RolloutStatus, State
from kubeline.rollout.step import roll_out
from kubeline.rollout.store import StatusStore

KUBECONFIG = os.environ.get("KUBELINE_CLUSTER_KUBECONFIG", "")
NAMESPACE = os.environ.get("KUBELINE_CLUSTER_NAMESPACE", "default")
NAME = "kubeline-cluster-test"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not KUBECONFIG, reason="KUBELINE_CLUSTER_KUBECONFIG names no cluster"),
    pytest.mark.timeout(3600),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster.connect(KUBECONFIG)
    yield made
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices/{NAME}"
    if made.read(NAMESPACE, NAME) is not None:
        connect(KUBECONFIG, 30.0).ask("DELETE", path)


def bring(cluster: Cluster, which: str, suffix: str = "", **plan: Any) -> RolloutStatus:
    folder, _, uri = os.environ[f"KUBELINE_CLUSTER_{which}"].partition("=")
    package = ModelPackage.open(folder)
    manifest = render(Service(NAME, NAMESPACE, storage_uri=uri + suffix, package_digest=package.digest))
    settings = {"strategy": "blue-green", "bootstrap": "direct", "poll_seconds": 1.0, **plan}
    return roll_out(
        cluster, manifest, RolloutSpec.read(settings), package, os.environ.get("KUBELINE_CLUSTER_GATEWAY", "")
    )


def test_first_then_wrong_then_good_then_back(cluster: Cluster) -> None:
    first = bring(cluster, "STABLE")
    assert first.outcome in {"promoted", "unchanged"}
    wrong = bring(cluster, "WRONG")
    assert wrong.outcome == "rolled_back"
    assert "golden rows" in wrong.reason
    good = bring(cluster, "GOOD")
    assert good.outcome == "promoted"
    assert bring(cluster, "GOOD").outcome == "promoted"  # again, and nothing is done
    assert roll_back(cluster, NAMESPACE, NAME, first.candidate.digest).startswith("promoted")


def test_a_split_is_observed_and_held_without_requests(cluster: Cluster) -> None:
    bring(cluster, "STABLE", attempt=2)
    steps: dict[str, Any] = {"strategy": "canary", "steps": [50], "bake_seconds": 1, "max_bake_seconds": 5}
    held = bring(cluster, "GOOD", attempt=2, on_inconclusive="rollback", **steps)
    assert held.outcome == "rolled_back"
    assert 50 in {event.share for event in held.timeline}


def test_a_model_that_is_never_ready_is_rolled_back(cluster: Cluster) -> None:
    stable = bring(cluster, "STABLE", attempt=3)
    never = bring(cluster, "GOOD", suffix="/no-such-folder", attempt=3, ready_seconds=60)
    assert never.outcome == "rolled_back"
    assert never.stable_digest == stable.candidate.digest


def test_a_step_that_is_killed_is_resumed_without_a_jump(cluster: Cluster) -> None:
    bring(cluster, "STABLE", attempt=4)
    steps: dict[str, Any] = {"strategy": "canary", "steps": [20, 50], "bake_seconds": 1, "max_bake_seconds": 20}
    plan = {**steps, "attempt": 4, "on_inconclusive": "rollback"}  # without requests, no analysis concludes
    step = get_context("fork").Process(target=bring, args=(cluster, "GOOD"), kwargs=plan)
    step.start()
    records = StatusStore(cluster, NAMESPACE, NAME)
    while (kept := records.read()) is None or kept.status.state != State.BAKING:
        assert step.is_alive()
        time.sleep(0.2)
    step.kill()
    step.join()
    ended = bring(cluster, "GOOD", **plan)
    assert ended.outcome == "rolled_back"
    assert max(event.share or 0 for event in ended.timeline) == 20
