"""Behind OpenShift's Route: its weights are observed, and a promoted model's predictor never gets a name."""

from dataclasses import replace
from typing import Any

import pytest

from kubeline.errors import UserError
from kubeline.kubernetes.merge import merge
from kubeline.kubernetes.resources import OPENSHIFT_ROUTE
from kubeline.rollout.actions import Action, Context, Patch, Transition, Wait
from kubeline.rollout.machine import decide
from kubeline.rollout.routers import EXPOSED, ClusterSnapshot, Observation, OpenShiftRouter, mode_of
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import (
    DeployedModel,
    DeploymentMode,
    Lease,
    RolloutStatus,
    State,
    Versions,
    WriteStatus,
)
from tests.rollout.house import FAIL, NAMESPACE, PASS, House, users
from tests.rollout.statuses import shares, states

openshift = OpenShiftRouter()
BEFORE = {"model": {"storageUri": "s3://a", "env": [{"name": "KUBELINE_PACKAGE_DIGEST", "value": "a" * 64}]}}
AFTER = {"model": {"storageUri": "s3://b", "env": [{"name": "KUBELINE_PACKAGE_DIGEST", "value": "b" * 64}]}}
VERSIONS = Versions(
    DeployedModel(AFTER, "b" * 64, name="v2"), DeployedModel(BEFORE, "a" * 64, revision="f-predictor"), stable_pods=2
)
LABELLED = {"metadata": {"labels": EXPOSED}}


def service(predictor: dict[str, Any] = BEFORE, share: int | None = None, **spec: Any) -> dict[str, Any]:
    canary = [{"predictor": {**AFTER, "name": "v2", "minReplicas": 2}, "trafficPercent": share}]
    beside = {} if share is None else {"canary": canary}
    meta = {"name": "f", "namespace": "models", "labels": EXPOSED}
    return {"metadata": meta, "spec": {"predictor": predictor, **beside, **spec}, "status": {}}


def route(admitted: str = "True", **weights: int) -> dict[str, Any]:
    """A Route to these Services, the first one as its target."""
    to, *others = ({"name": name.replace("_", "-"), "weight": weight} for name, weight in weights.items())
    condition = {"type": "Admitted", "status": admitted, "reason": "HostAlreadyClaimed", "message": "by another"}
    status = {"ingress": [{"conditions": [condition]}]}
    return {
        "kind": "Route",
        "metadata": {"name": "f"},
        "spec": {"to": to, "alternateBackends": others},
        "status": status,
    }


def pod(workload: str, predictor: dict[str, Any]) -> dict[str, Any]:
    """One that is ready."""
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": f"{workload}-1"}, "spec": {"containers": [predictor["model"]]}, "status": status}


def seen(live: dict[str, Any], there: dict[str, Any], *pods: dict[str, Any]) -> int | None:
    return openshift.observe(ClusterSnapshot(live, [there], pods), VERSIONS).share


def test_a_service_in_standard_mode_with_the_label_is_behind_a_route() -> None:
    live = merge(service(), {"status": {"deploymentMode": "RawDeployment"}})
    assert mode_of(live) is DeploymentMode.OPENSHIFT
    assert mode_of(merge(live, {"metadata": {"labels": dict.fromkeys(EXPOSED, "cluster-local")}})) == "standard"


def test_weights_of_0_to_256_are_shares_of_their_sum_and_the_default_is_100() -> None:
    live = service(share=25)
    assert seen(live, route(f_predictor=192, f_v2_predictor=64)) == 25
    default = route(f_predictor=100, f_v2_predictor=100)
    del default["spec"]["alternateBackends"][0]["weight"]
    assert seen(live, default) == 50
    assert seen(live, route(f_predictor=0, f_v2_predictor=0)) is None
    assert seen(live, route(f_v2_predictor=75, f_v3_predictor=25)) == 75  # the Route leads to the candidate itself


def test_a_route_that_no_router_has_admitted_gives_nobody_a_share() -> None:
    refused = ClusterSnapshot(service(), [route("False", f_predictor=100)])
    assert openshift.observe(refused, VERSIONS).share is None
    sentence = "the router has not admitted the Route f (HostAlreadyClaimed: by another)"
    assert openshift.observe(refused, VERSIONS).problem == openshift.refusal(refused, VERSIONS) == sentence


def test_the_canary_goes_only_when_all_stable_pods_serve_its_package() -> None:
    live = service(share=100)
    live = merge(live, openshift.replace(live, VERSIONS))
    assert live["spec"]["predictor"]["minReplicas"] == 4  # KServe takes the canary's two off
    everything = route(f_predictor=0, f_v2_predictor=100)
    new, old = pod("f-predictor", AFTER), pod("f-predictor", BEFORE)
    for pods, replaced in (([old, old], False), ([new, old], False), ([new], False), ([new, new], True)):
        observed = openshift.observe(ClusterSnapshot(live, [everything], pods), VERSIONS)
        assert (observed.share, observed.replaced) == (100, replaced)
    promoted = merge(live, openshift.promote(live, VERSIONS))["spec"]
    assert promoted == {"predictor": AFTER}


def test_without_a_canary_the_share_is_that_of_the_package_that_the_pods_serve() -> None:
    alone, new, old = route(f_predictor=100), pod("f-predictor", AFTER), pod("f-predictor", BEFORE)
    assert seen(service(AFTER), alone, new) == 100
    assert seen(service(AFTER), alone, new, old) is None
    assert seen(service(BEFORE), alone, old) == 0
    assert seen(service(BEFORE), alone, new, old) is None  # an operator aborted while the pods were replaced


