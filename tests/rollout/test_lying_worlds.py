"""Lying answers x states: the traffic is where the plan or `on_error` says, and nothing ends with a traceback."""

from collections.abc import Callable, Iterator

import pytest

from kubeline.errors import KubelineError, PlatformError
from kubeline.rollout.clock import Clock
from kubeline.rollout.routers import predictor_digest
from kubeline.rollout.status import RETURNING, SHARING, RolloutStatus, State
from tests.rollout.liar import LIES
from tests.rollout.lying_world import Moment, World, world
from tests.support.misbehaving_servers import dripping

AFTER = frozenset({State.PROMOTING, State.VERIFYING})  # there is no way back
BESIDE = [
    State.AWAITING_READINESS,
    State.SMOKE_TESTING,
    State.SHIFTING,
    State.BAKING,
    State.ANALYZING,
    State.AWAITING_APPROVAL,
    State.CUTTING_OVER,
]
STATES = [State.DEPLOYING, *BESIDE, *sorted(AFTER), *sorted(RETURNING)]
OF_SERVICES, OF_RECORDS, OF_ALL = "inferenceservices", "configmaps", "/"


@pytest.fixture(scope="module")
def lied_to(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """In Knative mode, unless a test names another one."""
    with world(tmp_path_factory.mktemp("world"), getattr(request, "param", "knative")) as made:
        yield made


@pytest.fixture(scope="module")
def moments(lied_to: World) -> dict[State, Moment]:
    found = lied_to.moments()
    scaling = {State.SCALING} if lied_to.follower.mode == "standard" else set()
    assert set(found) == set(STATES) | {State.HELD} | scaling
    return found


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


IN_STANDARD_MODE = pytest.mark.parametrize("lied_to", ["standard"], indirect=True)


def lie_in(lied_to: World, lie: str, about: str, state: State) -> Callable[[RolloutStatus], None]:
    """Answers are falsified from now on, until the rollout has left the state."""
    lied_to.liar.lie, lied_to.liar.about = LIES[lie], about

    def listen(record: RolloutStatus) -> None:
        if record.state != state:
            lied_to.liar.lie = None

    return listen


MODES_AND_LIES = [
    *(("knative", lie) for lie in LIES if lie != "404"),
    *(("standard", lie) for lie in ("a web page", "null", "misshapen", "403", "404 of a proxy")),
]


@pytest.mark.parametrize(("lied_to", "lie"), MODES_AND_LIES, indirect=["lied_to"])
def test_a_lie_about_the_service_leads_in_each_state_to_what_on_error_says(
    lie: str, lied_to: World, moments: dict[State, Moment]
) -> None:
    for state in STATES:
        moment = moments[state]
        kept = lied_to.restore(moment)
        listen = lie_in(lied_to, lie, OF_SERVICES, state)
        stable = predictor_digest(moment.record.versions.before.predictor)
        before = lied_to.service()["spec"]
        if state == State.DEPLOYING:
            with pytest.raises(KubelineError):
                lied_to.drive(kept, listen)
            assert lied_to.service()["spec"] == before
        elif state in RETURNING:
            with pytest.raises(PlatformError, match="THE ROLLBACK OF default/flights FAILED"):
                lied_to.drive(kept, listen)
            assert (lied_to.record().state, lied_to.record().resume) == (State.FAILED, state)
        elif state in AFTER:
            record = lied_to.drive(kept, listen)
            assert (record.outcome, record.resume) == ("held", state)
            assert lied_to.service()["spec"] == before
        else:
            record = lied_to.drive(kept, listen)
            assert (state, record.outcome) == (state, "rolled_back")
            assert predictor_digest(lied_to.service()["spec"]["predictor"]) == stable
            assert lied_to.share() is None
        assert lied_to.liar.lies > 0


@IN_STANDARD_MODE
@pytest.mark.parametrize("about", ["httproutes", "pods", "deployments"])
def test_a_lie_about_what_is_read_beside_the_service_leads_to_what_on_error_says(
    about: str, lied_to: World, moments: dict[State, Moment]
) -> None:
    for state, lie in (
        (State.SCALING, "403"),
        (State.AWAITING_READINESS, "a web page"),
        (State.SCALING, "no metadata"),
    ):
        kept = lied_to.restore(moments[state])
        record = lied_to.drive(kept, lie_in(lied_to, lie, about, state))
        assert (record.outcome, lied_to.share()) == ("rolled_back", None)
        assert lied_to.liar.lies > 0


@pytest.mark.parametrize("lie", ["a web page", "422", "403"])
def test_where_the_plan_says_hold_a_lie_leaves_the_traffic_as_it_is(
    lie: str, lied_to: World, moments: dict[State, Moment]
) -> None:
    for state in BESIDE:
        kept = lied_to.restore(moments[state])
        before = lied_to.service()["spec"]
        record = lied_to.drive(kept, lie_in(lied_to, lie, OF_SERVICES, state), on_error="hold")
        assert (record.outcome, record.resume) == ("held", state)
        assert lied_to.service()["spec"] == before


@pytest.mark.parametrize("about", [OF_SERVICES, OF_RECORDS, OF_ALL])
@pytest.mark.parametrize("lie", ["a web page", "no connection", "401", "403", "404 of a proxy", "422"])
def test_what_passes_in_time_is_waited_for(lie: str, about: str, lied_to: World, moments: dict[State, Moment]) -> None:
    for state in (State.DEPLOYING, State.SHIFTING, State.BAKING, State.PROMOTING, State.WITHDRAWING):
        kept = lied_to.restore(moments[state])
        lied_to.liar.lie, lied_to.liar.about = LIES[lie], about

        class Patient(Clock):
            def sleep(self, seconds: float) -> None:
                if lied_to.liar.lies > 3:
                    lied_to.liar.lie = None
                super().sleep(seconds)

        record = lied_to.drive(kept, clock=Patient(), outage_seconds=60)
        assert record.outcome == ("rolled_back" if state == State.WITHDRAWING else "promoted")
        assert lied_to.liar.lies > 3


@pytest.mark.parametrize("lie", ["a web page", "403", "422", "404 of a proxy", "the record is gone"])
def test_a_record_that_cannot_be_written_keeps_no_traffic_at_the_candidate(
    lie: str, lied_to: World, moments: dict[State, Moment]
) -> None:
    for state in sorted(SHARING & set(STATES)):
        kept = lied_to.restore(moments[state])
        had = lied_to.share()
        if lie == "the record is gone":
            lied_to.delete_record()
        else:
            lie_in(lied_to, lie, OF_RECORDS, state)
        with pytest.raises(PlatformError, match=r"cannot be recorded .* has been given 0 %"):
            lied_to.drive(kept)
        assert lied_to.share() == 0
        if lie == "the record is gone":
            continue
        lied_to.liar.lie = None
        record = lied_to.drive(kept)
        assert record.outcome == ("rolled_back" if had else "promoted")
        assert not had or record.reason.startswith("a step that was cancelled, or could store no status")


def test_a_service_that_is_said_to_be_gone_is_believed_only_after_the_outage(
    lied_to: World, moments: dict[State, Moment]
) -> None:
    for state in BESIDE:
        kept = lied_to.restore(moments[state])
        record = lied_to.drive(kept, lie_in(lied_to, "404", OF_SERVICES, state))
        assert (record.outcome, record.resume) == ("held", state)
        assert "was deleted" in record.reason


@pytest.mark.parametrize("lied_to", ["knative", "standard"], indirect=True)
def test_a_service_that_someone_deletes_and_creates_anew_is_not_taken_for_the_one_before(
    lied_to: World, moments: dict[State, Moment]
) -> None:
    for state in (State.DEPLOYING, State.SHIFTING, State.VERIFYING, State.WITHDRAWING):
        kept = lied_to.restore(moments[state])
        lied_to.create_anew()
        record = lied_to.drive(kept)
        assert (record.outcome, record.resume) == ("held", state)
        assert record.reason == "the InferenceService was deleted, and created anew by someone else"


@pytest.mark.parametrize("anew", [False, True])
def test_what_is_deleted_with_its_record_is_said_to_be_gone_and_no_failed_rollback(
    anew: bool, lied_to: World, moments: dict[State, Moment]
) -> None:
    for state in (State.BAKING, State.VERIFYING, State.RESTORING):
        kept = lied_to.restore(moments[state])
        lied_to.create_anew()
        if not anew:
            lied_to.delete_service()
        lied_to.delete_record()
        with pytest.raises(
            PlatformError, match=r"was deleted.* nothing is left of the rollout, start another one"
        ) as caught:
            lied_to.drive(kept)
        assert "0 %" not in str(caught.value)


@pytest.mark.parametrize("lie", ["a web page", "403", "no connection"])
def test_where_nothing_can_be_done_any_more_that_is_said(
    lie: str, lied_to: World, moments: dict[State, Moment]
) -> None:
    for state in (State.SHIFTING, State.ANALYZING, State.CUTTING_OVER, State.WITHDRAWING, State.SETTLING):
        kept = lied_to.restore(moments[state])
        lie_in(lied_to, lie, OF_ALL, state)
        with pytest.raises(PlatformError, match=r"THE ROLLBACK .* FAILED and the candidate .* may still have traffic"):
            lied_to.drive(kept, ready_seconds=0.01)


def test_a_drip_ends_with_the_time_of_the_request(lied_to: World, moments: dict[State, Moment]) -> None:
    kept = lied_to.restore(moments[State.BAKING])
    listen = lie_in(lied_to, "403", OF_SERVICES, State.BAKING)
    lied_to.liar.lie = dripping(b"HTTP/1.1 200 OK\r\n\r\n{", pause=0.5)
    record = lied_to.drive(kept, listen, cluster=lied_to.client(2.0))
    assert record.outcome == "rolled_back"
    assert "no whole answer within 2 s" in record.reason
