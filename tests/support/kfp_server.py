"""Speaks the v2beta1 API of Kubeflow Pipelines 2.17 on loopback, and answers as a real one was recorded to answer.

It keeps pipelines, versions, experiments, runs and recurring runs in memory. What no client may send (unknown fields or
query parameters, a wrong content type, a reference to what is not there) is answered as the real one does where that is
known, and stands in `problems` otherwise. A run plays a recorded one: pending, running, and then as it ended.
"""

import gzip
import json
import re
import threading
import uuid
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.support.http_servers import LoopbackServer
from tests.support.json_servers import Fault

RECORDINGS = Path(__file__).parents[1] / "recordings" / "kfp"
Json = dict[str, Any]

_RUN = {
    *(
        "experiment_id",
        "display_name",
        "description",
        "pipeline_version_reference",
        "pipeline_spec",  # instead of the reference, by the SDK's own client
        "runtime_config",
        "service_account",
    ),
}
_RECURRING = _RUN | {"max_concurrency", "trigger", "mode", "no_catchup"}
_QUERY = {
    "pipelines": {"namespace", "page_token", "page_size", "sort_by", "filter"},
    "experiments": {"namespace", "page_token", "page_size", "sort_by", "filter"},
    "versions": {"page_token", "page_size", "sort_by", "filter"},
    "runs": {"namespace", "experiment_id", "page_token", "page_size", "sort_by", "filter"},
    "recurringruns": {"namespace", "experiment_id", "page_token", "page_size", "sort_by", "filter"},
    "upload_version": {"name", "pipelineid", "description", "display_name"},
}


def recorded(name: str) -> Json:
    """A recorded document, such as ``run-f-failed``."""
    document: Json = json.loads(gzip.decompress((RECORDINGS / f"{name}.json.gz").read_bytes()))
    return document


def answers(name: str) -> dict[str, tuple[int, Json]]:
    """Status and body of each recorded exchange by its note."""
    lines = gzip.decompress((RECORDINGS / f"exchanges-{name}.jsonl.gz").read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["note"]: (row["response"]["status"], row["response"].get("json", {})) for row in rows}


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def status_of(code: int, message: str, outer: str = "") -> Json:
    """An error as the API server writes it."""
    inner = {"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": message}
    return {"code": code, "message": outer or message, "details": [inner]}


