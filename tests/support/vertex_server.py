"""Speaks the published REST form of Vertex AI's pipeline and schedule services, and of Cloud Logging, on loopback.

Each body is read into the published message type, which refuses unknown fields; what a real service would refuse, this
one refuses. A job runs, and ends as a test wants.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format

from tests.support.kfp_server import Fault

PARENT = "projects/team/locations/europe-west4"
Json = dict[str, Any]


class ServiceError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class VertexServer:
    """The server; `url` is its address."""

    def __init__(self) -> None:
        self.tokens = {"good-token"}
        self.forbidden = False
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self.seen: list[tuple[str, str]] = []
        self.jobs: dict[str, Json] = {}
        self.schedules: dict[str, Json] = {}
        self.fails = False
        self.log = ["INFO starts", "UserError: there is nothing at 'gs://bucket/data/'; check the address", "exit"]
        self._looks: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def writes(self) -> list[tuple[str, str]]:
        return [(method, urlsplit(path).path.rpartition("/")[2]) for method, path in self.seen if method != "GET"]

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, str], Json]:
        with self._lock:
            self.seen.append((method, path))
            fault = next((one for one in self.faults if one.method == method and re.search(one.path, path)), None)
            if fault:
                self.faults.remove(fault)
                if fault.after:
                    self._handle(method, path, token, body)
                return fault.status, fault.headers, _error(fault.status, "upstream")
            return self._handle(method, path, token, body)

    def _handle(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, str], Json]:
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            self._let_in(token)
            if parts.path == "/v2/entries:list":
                return 200, {}, self._entries(json.loads(body))
            rest = parts.path.removeprefix(f"/v1/{PARENT}/")
            resource, _, name = rest.partition("/")
            return 200, {}, getattr(self, f"_{resource}")(method, name, query, json.loads(body or b"{}"))
        except ServiceError as error:
            return error.status, {}, _error(error.status, str(error))

    def _let_in(self, token: str) -> None:
        if token not in self.tokens:
            raise ServiceError(401, "Request had invalid authentication credentials.")
        if self.forbidden:
            raise ServiceError(403, "Permission 'aiplatform.pipelineJobs.create' denied")

    def _pipelineJobs(self, method: str, name: str, query: Json, body: Json) -> Json:  # noqa: N802
        if method == "POST" and not name:
            identifier = query["pipelineJobId"]
            if identifier in self.jobs:
                raise ServiceError(409, f"PipelineJob {identifier} already exists")
            job = _checked(types.PipelineJob, body)
            if not job["runtimeConfig"]["gcsOutputDirectory"].startswith("gs://"):
                raise ServiceError(400, "gcs_output_directory is invalid")
            job |= {"name": f"{PARENT}/pipelineJobs/{identifier}", "createTime": "2026-11-28T11:10:09Z"}
            self.jobs[identifier] = job
            return job | {"state": "PIPELINE_STATE_PENDING"}
        if method == "GET" and not name:
            wanted = re.findall(r'state="(\w+)"', query.get("filter", ""))
            rows = [self._shown(name, 9) for name in reversed(self.jobs)]
            return {"pipelineJobs": [row for row in rows if not wanted or row["state"] in wanted]}
        if name not in self.jobs:
            raise ServiceError(404, f"The PipelineJob {name} does not exist")
        self._looks[name] = self._looks.get(name, 0) + 1
        return self._shown(name, self._looks[name])

    def _shown(self, name: str, looks: int) -> Json:
        over, failed = looks >= 3, self.fails
        state = "RUNNING" if not over else "FAILED" if failed else "SUCCEEDED"
        names = [task["taskInfo"]["name"] for task in self.jobs[name]["pipelineSpec"]["root"]["dag"]["tasks"].values()]
        details = [{"taskId": "1", "taskName": name, "state": state}]
        for number, task in enumerate(names, 2):
            detail: Json = {"taskId": str(number), "parentTaskId": "1", "taskName": task, "state": state}
            detail["executorDetail"] = {"containerDetail": {"mainJob": f"{PARENT}/customJobs/{number}00"}}
            if over:
                detail["endTime"] = f"2026-11-28T11:10:{number:02}Z"
            if over and failed:
                detail["error"] = {
                    "code": 9,
                    "message": "The replica workerpool0-0 exited with a non-zero status of 1.",
                }
            details.append(detail)
        times = {"endTime": "2026-11-28T11:12:09Z"} if over else {}
        shown = self.jobs[name] | {"state": f"PIPELINE_STATE_{state}", "jobDetail": {"taskDetails": details}} | times
        return _checked(types.PipelineJob, shown)

    def _entries(self, body: Json) -> Json:
        if body["resourceNames"] != ["projects/team"] or 'resource.labels.job_id="200"' not in body["filter"]:
            return {}
        return {"entries": [{"textPayload": line} for line in reversed(self.log)]}

    def _schedules(self, method: str, name: str, query: Json, body: Json) -> Json:
        if method == "POST" and not name:
            schedule = _checked(types.Schedule, body)
            identifier = str(len(self.schedules) + 1)
            schedule |= {"name": f"{PARENT}/schedules/{identifier}", "state": "ACTIVE"}
            schedule.setdefault("startTime", "2026-11-28T11:10:09Z")  # when it was made
            self.schedules[identifier] = schedule
            return schedule
        if method == "GET" and not name:
            return {"schedules": list(self.schedules.values())}
        identifier, _, verb = name.partition(":")
        if identifier not in self.schedules:
            raise ServiceError(404, f"The Schedule {identifier} does not exist")
        schedule = self.schedules[identifier]
        if verb:
            json_format.ParseDict(body, types.ResumeScheduleRequest.pb(types.ResumeScheduleRequest()))
            schedule["state"] = {"pause": "PAUSED", "resume": "ACTIVE"}[verb]
            return {}
        if method == "DELETE":
            del self.schedules[identifier]
            return {"name": "operations/1", "done": True}
        if method == "PATCH":
            changed = _checked(types.Schedule, body)
            for field in query["updateMask"].split(","):
                schedule[field] = changed[field] if field in changed else schedule.pop(field, None)
        return {key: value for key, value in schedule.items() if value is not None}


def _checked(kind: Any, body: Json) -> Json:
    """The message, as it comes back."""
    message = kind()
    try:
        json_format.ParseDict(body, kind.pb(message))
    except json_format.ParseError as error:
        raise ServiceError(400, str(error)) from error
    document: Json = json_format.MessageToDict(kind.pb(message))
    return document


def _error(status: int, message: str) -> Json:
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
    names |= {409: "ALREADY_EXISTS", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    return {"error": {"code": status, "message": message, "status": names.get(status, "UNKNOWN")}}


def _handler(server: VertexServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = str(self.headers.get("Authorization", "")).removeprefix("Bearer ")
            status, headers, document = server.answer(self.command, self.path, token, body)
            answer = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
