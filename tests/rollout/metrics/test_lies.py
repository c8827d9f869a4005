"""Whatever a source says, there is evidence or an error of the evidence: no other exception, and no endless wait."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeline.rollout.analysis.judge import Rules, judge
from kubeline.rollout.analysis.metrics import Addresses, MetricsError, MetricsSpec, open_source
from kubeline.rollout.analysis.metrics.http import Deadline
from kubeline.rollout.analysis.metrics.sides import evidence_of
from tests.support.misbehaving_servers import Talk, answer, dripping, gushing, lying, saying

LABELS = 'model="m",version="c1",protocol="v1"'
REQUESTS = f'kubeline_requests_total{{{LABELS},code="200"}}'
LATENCY = f"kubeline_request_duration_seconds_bucket{{{LABELS}"
GOOD = f'{REQUESTS} 100\n{LATENCY},le="0.1"}} 100\n{LATENCY},le="+Inf"}} 100\n'
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

BYTES: dict[str, tuple[Talk, str]] = {
    "nothing": (saying(), "could not be read"),
    "no HTTP": (saying(b"\x00\xff\r\n\r\n"), "could not be read"),
    "401": (answer(b"", "401 Unauthorized"), "refuses this client"),
    "403": (answer(b"", "403 Forbidden"), "refuses this client"),
    "a redirect": (answer(b"", "302 Found", b"Location: http://127.0.0.1:1/\r\n"), "302"),
    "truncated": (answer(GOOD.encode(), length=10**6), "could not be read"),
    "endless": (gushing(HEADERS + b"\r\n"), "larger than"),
    "an endless header": (gushing(HEADERS + b"X: "), "could not be read"),
    "a gigabyte announced": (gushing(HEADERS + b"Content-Length: 1000000000\r\n\r\n"), "larger than"),
    "a drip": (dripping(HEADERS + b"\r\n"), "no whole answer within 0.1 s"),
    "a drip of headers": (dripping(HEADERS + b"X: "), "no whole answer within 0.1 s"),
    "a drip of chunks": (dripping(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"), "could not be read"),
    "silence": (dripping(b"", pause=60), "no whole answer within 0.1 s"),
    "compressed": (answer(gzip.compress(GOOD.encode()), headers=b"Content-Encoding: gzip\r\n"), "compressed"),
    "not UTF-8": (answer(b"\xff\xfe" * 50), "not in Prometheus' text format"),
    "HTML": (answer(b"<html><body>{Sign in}</body></html>"), "not in Prometheus' text format"),
}

PAGES = {
    "empty": ("", "counts requests to version c1"),
    "NaN": (f"{REQUESTS} NaN\n", "nan is no count"),
    "infinite": (f"{REQUESTS} +Inf\n", "inf is no count"),
    "negative": (f"{REQUESTS} -3\n", "-3 is no count"),
    "huge": (f"{REQUESTS} 1e300\n", "is no count"),
    "NaN in a bucket": (GOOD.replace('le="0.1"} 100', 'le="0.1"} NaN'), "nan is no count"),
    "a word": (f"{REQUESTS} many\n", "not in Prometheus' text format"),
    "no value": (f"{REQUESTS}\n", "not in Prometheus' text format"),
    "no end of the labels": ('kubeline_requests_total{model="m\n', "not in Prometheus' text format"),
    "JSON": (json.dumps({"requests": 1}), "not in Prometheus' text format|counts requests"),
    "twice": (f"{REQUESTS} 100\n{GOOD}", "two series of requests with the same labels"),
    "without a code": (f"kubeline_requests_total{{{LABELS}}} 100\n", "no label code"),
    "with an empty code": (f'kubeline_requests_total{{{LABELS},code=""}} 100\n', "no label code"),
    "of another model": (GOOD.replace('model="m"', 'model="x"'), "counts requests to version c1"),
    "of another version": (GOOD.replace('version="c1"', 'version="c2"'), "counts requests to version c1"),
    "a bucket without a bound": (GOOD.replace(',le="0.1"', ""), "no label le"),
    "a bound that is no number": (GOOD.replace('"0.1"', '"fast"'), "'fast', but a number"),
    "a bound of NaN": (GOOD.replace('"0.1"', '"NaN"'), "'NaN', but a number"),
    "buckets that contradict": (GOOD.replace('"+Inf"} 100', '"+Inf"} 7'), "contradict each other"),
    "buckets without an end": (GOOD.replace('"+Inf"', '"7"'), "no \\+Inf"),
    "a line of a million quotes": (
        GOOD + 'kubeline_requests_total{a="' + '\\"' * 10**6 + '"} 1\n',
        "a line of 2,000,031 characters, but at most 16,384",
    ),
    "a hundred thousand series": (
        "".join(f'kubeline_requests_total{{{LABELS},code="{n}"}} 1\n' for n in range(50_001)),
        "50,001 samples, but at most 50,000",
    ),
}


def patient(name: str = "a drip", **settings: Any) -> MetricsSpec:
    """Waits for what never comes no longer than it must, and for the rest as long as it takes."""
    return MetricsSpec(timeout_seconds=0.1 if name == "silence" or "a drip" in name else 30.0, **settings)


@pytest.mark.parametrize("name", BYTES)
def test_a_page_that_is_no_whole_page_is_an_error_of_the_evidence(name: str) -> None:
    talk, sentence = BYTES[name]
    with lying(talk) as url:
        source = open_source(patient(name), "m", "", "c1", Addresses(pages=(f"{url}/metrics",)))
        with pytest.raises(MetricsError, match=sentence):
            source.start()


@pytest.mark.parametrize(("page", "sentence"), PAGES.values(), ids=PAGES)
def test_a_page_that_lies_is_an_error_of_the_evidence(page: str, sentence: str) -> None:
    with lying(answer(page.encode())) as url:
        source = open_source(MetricsSpec(), "m", "", "c1", Addresses(pages=(f"{url}/metrics",)))
        with pytest.raises(MetricsError, match=sentence):
            source.evidence({"time": 0.0, "pages": {}})


def test_the_page_that_the_others_are_variations_of_is_right() -> None:
    with lying(answer(GOOD.encode())) as url:
        source = open_source(MetricsSpec(), "m", "", "c1", Addresses(pages=(f"{url}/metrics",)))
        assert source.evidence({"time": 0.0, "pages": {}}).canary.requests == 100


def test_many_pages_that_drip_end_with_the_time_of_the_look() -> None:
    with lying(dripping(HEADERS + b"\r\n")) as url:
        pages = tuple(f"{url}/{number}" for number in range(200))
        source = open_source(patient(), "m", "", "c1", Addresses(pages=pages))
        with pytest.raises(MetricsError, match=r"longer than 0\.6 s|no whole answer within"):
            source.start()


def success(result: Any, **more: Any) -> bytes:
    data = {"resultType": "matrix", "result": result}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def series(values: Any, **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": "x", "code": "200", **labels}, "values": values}


PROMETHEUS = {
    "HTML": (b"<html>Sign in</html>", "not as Prometheus does"),
    "nothing": (b"", "not as Prometheus does"),
    "a list": (b"[]", "not as Prometheus does"),
    "null": (b"null", "not as Prometheus does"),
    "a number": (b"7", "not as Prometheus does"),
    "no data": (b'{"status": "success"}', "not as Prometheus does"),
    "data that is null": (b'{"status": "success", "data": null}', "not as Prometheus does"),
    "brackets without end": (b"[" * 200_000, "not as Prometheus does"),
    "a warning": (success([], warnings=["remote read failed"]), r"in part only \(remote read failed\)"),
    "a partial answer": (success([], isPartial=True), "in part only"),
    "a result that is null": (success(None), "something else than samples|tell its time"),
    "a result that is a word": (success("all"), "something else than samples|tell its time"),
    "NaN": (success([series([[99, "NaN"]])]), "nan is no count"),
    "infinite": (success([series([[99, "+Inf"]])]), "inf is no count"),
    "negative": (success([series([[99, "-1"]])]), "-1 is no count"),
    "huge": (success([series([[99, "1e300"]])]), "is no count"),
    "an integer of 400 digits": (success([series([[99, 10**400]])]), "something else than samples"),
    "null as a value": (success([series([[99, None]])]), "something else than samples"),
    "NaN as a time": (success([series([[float("nan"), "1"]])]), "not in the order"),
    "a time to come": (success([series([[10**9, "1"]])]), "not in the order"),
    "times that go back": (success([series([[99, "1"], [98, "2"]])]), "not in the order"),
    "a vector": (success([{"metric": {}, "value": [99, "1"]}]), "something else than samples"),
    "a series without labels": (success([{"values": [[99, "1"]]}]), "something else than samples"),
    "two alike": (success([series([[99, "1"]]), series([[99, "1"]])]), "two series with the same labels"),
    "without a code": (success([{"metric": {"pod": "a"}, "values": [[99, "1"]]}]), "no label code"),
}
TIMES = {
    "NaN": b'{"status": "success", "data": {"result": [1, "NaN"]}}',
    "infinite": b'{"status": "success", "data": {"result": [1, "+Inf"]}}',
    "negative": b'{"status": "success", "data": {"result": [1, "-1"]}}',
    "null": b'{"status": "success", "data": {"result": [1, null]}}',
    "a mapping": b'{"status": "success", "data": {"result": {}}}',
    "huge": b'{"status": "success", "data": {"result": [1, ' + b"9" * 400 + b"]}}",
}


def clock_then(body: bytes) -> Talk:
    """The time to whoever asks for it first, and then the body."""
    asked: list[int] = []

    def talk(connection: Any) -> None:
        asked.append(1)
        now = success([100, "100"]) if len(asked) == 1 else body
        answer(now)(connection)

    return talk


@pytest.mark.parametrize(("body", "sentence"), PROMETHEUS.values(), ids=PROMETHEUS)
def test_an_answer_of_prometheus_that_lies_is_an_error_of_the_evidence(body: bytes, sentence: str) -> None:
    with lying(clock_then(body)) as url, pytest.raises(MetricsError, match=sentence):
        open_source(MetricsSpec(source="prometheus", url=url), "m", "", "c1", Addresses()).evidence({"time": 90.0})


@pytest.mark.parametrize("body", TIMES.values(), ids=TIMES)
def test_a_time_that_is_none_is_an_error_of_the_evidence(body: bytes) -> None:
    with lying(answer(body)) as url, pytest.raises(MetricsError, match=r"answer its time|not as Prometheus does"):
        open_source(MetricsSpec(source="prometheus", url=url), "m", "", "c1", Addresses()).start()


def test_a_clock_of_prometheus_that_goes_back_is_an_error_of_the_evidence() -> None:
    with lying(answer(success([100, "100"]))) as url, pytest.raises(MetricsError, match="gone back by 900 s"):
        open_source(MetricsSpec(source="prometheus", url=url), "m", "", "c1", Addresses()).evidence({"time": 1000.0})


@pytest.mark.parametrize("name", ["nothing", "truncated", "endless", "a drip", "a drip of headers", "compressed"])
def test_a_prometheus_that_does_not_answer_whole_is_an_error_of_the_evidence(name: str) -> None:
    talk, sentence = BYTES[name]
    with lying(talk) as url, pytest.raises(MetricsError, match=sentence):
        open_source(patient(name, source="prometheus", url=url), "m", "", "c1", Addresses()).start()


@pytest.fixture(scope="module")
def says() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a server, and what it says: the first while there are several, and then the last."""
    bodies: list[bytes] = []

    def talk(connection: Any) -> None:
        answer(bodies.pop(0) if len(bodies) > 1 else bodies[0])(connection)

    with lying(talk) as url:
        yield url, bodies