def test_a_rollout_that_is_aborted_while_the_pods_are_replaced_puts_the_whole_predictor_back() -> None:
    live = service(share=100)
    live = merge(live, openshift.replace(live, VERSIONS))
    assert merge(live, openshift.restore(live, VERSIONS))["spec"] == {"predictor": BEFORE}


@pytest.mark.parametrize(
    ("routes", "live", "sentence"),
    [
        (
            None,
            service(),
            "this cluster has no Route API (route.openshift.io); on another platform take the label away",
        ),
        ([], service(), "the service has no Route, which the controller of OpenShift AI"),
        ([route(f_predictor=100)], service(transformer={}), ""),
        ([route(f_predictor=100)], service(transformer={"containers": []}), "leads to the transformer"),
        ([route(f_predictor=100)], service({**BEFORE, "name": "v1"}), "the stable predictor has the name 'v1'"),
        ([route(f_predictor=100)], service({**BEFORE, "minReplicas": 0}), "minReplicas 0"),
        ([route(f_predictor=100)], service(), ""),
    ],
)
def test_where_a_route_cannot_split_the_reason_is_one_sentence(
    routes: Any, live: dict[str, Any], sentence: str
) -> None:
    refusal = openshift.refusal(ClusterSnapshot(live, routes), VERSIONS)
    assert sentence in refusal
    assert bool(sentence) == bool(refusal)


def test_a_candidate_behind_a_proxy_that_asks_for_a_token_is_asked_there() -> None:
    def address(live: dict[str, Any]) -> str:
        return openshift.observe(ClusterSnapshot(live, [route(f_predictor=100)]), VERSIONS).candidate_url

    assert address(service()) == "http://f-v2-predictor.models.svc.cluster.local"
    asking = merge(service(), {"metadata": {"annotations": {"security.opendatahub.io/enable-auth": "true"}}})
    assert address(asking) == "https://f-v2-predictor.models.svc.cluster.local:8443"


def test_of_two_rollouts_with_one_package_the_specification_says_which_has_taken_place() -> None:
    other = {**AFTER, "minReplicas": 1, "nodeSelector": {"pool": "new"}}
    same = replace(VERSIONS, candidate=DeployedModel(other, "b" * 64, name="v2"), stable=DeployedModel(AFTER, "b" * 64))
    alone = [route(f_predictor=100)]
    assert openshift.observe(ClusterSnapshot(service(AFTER), alone), same).share == 0
    assert openshift.observe(ClusterSnapshot(service(other), alone), same).share == 100


def test_pods_that_do_not_take_up_the_package_hold_the_rollout_with_everything_at_the_candidate() -> None:
    live, spec = service(share=100), RolloutSpec.read({"ready_seconds": 60})
    status = RolloutStatus(
        rollout_id="r",
        name="f",
        namespace="models",
        lease=Lease("me", 0),
        versions=VERSIONS,
        mode=DeploymentMode.OPENSHIFT,
        state=State.REPLACING,
        entered=1000.0,
    )

    def decided(time: float, written: bool = True, replaced: bool = False) -> Action:
        write = WriteStatus(completed=status.key if written else "")
        return decide(
            Context(replace(status, write=write), spec, live, Observation(share=100, replaced=replaced), time)
        )

    first = decided(1000.0, written=False)
    assert isinstance(first, Patch)
    assert "canary" not in first.body["spec"]
    assert isinstance(decided(1059.0), Wait)
    late, over = decided(1061.0), decided(1059.0, replaced=True)
    assert isinstance(late, Transition)
    assert (late.status.state, late.status.resume) == (State.HELD, State.REPLACING)
    assert isinstance(over, Transition)
    assert over.status.state is State.PROMOTING


@pytest.mark.parametrize("house", ["openshift"], indirect=True)
def test_candidates_are_promoted_one_after_another_and_a_bad_one_goes_back_without_a_lost_request(house: House) -> None:
    with pytest.raises(UserError, match="exposes its first model by a Route before that has passed"):
        house.roll_out(house.package("first"), overrides=LABELLED, bootstrap="hidden")
    assert house.roll_out(house.package("first"), overrides=LABELLED).outcome == "promoted"
    with users(house) as codes:
        for name in ("second", "third"):
            record = house.roll_out(house.package(name), PASS, overrides=LABELLED, steps=[50])
            assert (record.outcome, house.serving()) == ("promoted", house.package(name).digest), record.reason
            assert states(record)[-5:] == ["cutting_over", "replacing", "promoting", "verifying", "completed"]
            assert shares(record) == [0, 50, 100]
            assert "name" not in house.service()["spec"]["predictor"]
        record = house.roll_out(house.package("bad"), FAIL, overrides=LABELLED, steps=[50])
    assert (record.outcome, house.serving()) == ("rolled_back", house.package("third").digest)
    assert set(codes) == {200}
    found = house.cluster.read(NAMESPACE, house.name, OPENSHIFT_ROUTE)
    assert found is not None
    assert found["spec"]["to"] == {"kind": "Service", "name": f"{house.name}-predictor", "weight": 100}
    assert "alternateBackends" not in found["spec"]
