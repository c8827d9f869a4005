"""What cannot be on Vertex AI, each in a sentence, and what Cloud Monitoring's answers are to the judge."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeline.deployment.inference_service import Service
from kubeline.deployment.vertex_endpoint import render_for
from kubeline.errors import UserError
from kubeline.rollout.analysis.metrics import Addresses, MetricsError, MetricsSpec, open_source
from kubeline.rollout.platform_plan import plan_for
from kubeline.serving_platform.endpoint_view import identifier, stable_in, view, written
from kubeline.serving_platform.opening import namespace_at, open_platform
from tests.support.google_cloud import GoogleServer, use
from tests.support.json_servers import Json, served

VERTEX = "vertex://team/europe-west4?store=gs://bucket/rollouts&image=IMAGE"
FINE: dict[str, Any] = {"name": "flights", "namespace": "team/europe-west4", "storage_uri": "gs://b/m"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"resources": {"limits": {"cpu": "1"}}}, "has no pods that resources could be of"),
        ({"node_selector": {"a": "b"}}, "has no pods that node_selector could be of"),
        ({"runtime": "triton"}, "runtime 'triton' is KServe's"),
        ({"protocol": "grpc-v2"}, "by HTTP, but the protocol is grpc-v2"),
        ({"min_replicas": 0}, "at least one machine, but min_replicas is 0"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas 2 is below min_replicas 3"),
        ({"storage_uri": "s3://b/m"}, "from gs:// only, but the package lies at 's3://b/m'"),
        ({"labels": {"Team": "x"}}, "labels Team cannot be ones of Google Cloud"),
        ({"name": "1234567890"}, "'1234567890' cannot name"),
    ],
)
def test_a_deployment_that_cannot_be_there_is_refused_when_it_is_rendered(
    settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        render_for(Service(**{**FINE, "package_digest": "d" * 64, **settings}), VERTEX)


def test_an_endpoint_is_rendered_with_its_image_its_machine_and_the_digest() -> None:
    given = {"spec": {"predictor": {"machineType": "n1-standard-4", "model": {"args": ["--access_log"]}}}}
    document = render_for(Service(**FINE, package_digest="d" * 64, max_replicas=3), VERTEX, given)
    assert document["kind"] == "VertexEndpoint"
    assert document["metadata"]["annotations"] == {"kubeline.dev/package-digest": "d" * 64}
    assert document["spec"]["predictor"] == {
        "minReplicas": 1,
        "maxReplicas": 3,
        "machineType": "n1-standard-4",
        "model": {
            "storageUri": "gs://b/m",
            "image": "IMAGE",
            "protocolVersion": "v1",
            "args": ["--access_log"],
            "env": [{"name": "KUBELINE_PACKAGE_DIGEST", "value": "d" * 64}],
        },
    }
    with pytest.raises(UserError, match=r"overrides changes metadata\.name"):
        render_for(Service(**FINE, package_digest="d" * 64), VERTEX, {"metadata": {"name": "other"}})


@pytest.mark.parametrize(
    ("cluster", "sentence"),
    [
        ("vertex://team", "'vertex://team' is no place of endpoints"),
        ("vertex://team/europe-west4", "keeps its record in Cloud Storage, but store is ''"),
        ("vertex://team/europe-west4?store=s3://b", "but store is 's3://b'"),
        ("vertex://team/europe-west4?store=gs://b&endpoint=1", "has no option 'endpoint'"),
    ],
)
def test_an_address_that_is_none_says_how_one_is_written(cluster: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        open_platform(cluster)


def test_there_are_no_namespaces() -> None:
    assert namespace_at(VERTEX, "") == "team/europe-west4"
    with pytest.raises(UserError, match="has no namespaces, but 'default' was given"):
        namespace_at(VERTEX, "default")


def test_a_plan_that_the_place_does_not_allow_is_refused() -> None:
    assert getattr(plan_for(VERTEX, "", {}).metrics, "source", "") == "cloud-monitoring"
    assert plan_for(VERTEX, "", {"strategy": "blue-green", "metrics": "off"}).metrics is None
    assert getattr(plan_for("in-cluster", "", {}).metrics, "source", "") == "scrape"
    for cluster, plan, gateway, sentence in (
        (VERTEX, {"metrics": {"source": "scrape"}}, "", "shows no pods whose metrics pages could be read"),
        (VERTEX, {}, "http://gateway", "leave gateway empty"),
        (VERTEX, {"steps": [0.5, 50]}, "", "steps"),
        ("in-cluster", {"metrics": {"source": "cloud-monitoring"}}, "", "but the model goes to a cluster"),
    ):
        with pytest.raises(UserError, match=sentence):
            plan_for(cluster, "", plan, gateway)


def test_an_endpoint_says_what_it_is_specified_to_be() -> None:
    stable, candidate = {"name": "a"}, {"name": "b"}
    known = {identifier(one): one for one in (stable, candidate)}
    one, two = known
    endpoint: Json = {"deployedModels": [{"id": one}, {"id": two}], "trafficSplit": {one: 100}, "labels": {"x": "y"}}
    with pytest.raises(UserError, match="split among 2 deployed models, none of them by a rollout"):
        stable_in({"trafficSplit": {one: 50, two: 50}})
    found = view("flights", "team/europe-west4", endpoint, None, known.__getitem__)
    assert found["spec"] == {"predictor": stable}
    found["spec"]["canary"] = [{"predictor": candidate, "trafficPercent": 30}]
    fields = written(found, endpoint)
    assert fields == {
        "labels": {"x": "y", "kubeline-stable": one, "kubeline-candidate": two},
        "trafficSplit": {one: 70, two: 30},
    }
    again = view("flights", "team/europe-west4", {**endpoint, **fields}, None, known.__getitem__)
    assert again["spec"] == found["spec"]
    edited = {**endpoint, **fields, "trafficSplit": {one: 60, two: 30, "7": 10}}
    assert view("flights", "p", edited, None, known.__getitem__)["spec"]["others"] == {"7": 10}
    stopped = {**endpoint, **fields, "trafficSplit": {}}
    assert view("flights", "p", stopped, None, known.__getitem__)["spec"]["stopped"]


class Monitoring(GoogleServer):
    """Answers with what a test wants, for each metric."""

    def __init__(self) -> None:
        super().__init__()
        self.series: dict[str, list[Json]] = {}

    def serve(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        del method, path, body
        metric = query["filter"].split('"')[1].rpartition("/")[2]
        found = self.series.get(metric, [])
        at = int(query.get("pageToken", "0"))
        return {"timeSeries": found[at : at + 1], **({"nextPageToken": str(at + 1)} if at + 1 < len(found) else {})}


@pytest.fixture
def monitoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitoring]:
    made = Monitoring()
    with served(made) as url:
        use(url, ("monitoring",), tmp_path, monkeypatch)
        yield made


def series(labels: dict[str, str], *values: tuple[int, Json]) -> Json:
    """Points of the minutes since 2026-01-01T00:00Z."""
    points = [
        {
            "interval": {"startTime": f"2026-01-01T00:{at:02}:00Z", "endTime": f"2026-01-01T00:{at + 1:02}:00Z"},
            "value": v,
        }
        for at, v in values
    ]
    return {"metric": {"labels": labels}, "points": points}


BEGUN = {"time": 1767225630.0}  # 2026-01-01T00:00:30Z


def test_minutes_that_began_in_the_step_are_counted_by_deployed_model(monitoring: Monitoring) -> None:
    latencies = {
        "bucketOptions": {"explicitBuckets": {"bounds": [1000, 2000]}},
        "bucketCounts": ["1", "2", "3"],
    }
    monitoring.series = {
        "response_count": [
            series(
                {"deployed_model_id": "1", "response_code": "200"}, (0, {"int64Value": "50"}), (1, {"int64Value": "7"})
            ),
            series({"deployed_model_id": "1", "response_code": "503"}, (2, {"int64Value": "2"})),
            series({"deployed_model_id": "2", "response_code": "200"}, (1, {"int64Value": "90"})),
        ],
        "prediction_latencies": [
            series(
                {"deployed_model_id": "1"}, (1, {"distributionValue": latencies}), (2, {"distributionValue": latencies})
            )
        ],
    }
    source = open_source(
        MetricsSpec(source="cloud-monitoring"),
        "flights",
        "stable",
        "new",
        Addresses((), namespace="team/l", canary="1", stable="2"),
    )
    found = source.evidence(BEGUN)
    assert (found.canary.requests, found.canary.errors) == (9, 2)
    assert found.canary.latency.bounds == pytest.approx((0.001, 0.002))
    assert found.canary.latency.counts == (2.0, 4.0, 6.0)
    assert found.stable is not None
    assert (found.stable.requests, found.stable.latency.total) == (90, 0)
    assert found.canary.predictions is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "have no buckets"),
        ({"exponentialBuckets": {"numFiniteBuckets": 10**9, "growthFactor": 2, "scale": 1}}, "or more than 1,000"),
        ({"linearBuckets": {"numFiniteBuckets": 2, "width": 5}}, "other buckets in one minute"),
        ({"explicitBuckets": {"bounds": ["x"]}}, "could not be understood"),
    ],
)
def test_latencies_that_cannot_be_compared_are_no_evidence(
    monitoring: Monitoring, options: Json, sentence: str
) -> None:
    usual = {"bucketOptions": {"explicitBuckets": {"bounds": [1]}}, "bucketCounts": ["1"]}
    wrong = {"bucketOptions": options, "bucketCounts": ["1"]}
    points = (1, {"distributionValue": usual}), (2, {"distributionValue": wrong})
    monitoring.series = {"prediction_latencies": [series({"deployed_model_id": "1"}, *points)]}
    source = open_source(
        MetricsSpec(source="cloud-monitoring"), "flights", "", "new", Addresses((), namespace="team/l", canary="1")
    )
    with pytest.raises(MetricsError, match=sentence):
        source.evidence(BEGUN)