FUZZED = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
PIECES = st.sampled_from(
    [
        *("kubeline_requests_total", "kubeline_request_duration_seconds_bucket", "kubeline_prediction_bucket"),
        *("kubeline_predictions_total", "kubeline_probability_bucket", "# TYPE x counter", "# HELP", "\n", " "),
        *("{", "}", 'model="m"', 'version="c1"', 'code="200"', 'label="a"', 'le="0.1"', 'le="+Inf"', 'le="'),
        *("=", ",", '"', "\\"),
        *("1", "-1", "NaN", "+Inf", "1e300", "0x10", "1_000", "12 1700000000000", '# {trace_id="a"} 1'),
    ]
)


@FUZZED
@given(st.lists(PIECES | st.text(max_size=5), max_size=40), st.booleans())
def test_any_text_is_a_page_or_an_error_of_the_evidence(
    says: tuple[str, list[bytes]], pieces: list[str], whole: bool
) -> None:
    url, bodies = says
    bodies[:] = [((GOOD if whole else "") + "".join(pieces)).encode("utf-8", "surrogatepass")]
    source = open_source(MetricsSpec(), "m", "", "c1", Addresses(pages=(url,)))
    try:
        json.dumps(source.start(), allow_nan=False)
        evidence = source.evidence({"time": 0.0, "pages": {}})
    except MetricsError:
        return
    judge(evidence, Rules(), 1, 4)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["99", "NaN", "metric"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["metric", "values", "x"]), inner),
    max_leaves=12,
)
POINTS = st.lists(st.tuples(st.sampled_from([80, 95, 96, 99]) | LEAVES, st.sampled_from(["1", "7", "1e15"]) | LEAVES))
SERIES = st.builds(
    lambda values, labels: {"metric": {"code": "200", **labels}, "values": values},
    POINTS,
    st.dictionaries(st.sampled_from(["pod", "code", "le"]), st.sampled_from(["a", "200", "500", "0.1", "+Inf"]) | JSON),
)