class KfpServer:
    """The server; `url` is its address."""

    def __init__(self) -> None:
        self.multi_user = False
        self.tokens: set[str] | None = None  # what is let in; None: everybody
        self.cookies: set[str] | None = None
        self.forbidden: set[str] = set()  # resources
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self.seen: list[tuple[str, str]] = []
        self.pipelines: dict[str, Json] = {}
        self.versions: dict[str, dict[str, Json]] = {}
        self.experiments: dict[str, Json] = {}
        self.runs: dict[str, Json] = {}
        self.recurring: dict[str, Json] = {}
        self.play = "f-failed"  # the recording that the next run plays
        self.logs_gone = False
        self.log = b""  # of every step, instead of the recorded one
        self._looks: dict[str, int] = {}
        self._errors = answers("run-errors")
        self._server = LoopbackServer(_handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def writes(self) -> list[tuple[str, str]]:
        """What was asked for other than by GET."""
        return [(method, urlsplit(path).path) for method, path in self.seen if method != "GET"]

    # what a request does

    def answer(self, method: str, path: str, headers: Message, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.seen.append((method, path))
            fault = next((one for one in self.faults if one.method == method and re.search(one.path, path)), None)
            if fault:
                self.faults.remove(fault)
                if fault.after:
                    self._handle(method, path, headers, body)
                return fault.status, {"Content-Type": "application/json", **fault.headers}, fault.body.encode()
            return self._handle(method, path, headers, body)

    def _handle(self, method: str, path: str, headers: Message, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path.removeprefix("/pipeline"))  # where Kubeflow's gateway has it
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        try:
            self._let_in(headers)
            if "/nodes/" in parts.path:
                return 200, {"Content-Type": "text/plain"}, self.log or self._log(parts.path).encode()
            if not parts.path.startswith("/apis/v2beta1/"):
                return 404, {"Content-Type": "text/plain"}, b"404 page not found"
            resource, *rest = parts.path.removeprefix("/apis/v2beta1/").split("/")
            self._may(method, resource)
            document = getattr(self, f"_{resource}")(method, rest, query, headers, body)
        except RefusedError as refused:
            if refused.status == 302:
                return 302, {"Location": "/dex/auth"}, b""
            return refused.status, {"Content-Type": "application/json"}, json.dumps(refused.body).encode()
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()

    def _let_in(self, headers: Message) -> None:
        given = str(headers.get("Authorization", "")).removeprefix("Bearer ")
        if self.tokens is not None and given not in self.tokens:
            raise RefusedError(401, {"code": 16, "message": "Request header error: there is no user identity header."})
        if self.cookies is not None and headers.get("Cookie", "") not in self.cookies:
            raise RefusedError(302, {})

    def _may(self, method: str, resource: str) -> None:
        if resource in self.forbidden:
            raise RefusedError(403, status_of(7, f"User is not authorized with reason: cannot {method} {resource}"))

    def _healthz(self, *_: Any) -> Json:
        return {
            "commit_sha": "unknown",
            "tag_name": "unknown",
            "multi_user": self.multi_user,
            "pipeline_store": "database",
        }

    def _pipelines(self, method: str, rest: list[str], query: dict[str, str], headers: Message, body: bytes) -> Json:
        if rest == ["upload_version"]:
            return self._upload(query, headers, body)
        if method == "POST" and not rest:
            wanted = self._json(headers, body, {"display_name", "name", "namespace", "description"})
            if any(one["name"] == wanted["name"] for one in self.pipelines.values()):
                raise RefusedError(409, status_of(6, f"The name {wanted['name']} already exists"))
            made = {"pipeline_id": str(uuid.uuid4()), **wanted}
            self.pipelines[made["pipeline_id"]] = made
            return made
        if method == "GET" and not rest:
            self._known(query, "pipelines")
            self._namespaced(query)
            return self._page("pipelines", list(self.pipelines.values()), query)
        if method == "GET" and rest[1:] == ["versions"]:
            self._known(query, "versions")
            return self._page("pipeline_versions", list(self.versions.get(rest[0], {}).values()), query)
        raise self._unknown(method, "pipelines", rest)

    def _upload(self, query: dict[str, str], headers: Message, body: bytes) -> Json:
        self._known(query, "upload_version")
        pipeline = query["pipelineid"]
        if pipeline not in self.pipelines:
            raise RefusedError(404, {"error_message": f"Pipeline {pipeline} not found"})
        taken = self.versions.setdefault(pipeline, {})
        if any(one["name"] == query["name"] for one in taken.values()):  # whatever the content
            raise RefusedError(409, {"error_message": "Failed to create a pipeline version", "error_details": "…"})
        head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        parts = [part for part in BytesParser().parsebytes(head + body).walk() if part.get_filename()]
        if [part.get_param("name", header="content-disposition") for part in parts] != ["uploadfile"]:
            self.problems.append("an upload has one part, uploadfile")
        specification = list(yaml.safe_load_all(parts[0].get_payload(decode=True)))  # type: ignore[arg-type]
        if "pipelineInfo" not in specification[0]:
            raise RefusedError(400, {"error_message": "unknown template format"})
        made = {"pipeline_id": pipeline, "pipeline_version_id": str(uuid.uuid4()), "name": query["name"]}
        made |= {"display_name": query["name"], "created_at": "2026-11-28T10:43:09Z"}
        taken[made["pipeline_version_id"]] = made | {"specification": specification}
        return made

    def _experiments(self, method: str, rest: list[str], query: dict[str, str], headers: Message, body: bytes) -> Json:
        if method == "POST" and not rest:
            wanted = self._json(headers, body, {"display_name", "namespace", "description"})
            made = {"experiment_id": str(uuid.uuid4()), "storage_state": "AVAILABLE", **wanted}
            self.experiments[made["experiment_id"]] = made
            return made
        if method == "GET" and not rest:
            self._known(query, "experiments")
            self._namespaced(query)
            return self._page("experiments", list(self.experiments.values()), query)
        raise self._unknown(method, "experiments", rest)

    def _runs(self, method: str, rest: list[str], query: dict[str, str], headers: Message, body: bytes) -> Json:
        if method == "POST" and not rest:
            return self._start(self._json(headers, body, _RUN))
        if method == "GET" and not rest:
            self._known(query, "runs")
            return self._page("runs", list(self.runs.values()), query)
        if method == "GET" and len(rest) == 1:
            return self._look(rest[0])
        raise self._unknown(method, "runs", rest)

    def _start(self, wanted: Json) -> Json:
        self._parameters(wanted)
        if wanted["experiment_id"] not in self.experiments:
            raise RefusedError(*self._errors["run in an experiment that is not there"])
        made = {**recorded(f"run-{self.play}"), **wanted, "created_at": "2026-11-28T11:10:09Z"}
        identifier = made["run_id"] if made["run_id"] not in self.runs else str(uuid.uuid4())
        made |= {"run_id": identifier, "play": self.play}
        self.runs[identifier] = made
        return self._shown(made, 0)

    def _look(self, identifier: str) -> Json:
        if identifier not in self.runs:
            raise RefusedError(*self._errors["get run that is not there"])
        self._looks[identifier] = self._looks.get(identifier, 0) + 1
        return self._shown(self.runs[identifier], self._looks[identifier])

    def _shown(self, run: Json, looks: int) -> Json:
        """The run as it is reported at the first request, the second, and from the third on."""
        shown = {key: value for key, value in run.items() if key != "play"}
        if looks >= 3:
            return shown
        shown |= {"state": "RUNNING" if looks else "PENDING", "finished_at": "1970-01-01T00:00:00Z"}
        details = shown.pop("run_details")["task_details"]
        shown["state_history"] = shown["state_history"][:1]
        if looks == 2:
            reported = [
                {**one, "state": "RUNNING" if one.get("state") == "FAILED" else one.get("state")} for one in details
            ]
            shown["run_details"] = {"task_details": reported}
        return shown

    def _parameters(self, wanted: Json) -> None:
        """Refuse what a real one refuses of a run or a recurring run."""
        if "pipeline_spec" in wanted:
            return
        reference = wanted["pipeline_version_reference"]
        versions = self.versions.get(reference["pipeline_id"], {})
        if "pipeline_version_id" in reference and reference["pipeline_version_id"] not in versions:
            raise RefusedError(*self._errors["run of a version that is not there"])
        version = versions[reference.get("pipeline_version_id") or list(versions)[-1]]
        definitions = version["specification"][0]["root"].get("inputDefinitions", {}).get("parameters", {})
        given = wanted.get("runtime_config", {}).get("parameters", {})
        if set(given) - set(definitions):
            raise RefusedError(*self._errors["run, parameter unknown"])
        if [name for name, one in definitions.items() if not one.get("isOptional") and name not in given]:
            raise RefusedError(*self._errors["run, parameter missing"])

    def _log(self, path: str) -> str:
        run, pod = re.findall(r"/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", path)[0]
        logs = recorded(f"logs-{self.runs[run]['play']}") if run in self.runs else {}
        if pod not in logs or self.logs_gone:
            raise RefusedError(500, {"error_message": f"Failed to read logs for run {run}", "error_details": "…"})
        return str(logs[pod]["main"])

    def _recurringruns(
        self, method: str, rest: list[str], query: dict[str, str], headers: Message, body: bytes
    ) -> Json:
        if method == "POST" and not rest:
            return self._schedule(self._json(headers, body, _RECURRING))
        if method == "GET" and not rest:
            self._known(query, "recurringruns")
            return self._page("recurringRuns", list(self.recurring.values()), query)
        identifier, _, verb = rest[0].partition(":")
        if identifier not in self.recurring:
            raise RefusedError(404, status_of(5, f"Job {identifier} not found"))
        if method == "DELETE":
            del self.recurring[identifier]
            return {}
        if method == "POST" and verb in {"enable", "disable"}:
            self.recurring[identifier] |= {"mode": verb.upper(), "status": f"{verb.upper()}D"}
            return {}
        if method == "GET":
            return self.recurring[identifier]
        raise self._unknown(method, "recurringruns", rest)

    def _schedule(self, wanted: Json) -> Json:
        self._parameters(wanted)
        cron = wanted["trigger"].get("cron_schedule", {}).get("cron")
        if cron and len(cron.split()) not in {5, 6}:
            raise RefusedError(*answers("recurring")["create recurring run, cron malformed"])
        made = {"recurring_run_id": str(uuid.uuid4()), "service_account": "pipeline-runner", **wanted}
        made |= {"max_concurrency": str(wanted["max_concurrency"]), "status": f"{wanted['mode']}D"}
        if not made.get("no_catchup"):
            made.pop("no_catchup", None)  # false is left out
        if (periodic := made["trigger"].get("periodic_schedule")) and "interval_second" in periodic:
            periodic["interval_second"] = str(periodic["interval_second"])
        self.recurring[made["recurring_run_id"]] = made
        return made

    # what all of them need

    def _json(self, headers: Message, body: bytes, known: set[str]) -> Json:
        if headers.get_content_type() != "application/json":
            self.problems.append(f"content type {headers.get_content_type()}")
        document: Json = json.loads(body)
        if set(document) - known:
            self.problems.append(f"unknown fields {sorted(set(document) - known)}")
        return document

    def _known(self, query: dict[str, str], resource: str) -> None:
        if set(query) - _QUERY[resource]:
            self.problems.append(f"{resource}: unknown query {sorted(set(query) - _QUERY[resource])}")

    def _namespaced(self, query: dict[str, str]) -> None:
        if self.multi_user and not query.get("namespace"):
            raise RefusedError(400, status_of(3, "Namespace cannot be empty in multi-user mode"))

    def _page(self, key: str, rows: list[Json], query: dict[str, str]) -> Json:
        hidden = {"specification", "play", "run_details"}
        for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
            keys = {"display_name"} if key == "experiments" else {"name", "display_name", "state"}  # as recorded
            if predicate["operation"] != "EQUALS" or predicate["key"] not in keys:
                self.problems.append(f"filter {predicate}")
            field_name = "state" if predicate["key"] == "state" else "display_name"
            rows = [row for row in rows if row.get(field_name) == predicate["stringValue"]]
        if "experiment_id" in query:
            rows = [row for row in rows if row.get("experiment_id") == query["experiment_id"]]
        if query.get("sort_by") == "created_at desc":
            rows = rows[::-1]
        size, start = int(query.get("page_size") or 10), int(query.get("page_token") or 0)
        page = [
            {name: value for name, value in row.items() if name not in hidden} for row in rows[start : start + size]
        ]
        token = {"next_page_token": str(start + size)} if start + size < len(rows) else {}
        return {key: page, "total_size": len(rows), **token} if rows else {}

    def _unknown(self, method: str, resource: str, rest: list[str]) -> RefusedError:
        self.problems.append(f"{method} {resource} {rest}")
        return RefusedError(501, status_of(12, "Not Implemented"))


def _handler(server: KfpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, answer = server.answer(self.command, self.path, self.headers, body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
