"""Speaks the part of W&B's interface that its client needs to file runs: GraphQL, the file stream, uploads."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.json_servers import AnswerError, Json, JsonServer

KEY = "0123456789abcdef" * 2 + "01234567"  # as long as one is


@dataclass
class Run:
    """A run as the server has it."""

    settings: Json
    config: Json
    history: list[Json] = field(default_factory=list)
    summary: Json = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)  # the exit codes of each time it was finished


class WandbServer(JsonServer):
    """One project. `url` is its own address, for uploads."""

    def __init__(self, entity: str, project: str) -> None:
        super().__init__()
        self.tokens = {f"Basic {base64.b64encode(f'api:{KEY}'.encode()).decode()}"}
        self.project = {"entity": entity, "project": project}
        self.url = ""
        self.runs: dict[str, Run] = {}
        self.sent: list[bytes] = []

    def error(self, status: int, message: str) -> Json:
        return {"errors": [{"message": message}]}

    def answer(self, method: str, target: str, token: str, body: bytes) -> tuple[int, dict[str, str], Json]:
        self.sent.append(body)
        if target.startswith(("/sdk/otel/", "/upload/")):  # counters of the client; what it also has as a file
            return 200, {}, {}
        return super().answer(method, target, token, body)

    def handle(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        if (method, path) == ("POST", "/graphql"):
            asked = body["variables"]
            operation = body.get("operationName") or body["query"].split("(")[0].split()[1]
            answers = {
                "Kubeline": self._project,
                "KubelineRun": self._run,
                "RunResumeStatus": self._run,
                "UpsertBucket": self._upsert,
                "CreateRunFiles": self._files,
            }
            if operation not in answers:
                raise AnswerError(400, f"unknown operation {operation}")
            return {"data": answers[operation](asked)}
        parts = path.strip("/").split("/")
        if method == "POST" and parts[0] == "files" and parts[-1] == "file_stream":
            self._known({"entity": parts[1], "project": parts[2]})
            return self._stream(self.runs[parts[3]], body)
        raise AnswerError(400, f"unknown request {method} {path}")

    def _known(self, asked: Json) -> None:
        if {key: asked[key] for key in self.project} != self.project:
            raise AnswerError(400, f"unknown project {asked}")

    def _project(self, asked: Json) -> Json:
        return {"viewer": {"id": "1"}, "project": {"id": "2"} if asked == self.project else None}

    def _run(self, asked: Json) -> Json:
        self._known(asked)
        run = self.runs.get(asked["name"])
        place = {"id": "2", "name": self.project["project"], "entity": {"id": "3", "name": self.project["entity"]}}
        return {"model": {**place, "bucket": self._bucket(asked["name"], run) if run else None}}

    def _bucket(self, name: str, run: Run) -> Json:
        return {
            "id": f"id-of-{name}",
            "name": name,
            "displayName": run.settings["displayName"],
            "summaryMetrics": json.dumps(run.summary),
            "config": json.dumps(run.config),
            "historyLineCount": len(run.history),
            "historyTail": json.dumps([json.dumps(line) for line in run.history[-1:]]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "tags": run.settings["tags"] or [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }

    def _upsert(self, asked: Json) -> Json:
        self._known(asked)
        name = asked["name"]
        inserted = name not in self.runs
        run = self.runs.setdefault(name, Run({}, {}))
        run.settings |= {key: value for key, value in asked.items() if value is not None or key not in run.settings}
        run.config = json.loads(asked["config"] or "{}")
        place = {"id": "2", "name": self.project["project"], "entity": {"id": "3", "name": self.project["entity"]}}
        bucket = {**self._bucket(name, run), "description": "", "sweepName": None, "project": place}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _files(self, asked: Json) -> Json:
        self._known(asked)
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in asked["files"]]
        return {"createRunFiles": {"runID": f"id-of-{asked['run']}", "uploadHeaders": [], "files": files}}

    def _stream(self, run: Run, body: Json) -> Json:
        files: dict[str, Any] = body.get("files") or {}
        if history := files.get("wandb-history.jsonl"):
            if history["offset"] != len(run.history):
                raise AnswerError(400, f"history at {history['offset']}, but there are {len(run.history)} lines")
            run.history += [json.loads(line) for line in history["content"]]
        if summary := files.get("wandb-summary.json"):
            run.summary = json.loads(summary["content"][-1])
        if body.get("complete"):
            run.ends.append(body["exitcode"])
        return {"exitcode": None, "limits": {}}
