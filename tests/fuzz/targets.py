"""Every parser of what others wrote, and what must be true of it for any input.

A target takes an input and fails by an exception. A refusal in one sentence (a `KubelineError`) is no failure.
"""

import base64
import contextlib
import functools
import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from components.load.component import load
from kubeline import yaml_files
from kubeline.data.dataset import read_frame
from kubeline.data.kserve_log import flatten
from kubeline.data.sources import SourceFile
from kubeline.errors import KubelineError
from kubeline.model_package import Blessing, ModelPackage, Predictor
from kubeline.model_package.predictor import check_onnx
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline.rollout.analysis.metrics import Addresses, MetricsSpec, open_source
from kubeline.rollout.routers import ClusterSnapshot, KnativeRouter, StandardRouter
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.codec.parsing import parse_json
from kubeline_serving.codec.slices import read
from kubeline_serving.codec.v1 import V1
from kubeline_serving.codec.v2 import V2
from kubeline_serving.grpc.messages import columns_of
from tests.fuzz.inputs import binary_files, changed_bytes, changed_json, changed_value, overwritten
from tests.support.artifacts import make_artifact
from tests.support.http_servers import serving
from tests.support.kserve_objects import CANDIDATE, STABLE, VERSIONS, pods, route, service
from tests.support.metrics_servers import Handler, Pod, PrometheusServer
from tests.support.packages import write_tiny_package

