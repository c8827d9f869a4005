"""The step that checks in seconds what a run will need, and reports all problems at once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubeline.artifacts import Artifact, step
from kubeline.errors import UserError
from kubeline.options import require_names
from kubeline.preflight import parameters, services
from kubeline.preflight.checks import Checks, Result
from kubeline.registry.opening import is_apart
from kubeline.reports import Report, Tone, table, text, verdict

logger = logging.getLogger(__name__)

_TONES: dict[Result, Tone] = {"fine": "good", "wrong": "bad", "unreachable": "bad", "not checked": "plain"}


@dataclass(frozen=True)
class PreflightSettings:
    """What a run was asked for; the fields are the inputs of the component `preflight`, empty where there is none."""

    data: str = ""
    columns: Sequence[str] = ()
    at: str = ""
    length: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    name: str = ""
    schema_uri: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    candidates: Sequence[Any] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    exclude: Sequence[str] = ()
    group_column: str = ""
    time_column: str = ""
    weight_column: str = ""
    slices: Sequence[str] = ()
    metric: str = ""
    gate: Mapping[str, Any] = field(default_factory=dict)
    max_latency_ms: float = 100.0
    tracking_uri: str = ""
    reference: str = ""
    drift: Mapping[str, Any] = field(default_factory=dict)
    history: str = ""
    alarm: Mapping[str, Any] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)
    gateway: str = ""

    @property
    def have_times(self) -> bool:
        """Whether `train` knows the times of its rows: by their column, or by that of a split by time."""
        return bool(self.time_column) or (self.split.get("by") == "time" and not self.group_column)


@step
def run(report: Artifact, **given: Any) -> None:
    """Try everything and write a page of it; see the component `preflight`.

    Raises:
        UserError: names every parameter that is wrong.
        PlatformError: names what cannot be reached.
    """
    checks = checks_of(PreflightSettings(**given))
    for check in checks.done:
        logger.info("%s: %s%s", check.name, check.result, f" ({check.sentence})" if check.sentence else "")
    page(checks).write(report.path)
    checks.raise_what_failed()


def checks_of(wanted: PreflightSettings) -> Checks:
    """The parameters first; when they are right, the external services."""
    checks = Checks()
    _parameters(checks, wanted)
    if not checks.failed:
        _services(checks, wanted)
    return checks


def _parameters(checks: Checks, wanted: PreflightSettings) -> None:
    checks.run("source", lambda: _source(wanted))
    checks.run("exclude", lambda: require_names("exclude", wanted.exclude))
    if wanted.name:
        checks.run("name", lambda: parameters.check_model_name(wanted.name))
        checks.run("service", lambda: _only_raise(_service(wanted)))
        checks.run("plan", lambda: parameters.check_plan(wanted.plan))
    if wanted.reference:
        checks.run("drift", lambda: parameters.check_drift(wanted.drift, wanted.history))
    if wanted.history:
        checks.run("alarm", lambda: parameters.check_alarm(wanted.alarm))
    if wanted.target:
        checks.run("training", lambda: _training(wanted))
        checks.run("gate", lambda: parameters.check_gate(wanted.metric, wanted.slices, wanted.gate))
        checks.run("split", lambda: parameters.check_split(wanted.split))
        checks.run("checks", lambda: parameters.check_validation(wanted.checks))
        checks.run("model server", lambda: parameters.check_server(wanted.max_latency_ms))


def _services(checks: Checks, wanted: PreflightSettings) -> None:
    checks.run("data", lambda: _data(wanted))
    if wanted.schema_uri:
        checks.run("schema", lambda: services.check_schema(wanted.schema_uri))
    if (wanted.name or wanted.drift or wanted.history) and is_apart(wanted.tracking_uri):
        checks.run("tracker", lambda: services.check_tracker(wanted.tracking_uri))
    if wanted.name:
        checks.run("registry", lambda: services.check_registry(wanted.tracking_uri, wanted.name))
    if wanted.reference:
        checks.run("reference", lambda: services.check_reference(wanted.tracking_uri, wanted.reference))
    if wanted.history:
        checks.run("history", lambda: services.check_history(wanted.history))
    if place := str(wanted.service.get("storage_uri", "")):
        checks.run("storage", lambda: services.check_package_store(place))
    if wanted.cluster:
        checks.run(
            "cluster", lambda: services.check_cluster(wanted.cluster, _service(wanted), wanted.plan, wanted.gateway)
        )
    if workers := wanted.training.get("workers"):
        checks.run("workers", lambda: services.check_workers(workers))
    if wanted.gateway:
        checks.run("gateway", lambda: services.check_gateway(wanted.gateway))
    checks.run("channels", services.check_channels)


def _source(wanted: PreflightSettings) -> None:
    parameters.check_source(wanted.data, wanted.columns, (wanted.at, wanted.length), wanted.source)


def _training(wanted: PreflightSettings) -> None:
    parameters.check_training(wanted.candidates, wanted.training, wanted.seed)
    if (half_life := wanted.training.get("half_life")) and not wanted.have_times:
        raise UserError(
            f"half_life is '{half_life}', but the ages of the rows are not known: name their time_column, "
            "instead of a group_column, or split by time"
        )


def _service(wanted: PreflightSettings) -> dict[str, Any]:
    return parameters.check_service(wanted.name, wanted.cluster, wanted.service)


def _data(wanted: PreflightSettings) -> str | None:
    from kubeline.data.peek import columns_of

    if not wanted.data:
        raise UserError("data is empty; give a path, folder, glob or URI")
    source = parameters.source_of(wanted.source)
    if source["spark"]:
        return services.check_spark(source["spark"])
    columns = columns_of(wanted.data, source["format"])
    found = None if columns is None else [*columns]
    if source["features"]:
        of_rows = None if source["labels"] else columns
        hinted = bool(wanted.schema_uri or wanted.reference)
        found = services.check_features(source["features"], of_rows, source["time"], source["types"], hinted)
    known = list(wanted.columns) or found
    if known is None:
        return "the data is there, and its columns are known when it is loaded"
    if source["labels"]:
        services.check_labels(source["labels"])
        return "the data and the labels are there, and their columns are known when they are joined"
    if found is not None:
        of_source = {f"source.{name}": [*source[name]] for name in ("rename", "types")}
        if wanted.history and wanted.target:  # a retraining, whose rows are those before the alarm
            of_source["source.time"] = [source["time"]]
        parameters.check_columns(found, {"columns": wanted.columns, **of_source})
    named = {
        "target": [wanted.target],
        "exclude": wanted.exclude,
        "a role": [wanted.group_column, wanted.time_column, wanted.weight_column],
        "split.column": [str(wanted.split.get("column", ""))],
        "slices": wanted.slices,
        "gate.fairness": parameters.columns_of_fairness(wanted.gate),
        "training.derive": parameters.columns_of_expressions(wanted.training),
        "checks.rules": [] if wanted.schema_uri else parameters.columns_of_rules(wanted.checks),
    }
    parameters.check_columns([source["rename"].get(name, name) for name in known], named)
    return None


def _only_raise(_: object) -> None:
    return None


def page(checks: Checks) -> Report:
    """The checks that were made."""
    made = Report("Preflight", "What this run needs, tried before it began")
    failed = [f"{check.name}: {check.sentence}" for check in checks.failed]
    word = "this run would fail" if failed else "everything that could be tried is fine"
    made.add("Result", verdict(word, "bad" if failed else "good", failed))
    rows = [[check.name, check.result, check.sentence] for check in checks.done]
    made.add("Checks", table(["what", "result", "why"], rows))
    if any(check.result == "not checked" for check in checks.done):
        made.add("Not checked", text("What is not checked here is found out by the step that needs it."))
    return made
