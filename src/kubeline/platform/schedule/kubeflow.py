"""Schedules as recurring runs of Kubeflow Pipelines.

A recurring run cannot be changed there, so another one takes its place: made paused, and switched on when the old one
is gone, so that no two run side by side; whoever is interrupted goes on with the next `apply`.
"""

import contextlib
import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kubeline.http.requests import MissingError
from kubeline.platform.compiled import Compiled
from kubeline.platform.kfp.connection import KfpConnection
from kubeline.platform.kfp.runs import experiment
from kubeline.platform.kfp.versions import PipelineVersion, ensure, find
from kubeline.platform.schedule.document import SCHEDULED_TIME, Schedule, ScheduleFile
from kubeline.platform.schedule.plan import Live, ScheduleChange, WantedSchedule, plan

_MARK = "kubeline schedule of "  # and the owner: the description, by which ours are known
_TIME = "[[ScheduledTime.2006-01-02T15:04:05Z]]"  # KFP's macro, with the layout of Go
_NOT_YET = "(not uploaded yet)"


class Kubeflow:
    """The recurring runs of one owner."""

    def __init__(self, connection: KfpConnection, owner: str) -> None:
        self._connection = connection
        self._mark = _MARK + owner

    def wanted(self, document: ScheduleFile, files: dict[str, Path], upload: bool) -> list[WantedSchedule]:
        """What the file says; pipelines are uploaded, and experiments made, where they are asked to be."""
        return [
            WantedSchedule(name, self._facts(schedule, Compiled.read(files[name]), upload), schedule.paused)
            for name, schedule in document.schedules.items()
        ]

    def live(self) -> list[Live]:
        """What is there of this owner."""
        return [
            Live(str(one.recurring_run_id), str(one.display_name), _of(one), one.mode != "ENABLE")
            for one in self._all()
            if one.description == self._mark
        ]

    def used_by_others(self, names: Iterable[str]) -> list[str]:
        """Names of the file that others use as well."""
        wanted = set(names)
        return sorted({str(one.display_name) for one in self._all() if one.description != self._mark} & wanted)

    def apply(self, change: ScheduleChange) -> None:
        """Do what is to be done."""
        kept = change.keep.identifier if change.keep else ""
        paused = change.keep.paused if change.keep else True
        if change.wanted and not kept:
            paused = change.wanted.paused or bool(change.delete)
            kept = self._create(change.wanted, paused)
        for one in change.delete:
            self._delete(one.identifier)
        if change.wanted and paused != change.wanted.paused:
            api = self._connection.recurring
            switch = (
                api.recurring_run_service_disable_recurring_run
                if change.wanted.paused
                else (api.recurring_run_service_enable_recurring_run)
            )
            self._connection.read(switch, kept)

    def _all(self) -> Iterator[Any]:
        listed = self._connection.recurring.recurring_run_service_list_recurring_runs
        return self._connection.each(listed, "recurring_runs", namespace=self._connection.namespace)

    def _facts(self, schedule: Schedule, compiled: Compiled, upload: bool) -> dict[str, Any]:
        version = ensure(self._connection, compiled) if upload else find(self._connection, compiled)
        version = version or PipelineVersion(_NOT_YET, _NOT_YET)
        values = {key: _with_time(value) for key, value in schedule.parameters.items()}
        facts = {
            "pipeline": version.pipeline,
            "version": version.version if schedule.version == "pinned" else "latest",
            "cron": f"0 {schedule.cron}" if schedule.cron else "",  # five fields would begin with the second there
            "every": schedule.seconds,
            "start": schedule.start,
            "end": schedule.end,
            "parameters": values,
            "catch_up": schedule.catch_up,
            "concurrency": schedule.concurrency,
            "experiment": self._experiment(schedule.experiment, upload),
        }
        return facts | ({"service_account": schedule.service_account} if schedule.service_account else {})

    def _experiment(self, name: str, make: bool) -> str:
        found = experiment(self._connection, name, make)
        return found or f"{name} (not made yet)"

    def _create(self, wanted: WantedSchedule, paused: bool) -> str:
        from kfp_server_api import V2beta1PipelineVersionReference, V2beta1RecurringRun, V2beta1RuntimeConfig

        facts = wanted.facts
        version = None if facts["version"] == "latest" else facts["version"]  # without one it follows the latest

        def find_made() -> str | None:
            (change,) = plan([wanted], [one for one in self.live() if one.name == wanted.name])
            return change.keep.identifier if change.keep else None

        recurring = V2beta1RecurringRun(
            display_name=wanted.name,
            description=self._mark,
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=facts["pipeline"], pipeline_version_id=version
            ),
            runtime_config=V2beta1RuntimeConfig(parameters=facts["parameters"]),
            experiment_id=facts["experiment"],
            service_account=facts.get("service_account"),
            trigger=_trigger(facts),
            max_concurrency=str(facts["concurrency"]),
            no_catchup=not facts["catch_up"],
            mode="DISABLE" if paused else "ENABLE",
        )
        create, what = (
            self._connection.recurring.recurring_run_service_create_recurring_run,
            f"schedule '{wanted.name}'",
        )
        return self._connection.make(create, find_made, "recurring_run_id", what, recurring)

    def _delete(self, identifier: str) -> None:
        with contextlib.suppress(MissingError):  # gone already
            self._connection.read(self._connection.recurring.recurring_run_service_delete_recurring_run, identifier)


def _trigger(facts: Any) -> Any:
    from kfp_server_api import V2beta1CronSchedule, V2beta1PeriodicSchedule, V2beta1Trigger

    bounds = {"start_time": facts["start"], "end_time": facts["end"]}
    if facts["cron"]:
        return V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=facts["cron"], **bounds))
    return V2beta1Trigger(periodic_schedule=V2beta1PeriodicSchedule(interval_second=str(facts["every"]), **bounds))


def _of(recurring: Any) -> dict[str, Any]:
    """The facts of a recurring run, as the API returns it."""
    reference, trigger = recurring.pipeline_version_reference, recurring.trigger
    cron, periodic = (trigger.cron_schedule, trigger.periodic_schedule) if trigger else (None, None)
    bounds = cron or periodic
    facts = {
        "pipeline": reference.pipeline_id if reference else "(none)",
        "version": (reference.pipeline_version_id or "latest") if reference else "(none)",
        "cron": cron.cron if cron else "",
        "every": int(periodic.interval_second or 0) if periodic else 0,
        "start": _moment(bounds.start_time) if bounds else None,
        "end": _moment(bounds.end_time) if bounds else None,
        "parameters": (recurring.runtime_config.parameters or {}) if recurring.runtime_config else {},
        "catch_up": not recurring.no_catchup,
        "concurrency": int(recurring.max_concurrency or 1),
        "experiment": recurring.experiment_id,
    }
    return facts | {"service_account": recurring.service_account}


def _moment(time: datetime.datetime | None) -> datetime.datetime | None:
    return None if time is None or time.year < 1971 else time  # 1970: there is none


def _with_time(value: Any) -> Any:
    return value.replace(SCHEDULED_TIME, _TIME) if isinstance(value, str) else value
