"""Schedules of Vertex AI Pipelines. They can be changed in place, and hold the job that they start."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubeline.errors import PlatformError, UserError
from kubeline.http.requests import MissingError
from kubeline.platform.compiled import Compiled, Json
from kubeline.platform.following import moment
from kubeline.platform.schedule.document import SCHEDULED_TIME, Schedule, ScheduleFile
from kubeline.platform.schedule.plan import Live, ScheduleChange, WantedSchedule, plan
from kubeline.platform.vertex.connection import VertexConnection
from kubeline.platform.vertex.jobs import VERSION_LABEL, JobRequest, described

_OWNER = "kubeline-schedule"  # the label of the job, by which ours are known
_CHANGEABLE = ("displayName", "cron", "endTime", "maxConcurrentRunCount", "createPipelineJobRequest")
_PAGE = 10  # schedules of an answer: each holds its pipeline


class Vertex:
    """The schedules of one owner.

    Args:
        connection: to Vertex.
        owner: of the schedules.
        request: what their jobs have in common: root, network, key and labels.
    """

    def __init__(self, connection: VertexConnection, owner: str, request: JobRequest) -> None:
        self._connection = connection
        self._owner = owner
        self._request = request
        self._jobs: dict[str, Json] = {}

    def wanted(self, document: ScheduleFile, files: dict[str, Path], write: bool) -> list[WantedSchedule]:
        """What the file says; nothing is written, since a schedule holds its pipeline."""
        del write
        return [self._wanted(schedule, Compiled.read(files[name])) for name, schedule in document.schedules.items()]

    def live(self) -> list[Live]:
        """What is there of this owner, and has not run out."""
        return [
            Live(one["name"], one["displayName"], _of(one), one.get("state") == "PAUSED")
            for one in self._all()
            if _owner(one) == self._owner and one.get("state") != "COMPLETED"
        ]

    def used_by_others(self, names: Iterable[str]) -> list[str]:
        """Names of the file that others use as well."""
        wanted = set(names)
        others = {one["displayName"] for one in self._all() if _owner(one) != self._owner}
        return sorted(others & wanted)

    def apply(self, change: ScheduleChange) -> None:
        """Do what is to be done: of several of a name one is changed, and the others go."""
        wanted, keep = change.wanted, change.keep
        gone = list(change.delete)
        if wanted and keep is None and gone:
            keep = gone.pop(0)
            self._update(keep.identifier, wanted)
        for one in gone:
            self._delete(one.identifier)
        if wanted and keep is None:
            keep = self._create(wanted)
        if wanted and keep and wanted.paused != keep.paused:
            self._connection.api.write("POST", f"/v1/{keep.identifier}:{'pause' if wanted.paused else 'resume'}", {})

    def _all(self) -> Iterator[Json]:
        return self._connection.api.each(f"/v1/{self._connection.parent}/schedules", "schedules", pageSize=_PAGE)

    def _wanted(self, schedule: Schedule, compiled: Compiled) -> WantedSchedule:
        refuse = f"schedule '{schedule.name}': Vertex has no"
        if schedule.every:
            raise UserError(f"{refuse} `every`; give a cron")
        if schedule.version == "latest":
            raise UserError(f"{refuse} latest version, since a schedule holds its pipeline; leave `version` out")
        if any(SCHEDULED_TIME in str(value) for value in schedule.parameters.values()):
            raise UserError(
                f"{refuse} {SCHEDULED_TIME} in parameters; leave it out where the pipeline takes the "
                "schedule's time by itself, as monitoring does for an empty `at`, or use kfp.dsl's placeholder in yours"
            )
        request = replace(
            self._request,
            values=schedule.parameters,
            service_account=schedule.service_account,
            labels={**self._request.labels, _OWNER: self._owner},
        )
        self._jobs[schedule.name] = described(compiled, request, schedule.name)
        facts = {
            "version": compiled.version,
            "cron": schedule.cron,
            "start": schedule.start,
            "end": schedule.end,
            "parameters": schedule.parameters,
            "catch_up": schedule.catch_up,
            "concurrency": schedule.concurrency,
            "service_account": schedule.service_account,
            "root": self._jobs[schedule.name]["runtimeConfig"]["gcsOutputDirectory"],
            "network": request.network,
            "key": request.kms_key,
            "labels": {**request.labels, VERSION_LABEL: compiled.version},
        }
        if schedule.start is None:  # Vertex fills in when it was made
            del facts["start"]
        return WantedSchedule(schedule.name, facts, schedule.paused)

    def _create(self, wanted: WantedSchedule) -> Live:
        def find() -> Any:
            (change,) = plan([wanted], [one for one in self.live() if one.name == wanted.name])
            return self._connection.api.find(f"/v1/{change.keep.identifier}") if change.keep else None

        schedules = f"/v1/{self._connection.parent}/schedules"
        made = self._connection.api.write("POST", schedules, self._schedule(wanted), find)
        if not made.get("name"):
            raise PlatformError(f"Vertex has made the schedule '{wanted.name}', and does not say which; apply again")
        return Live(made["name"], wanted.name, wanted.facts, made.get("state") == "PAUSED")

    def _update(self, name: str, wanted: WantedSchedule) -> None:
        changed = ",".join([*_CHANGEABLE, *(["startTime"] if "start" in wanted.facts else [])])
        body = {"name": name, **self._schedule(wanted)}
        self._connection.api.write("PATCH", f"/v1/{name}?updateMask={changed}", body)

    def _delete(self, name: str) -> None:
        with contextlib.suppress(MissingError):  # gone already
            self._connection.api.write("DELETE", f"/v1/{name}")

    def _schedule(self, wanted: WantedSchedule) -> Json:
        facts = wanted.facts
        bounds = {"startTime": facts.get("start"), "endTime": facts["end"]}
        return {
            "displayName": wanted.name,
            "cron": facts["cron"],
            "catchUp": facts["catch_up"],
            "maxConcurrentRunCount": str(facts["concurrency"]),
            "createPipelineJobRequest": {"parent": self._connection.parent, "pipelineJob": self._jobs[wanted.name]},
            **{name: at.isoformat() for name, at in bounds.items() if at},
        }


def _job(schedule: Json) -> Json:
    job: Json = schedule.get("createPipelineJobRequest", {}).get("pipelineJob", {})
    return job


def _owner(schedule: Json) -> str:
    return str(_job(schedule).get("labels", {}).get(_OWNER, ""))


def _of(schedule: Json) -> Json:
    """The facts of a schedule, as the service returns it."""
    job = _job(schedule)
    labels, runtime = job.get("labels", {}), job.get("runtimeConfig", {})
    return {
        "version": labels.get(VERSION_LABEL, ""),
        "cron": schedule.get("cron", ""),
        "start": moment(schedule.get("startTime")),
        "end": moment(schedule.get("endTime")),
        "parameters": runtime.get("parameterValues", {}),
        "catch_up": schedule.get("catchUp", False),
        "concurrency": int(schedule.get("maxConcurrentRunCount", 0)),
        "service_account": job.get("serviceAccount", ""),
        "root": runtime.get("gcsOutputDirectory", ""),
        "network": job.get("network", ""),
        "key": job.get("encryptionSpec", {}).get("kmsKeyName", ""),
        "labels": labels,
    }
