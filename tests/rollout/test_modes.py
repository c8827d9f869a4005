"""What the traps of KServe's two modes look like, and that none of them is believed."""

from typing import Any

from kubeline.rollout.inference_service import merge
from kubeline.rollout.modes import Sides, World, knative, standard
from kubeline.rollout.modes.observed import replacing

CANDIDATE = {"minReplicas": 2, "maxReplicas": 9, "model": {"storageUri": "s3://b", "modelFormat": {"name": "kubeline"}}}
STABLE = {"minReplicas": 4, "model": {"storageUri": "s3://a", "modelFormat": {"name": "kubeline"}}, "timeout": 5}
SIDES = Sides(candidate=CANDIDATE, stable=STABLE, stable_revision="f-1", candidate_name="v2")


def service(predictor: dict[str, Any] = STABLE, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": "f", "namespace": "n", "generation": 1}
    return {"metadata": meta, "spec": {"predictor": predictor, **spec}, "status": status or {}}


def revisions(created: str, ready: str, *traffic: tuple[str, int]) -> World:
    targets = [
        {"revisionName": name, "percent": percent, "latestRevision": n == 0}
        for n, (name, percent) in enumerate(traffic)
    ]
    component = {"latestCreatedRevision": created, "latestReadyRevision": ready, "traffic": targets}
    return World(service(status={"components": {"predictor": component}}))


def route(**weights: int) -> dict[str, Any]:
    backends = [{"name": name.replace("_", "-"), "weight": weight} for name, weight in weights.items()]
    return {"metadata": {"name": "f"}, "spec": {"rules": [{"backendRefs": backends}]}}


def test_while_a_revision_is_not_ready_ten_per_cent_of_the_latest_are_the_stable_one_s() -> None:
    seen = knative.observe(revisions("f-2", "f-1", ("f-1", 10), ("f-1", 90)), SIDES)
    assert (seen.ready, seen.share, seen.stable_share) == (False, 0, 100)


def test_a_ready_revision_has_the_share_that_the_route_reports() -> None:
    seen = knative.observe(revisions("f-2", "f-2", ("f-2", 10), ("f-1", 90)), SIDES)
    assert (seen.ready, seen.share, seen.revision) == (True, 10, "f-2")


def test_the_stable_revision_is_never_taken_for_a_ready_candidate() -> None:
    seen = knative.observe(revisions("f-1", "f-1", ("f-1", 100)), SIDES)
    assert (seen.ready, seen.revision) == (False, "")


def test_a_share_that_does_not_add_up_is_not_known() -> None:
    assert knative.observe(revisions("f-2", "f-2", ("f-2", 10)), SIDES).share is None


def test_a_knative_service_is_reached_at_an_address_outside_once_kserve_is_ready() -> None:
    def unreached(url: str, ready: str) -> str:
        conditions = [{"type": "Ready", "status": ready}]
        return knative.observe(World(service(status={"url": url, "conditions": conditions})), SIDES).unreached

    assert unreached("http://f.n.example.com", "True") == ""
    assert "not say that it is ready at f.n.example.com" in unreached("http://f.n.example.com", "Unknown")
    assert "f.n.svc.cluster.local is one inside" in unreached("http://f.n.svc.cluster.local", "True")
    assert unreached("", "True") == "it has no address"


def test_a_standard_service_is_reached_by_its_own_route_once_the_gateway_has_accepted_it() -> None:
    def named(name: str, *accepted: str) -> dict[str, Any]:
        parents = [{"conditions": [{"type": "Accepted", "status": status}]} for status in accepted]
        return {**route(f_predictor=1), "metadata": {"name": name}, "status": {"parents": parents}}

    def unreached(*routes: dict[str, Any]) -> str:
        return standard.observe(World(service(), routes), SIDES).unreached

    assert unreached(named("f", "True")) == ""
    for routes in ((), (named("f-predictor", "True"),)):
        assert unreached(*routes) == "there is no HTTPRoute f, nor an Ingress that this service account may get"
    for parents in ((), ("False",), ("True", "False")):
        assert unreached(named("f", *parents)) == "the gateway has not accepted the HTTPRoute f"


def test_where_there_is_only_an_ingress_nothing_else_is_asked_for() -> None:
    assert standard.observe(World(service(), None), SIDES).unreached == ""
    assert standard.observe(World(service(), [], ingress={"metadata": {"name": "f"}}), SIDES).unreached == ""


def test_a_canary_status_that_claims_twenty_is_not_believed_over_the_route() -> None:
    status = {"canaryStatuses": [{"name": "v2", "ready": True, "trafficPercent": 20}]}
    world = World(
        service(status=status, canary=[{"predictor": {"name": "v2"}, "trafficPercent": 20}]), [route(f_predictor=1)]
    )
    assert standard.observe(world, SIDES).share == 0


def test_weights_are_shares_of_their_sum_and_routes_must_agree() -> None:
    weighted = route(f_predictor=3, f_v2_predictor=1)
    assert standard.observe(World(service(), [weighted]), SIDES).share == 25
    assert standard.observe(World(service(), [weighted, route(f_predictor=1)]), SIDES).share is None
    assert standard.observe(World(service(), []), SIDES).share is None


def test_a_canary_has_pods_before_it_has_traffic_and_no_autoscaling() -> None:
    entry = standard.start(service(), SIDES, ahead=5)["spec"]["canary"][0]
    assert entry["trafficPercent"] == 0
    assert entry["predictor"]["minReplicas"] == 1
    assert "maxReplicas" not in entry["predictor"]
    assert entry["predictor"]["model"]["name"] == ""  # the CRD wants it
    assert standard.shift(service(), SIDES, 50, ahead=100)["spec"]["canary"][0]["predictor"]["minReplicas"] == 4


def test_promotion_in_standard_mode_is_one_patch_of_name_model_and_canary() -> None:
    promoted = merge(service(canary=[{}]), standard.promote(service(canary=[{}]), SIDES))
    assert promoted["spec"] == {"predictor": {**CANDIDATE, "name": "v2"}}


def test_the_stable_predictor_comes_back_without_traffic_until_it_is_ready() -> None:
    patched = merge(service(CANDIDATE), knative.restore(service(CANDIDATE), SIDES))
    assert patched["spec"]["predictor"] == {**STABLE, "canaryTrafficPercent": 0}


def test_a_cluster_that_cannot_split_is_told_why() -> None:
    routes = [route(f_predictor=1)]
    assert standard.refusal(World(service(), routes), SIDES) == ""
    assert "no Gateway API" in standard.refusal(World(service(), None), SIDES)
    assert "enableGatewayApi" in standard.refusal(World(service(), []), SIDES)
    assert "minReplicas 0" in standard.refusal(World(service({**STABLE, "minReplicas": 0}), routes), SIDES)
    assert "storage URI" in standard.refusal(World(service(CANDIDATE), routes), SIDES)
    foreign = service(canary=[{"predictor": {"name": "theirs"}}])
    assert "theirs" in standard.refusal(World(foreign, routes), SIDES)


def test_a_replacing_patch_leaves_exactly_what_is_wanted() -> None:
    live = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    wanted = {"b": {"c": 4}, "e": [2], "f": {}}
    assert merge(live, replacing(live, wanted)) == wanted