MAX_ROWS = 1_000


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        inputs: what it is given.
        run: gives it; fails when what must be true is not.
        weight: how many milliseconds an input takes, about.
    """

    inputs: st.SearchStrategy[Any]
    run: Callable[[Any], None]
    weight: int = 1


@functools.cache
def scratch() -> Path:
    """A folder that is removed when the process ends."""
    return Path(_SCRATCH.name)


_SCRATCH = tempfile.TemporaryDirectory(prefix="fuzz-")


@functools.cache
def package() -> ModelPackage:
    return write_tiny_package(scratch() / "package")


@functools.cache
def protocols() -> tuple[V1, V2]:
    return V1(package().signature, MAX_ROWS), V2(package().signature, "m", "1", MAX_ROWS)


@contextmanager
def refused() -> Iterator[None]:
    """A refusal is one sentence."""
    try:
        yield
    except KubelineError as error:
        if not str(error).strip():
            raise SystemExit("a refusal without a reason") from error


RECORD = {"amount": 1.5, "carrier": "AA", "rush": True, "departure": "2013-01-01T06:00:00"}
DATATYPES = {"amount": "FP32", "carrier": "BYTES", "rush": "BOOL", "departure": "BYTES"}
V1_BODIES = [
    {"instances": [RECORD, RECORD]},
    {"instances": [list(RECORD.values())]},
    {"inputs": {name: [value] for name, value in RECORD.items()}},
]
V2_BODY = {
    "id": "1",
    "inputs": [
        {"name": name, "shape": [1], "datatype": DATATYPES[name], "data": [value]} for name, value in RECORD.items()
    ],
    "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}],
}
DEEP = {
    "instances": [[[1, [2, {"a": [3, {}], "b": {"c": [[], [4]]}}]], [], {}, '],[\\"{', float("nan")], [RECORD, [[5]]]]
}


def are_inputs(found: Inputs) -> None:
    """What a model may be given."""
    assert 0 < found.rows <= MAX_ROWS
    assert not np.isinf(found.numbers).any()
    assert (found.codes >= 0).all()


def v1(body: bytes) -> None:
    with refused():
        are_inputs(protocols()[0].parse(body))


def v2(given: tuple[bytes, bytes | None]) -> None:
    with refused():
        columns, _ = protocols()[1].read(*given)
        are_inputs(protocols()[1].inputs(columns))


def grpc_message(message: bytes) -> None:
    with refused():
        try:
            request = messages.ModelInferRequest.FromString(message)
        except DecodeError:
            return
        are_inputs(protocols()[1].inputs(columns_of(request, MAX_ROWS)[0]))


def slices(given: tuple[bytes, int]) -> None:
    """What is read in slices is what is read as a whole, but that a key that stands twice may be refused."""
    body, size = given
    if b"NaN" in body and re.search(rb"\d{20}|[eE]\+?\d{3}|Infinity", body):
        return  # where a NaN stands, another reader reads, to whom these are numbers
    with refused():
        try:
            found = read(body, parse_json, size)
        except KubelineError as error:
            if "one key twice" not in str(error):
                with contextlib.suppress(KubelineError):
                    whole = parse_json(body)
                    raise SystemExit(f"refused in slices ({error}), but read as a whole: {whole!r:.200}") from error
            raise
        assert repr(found) == repr(parse_json(body))  # of NaN and -0.0, too


def _binary() -> bytes:
    tensors, raw = [], b""
    for name, value in {"amount": np.float32(1.5).tobytes(), "carrier": b"\x02\0\0\0AA", "rush": b"\1",
                        "departure": b"\x0a\0\0\x002013-01-01"}.items():  # fmt: skip
        size = {"binary_data_size": len(value)}
        tensors.append({"name": name, "shape": [1], "datatype": DATATYPES[name], "parameters": size})
        raw += value
    return json.dumps({"inputs": tensors}).encode() + raw


BINARY = _binary()
HEADER = str(BINARY.index(b"]}") + 2).encode()


def _message(raw: bool) -> bytes:
    request = messages.ModelInferRequest(model_name="m", id="1")
    typed: dict[str, dict[str, Any]] = {"amount": {"fp32_contents": [1.5]}, "carrier": {"bytes_contents": [b"AA"]},
             "rush": {"bool_contents": [True]}, "departure": {"bytes_contents": [b"2013-01-01"]}}  # fmt: skip
    for name, datatype in DATATYPES.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[1])
        if not raw:
            for field, values in typed[name].items():
                getattr(tensor.contents, field).extend(values)
    if raw:
        request.raw_input_contents.extend(
            [np.float32(1.5).tobytes(), b"\x02\0\0\0AA", b"\1", b"\x0a\0\0\x002013-01-01"]
        )
    return request.SerializeToString()


def _in_a_copy(changes: Mapping[str, bytes]) -> Path:
    """A package with other files; the manifest has their digests, unless it is among them."""
    folder = scratch() / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package().path, folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, content in changes.items():
        (folder / name).write_bytes(content)
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        manifest["sizes"][name] = len(content)
    if "manifest.json" not in changes:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def manifest(content: bytes) -> None:
    with refused():
        ModelPackage.open(_in_a_copy({"manifest.json": content}))


def file_of_a_package(given: tuple[str, bytes]) -> None:
    with refused():
        found = ModelPackage.open(_in_a_copy(dict([given])))
        for read in (found.golden, found.reference, found.onnx):
            with refused():
                read()
        with refused(), contextlib.suppress(Exception):  # ONNX Runtime has errors of its own
            found.predictor(threads=1)


def onnx_model(content: bytes) -> None:
    with refused():
        check_onnx(content, package().signature)
        # ONNX Runtime has errors of its own; what it takes must give an answer for each row
        with contextlib.suppress(Exception):
            predictor = Predictor(content, package().signature, threads=1)
            answer = predictor.predict_inputs(
                {"amount": np.ones((3, 1), np.float32), "rush": np.ones((3, 1), np.float32),
                 "carrier": np.full((3, 1), "AA", object), "departure": np.ones((3, 1))}
            )  # fmt: skip
            assert answer.probabilities is not None
            if answer.probabilities.shape != (3, 2):
                raise SystemExit("an answer of another shape than was checked")


def yaml_text(content: bytes) -> None:
    with refused():
        yaml_files.parse(content.decode("utf-8", "replace"), "the text")


def blessing(content: bytes) -> None:
    file = scratch() / "blessing"
    file.write_bytes(content)
    with refused():
        Blessing.read(str(file))


def table(given: tuple[str, bytes, str]) -> None:
    """A file that is loaded: what comes out has a row at least, and the columns that its metadata says."""
    ending, content, where = given
    source = scratch() / f"source.{ending}"
    source.write_bytes(content)
    shutil.rmtree(scratch() / "loaded", ignore_errors=True)
    dataset = make_artifact(scratch() / "loaded", "Dataset", "dataset")
    with refused():
        load.python_func(source=str(source), dataset=dataset, where=where)
        frame = read_frame(dataset.path)
        assert len(frame) == dataset.metadata["rows"] > 0
        assert len(frame.columns) == dataset.metadata["columns"]


def metrics_page(content: bytes) -> None:
    """A page that a candidate wrote: evidence in numbers, or none."""

    class Page(Handler):
        def do_GET(self) -> None:  # noqa: N802 - the base class names it
            self.send(200, content, "text/plain")

    with serving(Page) as url, refused():
        source = open_source(MetricsSpec(), "m", "", "c1", Addresses(pages=(url,)))
        evidence = source.evidence(source.start())
        assert all(
            math.isfinite(number) and number >= 0 for number in (evidence.canary.requests, evidence.canary.errors)
        )


def prometheus_answers(bodies: list[bytes]) -> None:
    server = PrometheusServer()
    server.answers = [(200, body) for body in bodies]
    with server.serving() as url, refused():
        spec = MetricsSpec(source="prometheus", url=url)
        source = open_source(spec, "m", "s1", "c1", Addresses(canary="c", stable="s", namespace="n"))
        source.check()
        source.start()


def payload_log(content: bytes) -> None:
    folder = Path(tempfile.mkdtemp(dir=scratch()))
    (folder / "log").write_bytes(content)
    with refused():
        found = flatten([SourceFile("log", folder / "log", "json")], list(RECORD), folder)
        assert all(isinstance(json.loads(line), dict) for line in found.path.read_text().splitlines())
    shutil.rmtree(folder)


# What the rollout's driver takes for an answer that it cannot understand: it tries again, and then `on_error` decides.
NOT_UNDERSTOOD = (KubelineError, AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError)


def kserve_status(given: tuple[Any, Any, Any]) -> None:
    """No lie of the API server is read as a share that cannot be."""
    service, routes, all_pods = given
    for router in (KnativeRouter(), StandardRouter()):
        with contextlib.suppress(*NOT_UNDERSTOOD):
            seen = router.observe(ClusterSnapshot(service, [routes], all_pods), VERSIONS)
            for share in (seen.share, seen.stable_share):
                assert share is None or 0 <= share <= 100, seen


def _event(kind: str, body: Any) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(body).encode()).decode()
    return {"id": "1", "type": f"org.kubeflow.serving.inference.{kind}", "time": "2013-01-01T06:00:00.123456789Z",
            "inferenceservicename": "m", "data_base64": data}  # fmt: skip


EVENTS = [_event("request", V1_BODIES[0]), _event("response", {"predictions": [0.5, {"label": "a"}]})]
PAGE = Pod("c1")
PAGE.answer(3)
PROMETHEUS = [
    {"status": "success", "data": {"resultType": "scalar", "result": [1e9, "1e9"]}},
    {"status": "success", "data": {"resultType": "matrix", "result": [
        {"metric": {"model": "m", "version": "s1", "code": "200"}, "values": [[1e9 - 9, "1"], [1e9 - 1, "5"]]}]}},
]  # fmt: skip
STATUS = {
    "components": {"predictor": {"latestCreatedRevision": "f-2", "latestReadyRevision": "f-2", "traffic": [
        {"revisionName": "f-2", "percent": 10, "latestRevision": True}, {"revisionName": "f-1", "percent": 90}]}},
    "canaryStatuses": [{"name": "v2", "ready": True, "trafficPercent": 10}],
    "conditions": [{"type": "Ready", "status": "False", "reason": "r", "message": "m"}],
    "modelStatus": {"lastFailureInfo": {"reason": "r", "message": "m"}},
}  # fmt: skip
SERVICE = service(STABLE, STATUS, canary=[{"predictor": {"name": "v2", **CANDIDATE}, "trafficPercent": 10}])
CSV = [
    b"a,b,c\n1,x,2013-01-01\n2,y,2013-01-02\n",
    b'a;b\n"1,5";"x ""y"""\n2,5;\n',
    b"a\tb\n1\t2\n",
    b"\xef\xbb\xbfa|b\n1|2\n",
]
JSON_LINES = [b'{"a": 1, "b": "x", "c": {"d": [1]}}\n{"a": 2.5, "b": null}\n']
FILTERS = [
    "a > 1",
    "b = 'x' AND a IS NOT NULL",
    "a BETWEEN 1 AND 2 OR NOT b LIKE '%y'",
    "lower(b) IN ('x', 'y')",
    "true",
]
BLESSING = {"check": "evaluation", "verdict": "promote", "package_digest": "0" * 64, "reasons": ["x"], "evidence": {}}
YAML = [b"a: 1\nb: [x, {c: 2013-01-01}]\n", b"base: &b {x: 1}\nother: {<<: *b, y: 2}\n", b"--- |\n text\n...\n"]


