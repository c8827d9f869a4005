"""The recorder of the embedded KServe, when the watch of one kind is far behind those of others."""

import pytest

from tests.embedded_kserve.packages import Packages
from tests.embedded_kserve.recorder import Recorder
from tests.embedded_kserve.shown import Facet, histories
from tests.embedded_kserve.world import World, condition
from tests.support.recordings import World as Recorded

pytestmark = pytest.mark.slow

KNATIVE_SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
ROUTES_READY = Facet("KnativeService", "told-predictor", "RoutesReady")


def test_what_a_watch_tells_late_is_recorded_where_it_happened(knative: World, packages: Packages) -> None:
    knative.cluster.faults.add("slow", verb="watch", resource="services", times=0, seconds=0.3)
    with Recorder(knative.cluster, "default").running() as recorder, knative.service("told", packages.first) as service:
        recorder.wait(lambda world: ready(world, "told"), lambda world: f"never ready: {world}")
        recorder.forget()
        service.change({"metadata": {"labels": {"a": "1"}}})
        service.wait(lambda d: d["status"]["components"]["predictor"]["latestReadyRevision"] == "told-predictor-00002")
        _, live = service.api.get(f"{KNATIVE_SERVICES}/told-predictor")
        recorder.catch_up()
        told = recorder.world().find("Service", "told-predictor", "serving.knative.dev")
        before, *after = histories(recorder.recording("told"))[ROUTES_READY]
    assert told is not None
    assert int(told["metadata"]["resourceVersion"]) >= int(live["metadata"]["resourceVersion"])
    assert before == ("True", "", "")  # and nothing of how it became so
    assert ("Unknown", "RevisionMissing", "") not in after


def ready(world: Recorded, name: str) -> bool:
    found = world.find("InferenceService", name)
    return found is not None and condition(found, "Ready") == "True"
