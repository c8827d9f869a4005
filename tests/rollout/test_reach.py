"""What a gateway that asks for a token, a proxy or a mesh forbids is one sentence before anything is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import UserError
from kubeline.rollout.analysis.metrics import Addresses
from kubeline.rollout.analysis.pages import addresses
from kubeline.rollout.probes.reach import check_page, check_reach
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import DeploymentMode, Lease, RolloutStatus
from tests.rollout.house import PASS, House
from tests.support.misbehaving_servers import Talk, answer, lying, saying
from tests.support.waiting import wait_for

RESET = saying()  # what Istio's sidecar does with a plain connection under STRICT
MESH = "ends the connection without an answer, as a mesh with strict mTLS does"


@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_behind_a_gateway_that_asks_for_a_token_a_rollout_shows_it_or_is_refused(house: House, tmp_path: Path) -> None:
    house.stable()
    before, token = house.service(), tmp_path / "token"
    token.write_text("open-sesame\n")
    house.kserve.faults.gateway_token("open-sesame")
    wait_for(lambda: house.ask() == 401)  # Envoy takes it up a moment later
    with pytest.raises(UserError, match=r"asks for a token; give smoke.token_file or smoke.token_env \(status 401\)"):
        house.roll_out(house.package("good"))
    assert house.service()["spec"] == before["spec"]
    record = house.roll_out(house.package("good"), PASS, smoke={"token_file": str(token), "max_latency_ms": 0})
    assert (record.outcome, record.smoke and record.smoke.passed) == ("promoted", True)


def asked(url: str, **plan: Any) -> None:
    """The check of a model at this address, from inside the cluster in Standard mode."""
    spec = RolloutSpec.read({"metrics": None, "strategy": "blue-green", **plan})
    where = {"name": "flights", "namespace": "models", "mode": DeploymentMode.STANDARD}
    status = RolloutStatus(rollout_id="id", lease=Lease("us", 0.0), spec=spec, **where)  # type: ignore[arg-type]
    check_reach(None, status, spec, {"status": {"address": {"url": url}}}, "")  # type: ignore[arg-type]


def page(url: str, **plan: Any) -> None:
    """The check of a metrics page."""
    check_page(RolloutSpec.read({"metrics": {"source": "scrape", **plan}}), Addresses((f"{url}/metrics",)))


@pytest.mark.parametrize(
    ("check", "talk", "sentence"),
    [
        (asked, RESET, f"{MESH} with a plain one: let the steps' pods be in the mesh"),
        (page, RESET, f"{MESH} with a plain one: annotate the service with prometheus.io/scrape, port and path"),
        (
            asked,
            answer(b"", "403 Forbidden"),
            r"asks for a token; give smoke.token_file or smoke.token_env \(status 403\)",
        ),
        (
            page,
            answer(b"", "401 Unauthorized"),
            r"asks for a token; give metrics.token_file or .token_env \(status 401\)",
        ),
    ],
)
def test_what_is_forbidden_is_one_sentence(check: Callable[[str], None], talk: Talk, sentence: str) -> None:
    with lying(talk) as url, pytest.raises(UserError, match=sentence):
        check(url)


def test_a_token_that_is_refused_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    with lying(answer(b"", "401 Unauthorized")) as url:
        with pytest.raises(UserError, match=r"refuses the token in /.*token \(status 401\)"):
            asked(url, smoke={"token_file": str(tmp_path / "token")})
        with pytest.raises(UserError, match=r"page .*/metrics refuses the token in /.*token \(status 401\)"):
            page(url, token_file=str(tmp_path / "token"))


@pytest.mark.parametrize("talk", [answer(b"", "404 Not Found"), answer(b"", "503 Unavailable"), answer(b"x", length=9)])
def test_what_may_pass_is_no_reason_to_refuse(talk: Talk) -> None:
    with lying(talk) as url:
        asked(url)
        page(url)
    asked("http://127.0.0.1:1")


def test_in_a_mesh_the_page_is_that_of_the_sidecar() -> None:
    annotations = {
        "sidecar.istio.io/status": "{}",
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "15020",
        "prometheus.io/path": "/stats/prometheus",
        "prometheus.kserve.io/port": "8080",
    }
    ready = {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}

    def pages(annotations: dict[str, str]) -> tuple[str, ...]:
        pod = {"metadata": {"name": "p", "annotations": annotations}, "status": ready}
        return addresses([pod], "models", "", "").pages

    assert pages(annotations) == ("http://10.0.0.7:15020/stats/prometheus",)
    del annotations["sidecar.istio.io/status"]
    assert pages(annotations) == ("http://10.0.0.7:8080/metrics",)