def _filter(text: bytes) -> tuple[str, bytes, str]:
    return "csv", CSV[0], text.decode("utf-8", "replace")


TARGETS: dict[str, Target] = {
    "v1": Target(st.sampled_from(V1_BODIES).flatmap(changed_json), v1),
    "v2": Target(changed_json(V2_BODY).map(lambda body: (body, None)), v2),
    "JSON in slices": Target(
        st.tuples(st.sampled_from([*V1_BODIES, V2_BODY, DEEP]).flatmap(changed_json), st.integers(1, 300)), slices
    ),
    "v2 binary": Target(st.tuples(changed_bytes([BINARY]), st.just(HEADER) | changed_bytes([HEADER])), v2),
    "gRPC": Target(changed_bytes([_message(raw=True), _message(raw=False)]), grpc_message),
    "manifest": Target(
        st.deferred(lambda: changed_json(json.loads((package().path / "manifest.json").read_bytes()))), manifest, 3
    ),
    "file of a package": Target(
        st.sampled_from(["schema.json", "golden.json", "reference.json", "model.onnx", "serving.onnx"]).flatmap(
            lambda name: st.tuples(st.just(name), changed_bytes([(package().path / name).read_bytes()]))
        ),
        file_of_a_package,
        6,
    ),
    "ONNX": Target(st.deferred(lambda: changed_bytes([package().onnx()])), onnx_model, 3),
    "YAML": Target(changed_bytes(YAML), yaml_text),
    "blessing": Target(changed_json(BLESSING), blessing),
    "CSV": Target(st.tuples(st.just("csv"), changed_bytes(CSV), st.just("")), table, 60),
    "JSON lines": Target(st.tuples(st.just("jsonl"), changed_bytes(JSON_LINES), st.just("")), table, 60),
    "binary tables": Target(
        st.sampled_from(binary_files()).flatmap(
            lambda file: st.tuples(st.just(file[0]), overwritten(file[1]), st.just(""))
        ),
        table,
        60,
    ),
    "filter": Target(changed_bytes([text.encode() for text in FILTERS]).map(_filter), table, 60),
    "metrics page": Target(changed_bytes([PAGE.page()]), metrics_page, 25),
    "Prometheus": Target(st.tuples(*map(changed_json, PROMETHEUS)).map(list), prometheus_answers, 25),
    "payload log": Target(
        st.lists(st.sampled_from(EVENTS).flatmap(changed_json), max_size=3).map(
            lambda lines: b"\n".join([*lines, *(json.dumps(event).encode() for event in EVENTS)])
        ),
        payload_log,
        8,
    ),
    "KServe": Target(
        st.tuples(
            changed_value(SERVICE), changed_value(route(f=90, f_v2=10)), changed_value(pods("f-v2", 2, "0" * 64))
        ),
        kserve_status,
    ),
}
