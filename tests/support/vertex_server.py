"""Speaks the published REST form of Vertex AI's pipeline and schedule services, and of Cloud Logging, on loopback.

Each body is read into the published message type, which refuses unknown fields; what a real service would refuse, this
one refuses. A job runs, and ends as a test wants.
"""

import re
import threading
from typing import Any
from urllib.parse import urlsplit

from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format

from tests.support.google_cloud import GoogleServer
from tests.support.http_servers import LoopbackServer
from tests.support.json_servers import AnswerError, Json, handler_of

PARENT = "projects/team/locations/europe-west4"


class VertexServer(GoogleServer):
    """The server; `url` is its address."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {"good-token"}
        self.forbidden = False
        self.jobs: dict[str, Json] = {}
        self.schedules: dict[str, Json] = {}
        self.fails = False
        self.log = ["INFO starts", "UserError: there is nothing at 'gs://bucket/data/'; check the address", "exit"]
        self._looks: dict[str, int] = {}
        self._server = LoopbackServer(handler_of(self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def writes(self) -> list[tuple[str, str]]:
        return [(method, urlsplit(path).path.rpartition("/")[2]) for method, path in self.seen if method != "GET"]

    def let_in(self, path: str, token: str) -> None:
        super().let_in(path, token)
        if self.forbidden:
            raise AnswerError(403, "Permission 'aiplatform.pipelineJobs.create' denied")

    def serve(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        if path == "/v2/entries:list":
            return self._entries(body)
        resource, _, name = path.removeprefix(f"/v1/{PARENT}/").partition("/")
        found: Json = getattr(self, f"_{resource}")(method, name, query, body)
        return found

    def _pipelineJobs(self, method: str, name: str, query: Json, body: Json) -> Json:  # noqa: N802
        if method == "POST" and not name:
            identifier = query["pipelineJobId"]
            if identifier in self.jobs:
                raise AnswerError(409, f"PipelineJob {identifier} already exists")
            job = _checked(types.PipelineJob, body)
            if not job["runtimeConfig"]["gcsOutputDirectory"].startswith("gs://"):
                raise AnswerError(400, "gcs_output_directory is invalid")
            job |= {"name": f"{PARENT}/pipelineJobs/{identifier}", "createTime": "2026-11-28T11:10:09Z"}
            self.jobs[identifier] = job
            return job | {"state": "PIPELINE_STATE_PENDING"}
        if method == "GET" and not name:
            wanted = re.findall(r'state="(\w+)"', query.get("filter", ""))
            rows = [self._shown(name, 9) for name in reversed(self.jobs)]
            return {"pipelineJobs": [row for row in rows if not wanted or row["state"] in wanted]}
        if name not in self.jobs:
            raise AnswerError(404, f"The PipelineJob {name} does not exist")
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
            raise AnswerError(404, f"The Schedule {identifier} does not exist")
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
        raise AnswerError(400, str(error)) from error
    document: Json = json_format.MessageToDict(kind.pb(message))
    return document
