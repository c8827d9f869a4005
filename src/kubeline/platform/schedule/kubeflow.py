"""Schedules as recurring runs of Kubeflow Pipelines.

A recurring run cannot be changed there, so another one takes its place: made paused, and switched on when the old one
is gone, so that no two run side by side; whoever is interrupted goes on with the next `apply`.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kubeline.http.requests import MissingError
from kubeline.platform.compiled import Compiled, Json
from kubeline.platform.following import moment
from kubeline.platform.kfp.connection import API, KfpConnection
from kubeline.platform.kfp.runs import experiment
from kubeline.platform.kfp.versions import PipelineVersion, ensure, find
from kubeline.platform.schedule.document import SCHEDULED_TIME, Schedule, ScheduleFile
from kubeline.platform.schedule.plan import Live, ScheduleChange, WantedSchedule, plan

_RECURRING = f"{API}/recurringruns"
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
            Live(one["recurring_run_id"], one["display_name"], _of(one), one.get("mode") != "ENABLE")
            for one in self._all()
            if one.get("description") == self._mark
        ]

    def used_by_others(self, names: Iterable[str]) -> list[str]:
        """Names of the file that others use as well."""
        wanted = set(names)
        return sorted({one["display_name"] for one in self._all() if one.get("description") != self._mark} & wanted)

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
            self._connection.write("POST", f"{_RECURRING}/{kept}:{'disable' if change.wanted.paused else 'enable'}")

    def _all(self) -> Iterator[Json]:
        of = {"namespace": self._connection.namespace, "page_size": 100}
        return self._connection.each(_RECURRING, "recurringRuns", "page_token", **of)

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
        facts = wanted.facts
        reference = {"pipeline_id": facts["pipeline"], "pipeline_version_id": facts["version"]}
        if facts["version"] == "latest":
            del reference["pipeline_version_id"]  # without one it follows the latest

        def find_made() -> str | None:
            (change,) = plan([wanted], [one for one in self.live() if one.name == wanted.name])
            return change.keep.identifier if change.keep else None

        recurring = {
            "display_name": wanted.name,
            "description": self._mark,
            "pipeline_version_reference": reference,
            "runtime_config": {"parameters": facts["parameters"]},
            "experiment_id": facts["experiment"],
            **{key: facts[key] for key in ("service_account",) if key in facts},
            "trigger": _trigger(facts),
            "max_concurrency": str(facts["concurrency"]),
            "no_catchup": not facts["catch_up"],
            "mode": "DISABLE" if paused else "ENABLE",
        }
        return self._connection.make(_RECURRING, recurring, find_made, "recurring_run_id", f"schedule '{wanted.name}'")

    def _delete(self, identifier: str) -> None:
        with contextlib.suppress(MissingError):  # gone already
            self._connection.write("DELETE", f"{_RECURRING}/{identifier}")


def _trigger(facts: Any) -> Json:
    times = {"start_time": facts["start"], "end_time": facts["end"]}
    bounds = {key: time.isoformat() for key, time in times.items() if time}
    if facts["cron"]:
        return {"cron_schedule": {"cron": facts["cron"], **bounds}}
    return {"periodic_schedule": {"interval_second": str(facts["every"]), **bounds}}


def _of(recurring: Json) -> dict[str, Any]:
    """The facts of a recurring run, as the API returns it."""
    reference, trigger = recurring.get("pipeline_version_reference", {}), recurring.get("trigger", {})
    cron, periodic = trigger.get("cron_schedule", {}), trigger.get("periodic_schedule", {})
    bounds = cron or periodic
    return {
        "pipeline": reference.get("pipeline_id") or "(none)",
        "version": (reference.get("pipeline_version_id") or "latest") if reference else "(none)",
        "cron": cron.get("cron", ""),
        "every": int(periodic.get("interval_second") or 0),
        "start": moment(bounds.get("start_time")),
        "end": moment(bounds.get("end_time")),
        "parameters": recurring.get("runtime_config", {}).get("parameters", {}),
        "catch_up": not recurring.get("no_catchup"),
        "concurrency": int(recurring.get("max_concurrency") or 1),
        "experiment": recurring.get("experiment_id"),
        "service_account": recurring.get("service_account"),
    }


def _with_time(value: Any) -> Any:
    return value.replace(SCHEDULED_TIME, _TIME) if isinstance(value, str) else value
