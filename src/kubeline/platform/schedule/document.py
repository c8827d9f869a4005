"""The file that describes recurring runs."""

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from kubeline.errors import UserError
from kubeline.local.parameters import check
from kubeline.resources import pipeline_file
from kubeline.yaml_files import read_mapping

SCHEDULED_TIME = "${scheduled_time}"  # in a parameter: when the run was due, ISO 8601 in UTC
_DURATION = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CRON = re.compile(r"[\d*/,\-?LW#A-Za-z]+")
_OWNER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Schedule(BaseModel, extra="forbid", strict=True):
    """One recurring run, as the file has it."""

    name: str = ""
    pipeline: str
    version: Literal["pinned", "latest"] = "pinned"
    cron: str = ""
    every: str = ""
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    catch_up: bool = False
    concurrency: int = Field(default=1, ge=1, le=10)
    paused: bool = False
    experiment: str = "Default"
    service_account: str = ""

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str) -> str:
        fields = cron.split()
        if cron and (len(fields) != 5 or not all(_CRON.fullmatch(field) for field in fields)):
            raise ValueError(f"cron is '{cron}'; expected five fields (minute hour day month weekday), in UTC")
        return " ".join(fields)

    @field_validator("start", "end")
    @classmethod
    def _is_utc(cls, moment: datetime.datetime | None) -> datetime.datetime | None:
        return moment.replace(tzinfo=moment.tzinfo or datetime.UTC) if moment else None

    @model_validator(mode="after")
    def _has_a_trigger(self) -> "Schedule":
        if bool(self.cron) == bool(self.every):
            raise ValueError("give one of cron and every")
        if self.every and not self.seconds:
            raise ValueError(f"every is '{self.every}'; expected a whole number of s, m, h or d, such as 6h")
        return self

    @property
    def seconds(self) -> int:
        """Of `every`; 0 without it."""
        found = _DURATION.fullmatch(self.every)
        return int(found[1]) * _SECONDS[found[2]] if found else 0


class ScheduleFile(BaseModel, extra="forbid", strict=True):
    """The file.

    Attributes:
        owner: whose the schedules are; those of other owners, and of none, are left alone.
        platform: where they run.
        schedules: by name.
    """

    owner: str
    platform: Literal["kubeflow", "vertex"] = "kubeflow"
    schedules: dict[str, Schedule] = Field(default_factory=dict)

    @field_validator("owner")
    @classmethod
    def _is_name(cls, owner: str) -> str:
        if not _OWNER.fullmatch(owner):
            raise ValueError(f"owner is '{owner}'; expected a-z, 0-9 and '-', 63 at most")
        return owner


def read(path: Path) -> tuple[ScheduleFile, dict[str, Path]]:
    """The file, and the compiled pipeline of each schedule, whose parameters were checked as for a local run.

    Raises:
        UserError: when something in it is wrong.
    """
    found = read_mapping(path, "schedule file", "owner, platform and schedules to their values")
    try:
        document = ScheduleFile.model_validate(found)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        words = problem["msg"].removeprefix("Value error, ")
        raise UserError(f"the schedule file '{path}' is wrong at {place or 'its top'}: {words}") from error
    files = {}
    for name, schedule in document.schedules.items():
        schedule.name = name
        try:
            files[name] = _file(schedule.pipeline, path.parent, document.platform)
            schedule.parameters = check(files[name], schedule.parameters)
            _refuse_nested(schedule.parameters)
        except UserError as error:
            raise UserError(f"schedule '{name}' in '{path}': {error}") from error
    return document, files


def _file(pipeline: str, folder: Path, platform: Literal["kubeflow", "vertex"]) -> Path:
    if pipeline.endswith((".yaml", ".yml")):
        return pipeline_file(str(folder / pipeline))
    return pipeline_file(pipeline, platform)


def _refuse_nested(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if not isinstance(value, str) and SCHEDULED_TIME in str(value):
            raise UserError(f"{SCHEDULED_TIME} stands within the parameter '{name}'; it is known in texts only")
