"""MLflow's runs: that of a package, and those of a pipeline run, each below the one that it was part of."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kubeline.addresses import scheme
from kubeline.errors import UserError
from kubeline.model_package.package import ModelPackage
from kubeline.registry import mlflow_model
from kubeline.registry.interface import DataInput, RunRecord, Submission
from kubeline.registry.mlflow_client import code, unless

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

DIGEST = "package_digest"
NAME = "registered_model"
PIPELINE_RUN = "pipeline_run"
_MONITORED = "monitored_package"
_PARENT = "mlflow.parentRunId"  # MLflow's page shows a run below this one
_PART = "kubeline.part"  # of a pipeline run: the names from the top to this run
_GIVEN = "MLFLOW_RUN_ID"  # of the run that Kubeflow Pipelines' own plugin for MLflow has made for the pipeline run
_MAX = 5_000  # runs of a pipeline run: candidates times trials


class Runs:
    """The runs of one MLflow. Everything here may be killed and repeated: what is there is found and completed.

    Args:
        client: of the MLflow.
        beside: the folder of a local database, whose files lie beside it; None for a server.
    """

    def __init__(self, client: "MlflowClient", beside: Path | None) -> None:
        self._client = client
        self._beside = beside

    def experiment(self, name: str) -> str:
        """The experiment's id. With a local database its files lie beside the database, not in the working folder."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            place = (self._beside / "mlruns" / name).as_uri() if self._beside else None
            with unless("RESOURCE_ALREADY_EXISTS"):
                return self._client.create_experiment(name, artifact_location=place)
            found = self._client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise UserError(f"the MLflow experiment '{name}' is deleted; restore it or give another experiment")
        return found.experiment_id

    def of_package(self, submission: Submission) -> "Run":
        """The run of this package, of this pipeline run before others, or a new one."""
        given = "" if submission.experiment else os.environ.get(_GIVEN, "")
        experiment = (
            self._client.get_run(given).info.experiment_id
            if given
            else self.experiment(submission.experiment or submission.name)
        )
        query = f"tags.{DIGEST} = '{submission.digest}' and tags.{NAME} = '{submission.name}'"
        runs = self._client.search_runs([experiment], query, order_by=["attributes.start_time ASC"])
        if runs:
            wanted = submission.tags.get(PIPELINE_RUN, "")
            return next((run for run in runs if run.data.tags.get(PIPELINE_RUN, "") == wanted), runs[0])
        tags = {**_tags(submission), **({_PARENT: given} if given else {})}
        return self._client.create_run(experiment, tags=tags, run_name=f"{submission.name}-{submission.digest[:8]}")

    def log(self, run: "Run", submission: Submission) -> None:
        """Log what the run does not have yet. Repeating it changes nothing: same values, same time, same files.

        Args:
            run: of the package.
            submission: the package and what is logged of it.
        """
        run_id = run.info.run_id
        folder = f"{mlflow_model.FOLDER}/{mlflow_model.PACKAGE}"
        missing = self._lacks(run_id, folder, submission.package)
        if missing or run.info.status != "FINISHED":
            self._log_values(run, submission.params, submission.metrics, _tags(submission))
        if missing:
            self._client.log_artifacts(run_id, str(submission.package), folder)
        self._log_model(run, submission)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run_id)

    def track(self, name: str, pipeline_run: str, tree: RunRecord) -> str:
        """File a pipeline run and the runs below it; see :meth:`Registry.track`."""
        given = os.environ.get(_GIVEN, "")
        top = self._client.get_run(given) if given else None
        experiment = top.info.experiment_id if top else self.experiment(name)
        query = f"tags.{PIPELINE_RUN} = {_quoted(pipeline_run)} and tags.{NAME} = '{name}'"
        found = self._client.search_runs([experiment], query, max_results=_MAX)
        there = {run.data.tags[_PART]: run for run in found if _PART in run.data.tags}
        if top:
            there[tree.name] = top
        common = {NAME: name, PIPELINE_RUN: pipeline_run}
        ids: dict[str, str] = {}
        for part, parent, record in tree.parts("/"):
            above = {_PARENT: ids[parent]} if parent else {}
            ids[part] = self._track_one(experiment, there.get(part), record, {**common, _PART: part, **above})
        return ids[tree.name]

    def observe(self, name: str, digest: str, moment: datetime, figures: Mapping[str, float]) -> None:
        """File what a window showed; see :meth:`Registry.observe`."""
        from mlflow.entities import Metric

        experiment = self.experiment(name)
        query = f"tags.{_MONITORED} = '{digest}' and tags.{NAME} = '{name}'"
        runs = self._client.search_runs([experiment], query, order_by=["attributes.start_time ASC"], max_results=1)
        tags = {_MONITORED: digest, NAME: name}
        run = runs[0] if runs else self._client.create_run(experiment, tags=tags, run_name=f"monitoring-{digest[:8]}")
        seconds = int(moment.timestamp())
        there = {
            key
            for key, value in figures.items()
            for one in (self._client.get_metric_history(run.info.run_id, key) if runs else ())
            if (one.step, one.value) == (seconds, value)
        }
        values = [Metric(key, value, 1000 * seconds, seconds) for key, value in figures.items() if key not in there]
        if values:
            self._client.log_batch(run.info.run_id, metrics=values, synchronous=True)

    def _track_one(self, experiment: str, run: "Run | None", record: RunRecord, tags: dict[str, str]) -> str:
        tags = {**record.tags, **tags}
        if run is None:
            run = self._client.create_run(experiment, tags=tags, run_name=record.name)
        elif run.info.status == "FINISHED":
            return str(run.info.run_id)
        self._log_values(run, record.params, record.metrics, tags)
        if record.inputs:
            self._client.log_inputs(run.info.run_id, [_dataset(one) for one in record.inputs])
        if os.environ.get(_GIVEN) != run.info.run_id:  # who has made it ends it
            self._client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _lacks(self, run_id: str, folder: str, files: Path) -> bool:
        there = {Path(each.path).name: each.file_size for each in self._client.list_artifacts(run_id, folder)}
        return any(there.get(path.name) != path.stat().st_size for path in files.iterdir())

    def _log_model(self, run: "Run", submission: Submission) -> None:
        """``MLmodel`` comes after the package, so that a model that can be loaded is whole."""
        found = mlflow_model.files(ModelPackage.open(submission.package, submission.digest), run)
        there = {Path(each.path).name for each in self._client.list_artifacts(run.info.run_id, mlflow_model.FOLDER)}
        found |= {name: text for name, text in submission.documents.items() if name not in there}
        with TemporaryDirectory(prefix="kubeline-") as folder:
            for name, content in found.items():
                (Path(folder) / name).write_text(content, encoding="utf-8")
            if self._lacks(run.info.run_id, mlflow_model.FOLDER, Path(folder)):
                self._client.log_artifacts(run.info.run_id, folder, mlflow_model.FOLDER)

    def _log_values(self, run: "Run", params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        values = [Metric(name, value, run.info.start_time, 0) for name, value in metrics.items()]
        logged = [Param(name, value) for name, value in params.items()]
        marks = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
        for start in range(0, max(len(values), len(logged), len(marks)), 100):  # MLflow takes 100 of each at once
            part = slice(start, start + 100)
            for last in (False, False, True):
                try:
                    self._client.log_batch(run.info.run_id, values[part], logged[part], marks[part], synchronous=True)
                    break
                except Exception as error:  # two writers of one value break a unique key; the next try finds it there
                    if last or code(error) != "BAD_REQUEST":
                        raise


def _tags(submission: Submission) -> dict[str, str]:
    tags = {**submission.tags, DIGEST: submission.digest, NAME: submission.name}
    if revision := submission.tags.get("git_revision"):
        tags["mlflow.source.git.commit"] = revision  # MLflow's page shows it under this name
    return tags


def _dataset(table: DataInput) -> "DatasetInput":
    """A table as MLflow's page shows it, of a kind of source that ``mlflow.data.get_source`` knows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind = scheme(table.source)
    source: dict[str, Any]
    if kind in {"s3", "gs", "abfss"}:
        known, source = kind, {"uri": table.source}
    elif kind in {"http", "https"}:
        known, source = "http", {"url": table.source}
    elif kind in {"", "file"}:
        known, source = "local", {"uri": table.source}
    else:  # a database, a lake or a stream, which MLflow cannot open so
        known, source = "code", {"tags": {"uri": table.source}}
    return DatasetInput(
        dataset=Dataset(
            name=table.source.rstrip("/").rpartition("/")[2][:100] or "table",
            digest=table.fingerprint[:36],  # the most that MLflow keeps
            source_type=known,
            source=json.dumps(source),
            profile=json.dumps({"fingerprint": table.fingerprint, **table.facts}),
        ),
        tags=[InputTag("mlflow.data.context", table.context)],
    )


def _quoted(value: str) -> str:
    """A value in a query of MLflow, whose language has no escapes."""
    quote = '"' if "'" in value else "'"
    if quote in value:
        raise UserError(f"the pipeline run {value!r} has both kinds of quotes in its name; give it another name")
    return f"{quote}{value}{quote}"