@FUZZED
@given(st.lists(SERIES | JSON, max_size=4) | JSON)
def test_any_result_is_samples_or_an_error_of_the_evidence(says: tuple[str, list[bytes]], result: Any) -> None:
    url, bodies = says
    bodies[:] = [success([100, "100"]), success(result)]
    source = open_source(MetricsSpec(source="prometheus", url=url), "m", "", "c1", Addresses())
    try:
        evidence = source.evidence({"time": 90.0})
    except MetricsError:
        return
    judge(evidence, Rules(), 1, 4)


COUNTED = st.integers(0, 10**4) | st.sampled_from([10**9, 2**53])
BUCKETS = st.dictionaries(st.sampled_from(["-1.0", "0.0", "0.1", "1.0", "inf"]), COUNTED)
COUNTS = st.fixed_dictionaries(
    {"requests": st.dictionaries(st.sampled_from(["200", "503"]), COUNTED)},
    optional={"latency": BUCKETS, "numbers": BUCKETS, "labels": st.dictionaries(st.sampled_from("abc"), COUNTED)},
)


@settings(max_examples=200, deadline=None)
@given(COUNTS, st.none() | COUNTS)
def test_any_counts_are_judged_or_an_error_of_the_evidence(canary: Any, stable: Any) -> None:
    try:
        evidence = evidence_of(canary, stable, "5..", 1.0, 60.0)
    except MetricsError:
        return
    judgement = judge(evidence, Rules(max_p95_seconds=0.5), 1, 4)
    assert all(finding.sentence for finding in judgement.findings)


def test_an_analysis_of_however_many_requests_ends_when_six_of_the_longest_could_have() -> None:
    deadline = Deadline(MetricsSpec(timeout_seconds=0.01))
    time.sleep(0.07)
    with pytest.raises(MetricsError, match=r"took longer than 0\.06 s, six times timeout_seconds"):
        deadline.left()
