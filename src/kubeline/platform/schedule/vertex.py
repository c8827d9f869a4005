"""Schedules of Vertex AI Pipelines. They can be changed in place, and hold the job that they start."""

import datetime
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubeline.errors import PlatformError, UserError
from kubeline.http.requests import MissingError
from kubeline.platform.compiled import Compiled
from kubeline.platform.schedule.document import SCHEDULED_TIME, Schedule, ScheduleFile
from kubeline.platform.schedule.plan import Live, ScheduleChange, WantedSchedule, plan
from kubeline.platform.vertex.connection import VertexConnection
from kubeline.platform.vertex.jobs import VERSION_LABEL, JobRequest, described

_OWNER = "kubeline-schedule"  # the label of the job, by which ours are known
_CHANGEABLE = ("display_name", "cron", "end_time", "max_concurrent_run_count", "create_pipeline_job_request")


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
        self._jobs: dict[str, Any] = {}

    def wanted(self, document: ScheduleFile, files: dict[str, Path], write: bool) -> list[WantedSchedule]:
        """What the file says; nothing is written, since a schedule holds its pipeline."""
        del write
        return [self._wanted(schedule, Compiled.read(files[name])) for name, schedule in document.schedules.items()]

    def live(self) -> list[Live]:
        """What is there of this owner, and has not run out."""
        return [
            Live(one.name, one.display_name, _of(one), one.state.name == "PAUSED")
            for one in self._all()
            if _job(one).labels.get(_OWNER) == self._owner and one.state.name != "COMPLETED"
        ]

    def used_by_others(self, names: Iterable[str]) -> list[str]:
        """Names of the file that others use as well."""
        wanted = set(names)
        others = {one.display_name for one in self._all() if _job(one).labels.get(_OWNER) != self._owner}
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
            services = self._connection.schedules
            switch = services.pause_schedule if wanted.paused else services.resume_schedule
            self._connection.read(switch, name=keep.identifier)

    def _all(self) -> list[Any]:
        pages = self._connection.read(
            self._connection.schedules.list_schedules, parent=self._connection.parent, page_size=100
        )
        return list(pages)

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
            "root": self._jobs[schedule.name].runtime_config.gcs_output_directory,
            "network": request.network,
            "key": request.kms_key,
            "labels": {**request.labels, VERSION_LABEL: compiled.version},
        }
        if schedule.start is None:  # Vertex fills in when it was made
            del facts["start"]
        return WantedSchedule(schedule.name, facts, schedule.paused)

    def _create(self, wanted: WantedSchedule) -> Live:
        services = self._connection.schedules

        def find() -> Any:
            (change,) = plan([wanted], [one for one in self.live() if one.name == wanted.name])
            return services.get_schedule(name=change.keep.identifier) if change.keep else None

        made = self._connection.write(
            services.create_schedule, find, parent=self._connection.parent, schedule=self._schedule(wanted)
        )
        if not made.name:
            raise PlatformError(f"Vertex has made the schedule '{wanted.name}', and does not say which; apply again")
        return Live(made.name, wanted.name, wanted.facts, made.state.name == "PAUSED")

    def _update(self, name: str, wanted: WantedSchedule) -> None:
        schedule = self._schedule(wanted)
        schedule.name = name
        self._connection.read(
            self._connection.schedules.update_schedule,
            schedule=schedule,
            update_mask={"paths": [*_CHANGEABLE, *(["start_time"] if "start" in wanted.facts else [])]},
        )

    def _delete(self, name: str) -> None:
        try:
            self._connection.read(self._connection.schedules.delete_schedule, name=name)
        except MissingError:  # gone already
            return

    def _schedule(self, wanted: WantedSchedule) -> Any:
        from google.cloud.aiplatform_v1.types import CreatePipelineJobRequest
        from google.cloud.aiplatform_v1.types import Schedule as Message

        facts = wanted.facts
        schedule = Message(
            display_name=wanted.name,
            cron=facts["cron"],
            catch_up=facts["catch_up"],
            max_concurrent_run_count=facts["concurrency"],
            create_pipeline_job_request=CreatePipelineJobRequest(
                parent=self._connection.parent, pipeline_job=self._jobs[wanted.name]
            ),
        )
        if facts.get("start"):
            schedule.start_time = facts["start"]
        if facts["end"]:
            schedule.end_time = facts["end"]
        return schedule


def _job(schedule: Any) -> Any:
    return schedule.create_pipeline_job_request.pipeline_job


def _of(schedule: Any) -> dict[str, Any]:
    """The facts of a schedule, as the service returns it."""
    from google.protobuf import json_format

    job = _job(schedule)
    values = json_format.MessageToDict(type(job).pb(job).runtime_config).get("parameterValues", {})
    return {
        "version": job.labels.get(VERSION_LABEL, ""),
        "cron": schedule.cron,
        "start": _moment(schedule.start_time),
        "end": _moment(schedule.end_time),
        "parameters": values,
        "catch_up": schedule.catch_up,
        "concurrency": schedule.max_concurrent_run_count,
        "service_account": job.service_account,
        "root": job.runtime_config.gcs_output_directory,
        "network": job.network,
        "key": job.encryption_spec.kms_key_name,
        "labels": dict(job.labels),
    }


def _moment(time: Any) -> datetime.datetime | None:
    return datetime.datetime.fromtimestamp(time.timestamp(), datetime.UTC) if time else None
