"""MLflow as the registry: a run for each package, a version for each run, aliases for its place in life."""

import fcntl
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kubeline.addresses import redact, scheme
from kubeline.data.peek import reach
from kubeline.data.sources import STORES
from kubeline.errors import PlatformError, UserError
from kubeline.registry import mlflow_database
from kubeline.registry.interface import (
    CHALLENGER,
    CHAMPION,
    ModelVersion,
    Submission,
    check_alias,
    check_name,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.exceptions import MlflowException

logger = logging.getLogger(__name__)

_DEFAULT_URI = "sqlite:///mlflow.db"  # also MLflow's own default, so `mlflow ui` in the same folder shows it
_FOLDER = "package"  # where the model package lies among the artifacts of its run
_DIGEST = "package_digest"
_NAME = "registered_model"
_SQLITE = "sqlite:///"
_PROBED = "kubeline.preflight"  # marks an experiment to which a preflight could write

# MLflow is quiet, sends nothing about its use, and does not try for minutes. What a user has set stays.
_ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class MLflowRegistry:
    """The model registry of an MLflow tracking server or database.

    One package gives one version, also after a kill at any point and when two steps register it at once. The version
    and its digest tag are written in one transaction; what comes before (run, files) is found again and completed by
    the next call. Beside a local SQLite file a lock lets one writer in at a time. On a server two writers may both
    make a version for a moment; each then keeps the lowest one and deletes the rest (a second run may remain).

    Args:
        tracking_uri: any tracking URI of MLflow; empty for ``MLFLOW_TRACKING_URI``, else `mlflow.db` in the working
            directory.
    """

    def __init__(self, tracking_uri: str = "") -> None:
        self.uri = _resolve(tracking_uri)
        self._database = _sqlite_file(self.uri)
        self._open_client: MlflowClient | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages: without credentials."""
        there = self._database is None or self._database.exists()
        return redact(self.uri) + ("" if there else " (which is not there yet)")

    def probe(self, name: str) -> None:
        """Make the experiment of this model, as `register` does, and mark it; look at where its files will go."""
        check_name(name)
        if self._database and not self._database.exists():
            return self._require_writable_folder(self._database.parent)
        place = self._probed_before(name)
        if place is None:
            with self._plain_errors(), self._one_writer():
                experiment = self._experiment(name)
                self._client.set_experiment_tag(experiment, _PROBED, "passed")
                place = self._client.get_experiment(experiment).artifact_location
        if scheme(place) in STORES:  # else the server has the files
            reach(place)
        return None

    def _probed_before(self, name: str) -> str | None:
        """Where the files of an experiment go that is there and marked in a local database which can be written to."""
        with suppress(sqlite3.Error):
            return mlflow_database.artifacts_of(self._database, name, _PROBED) if self._database else None
        return None

    @staticmethod
    def _require_writable_folder(folder: Path) -> None:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(there, os.W_OK):
            raise PlatformError(f"the MLflow database cannot be made: this user may not write to {there}")

    def register(self, submission: Submission) -> ModelVersion:
        """Return the version of this package, made when there is none; see :class:`Registry`."""
        check_name(submission.name)
        with self._plain_errors(), self._one_writer():
            known = self._version_of(submission)
            run = self._client.get_run(known.run_id) if known and known.run_id else self._run_for(submission)
            self._log(run, submission)
            return known or self._create_version(run, submission)

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        """Return the version an alias points to, of a number, or of a package; None when there is none."""
        if self._database and not self._database.exists():
            return None  # nothing was ever registered here, and looking must not create a database
        if self._database:
            with suppress(sqlite3.Error):
                return mlflow_database.find(
                    self._database, check_name(name), alias=alias, version=version, digest=digest
                )
        with self._plain_errors():
            try:
                if digest:
                    query = f"name = '{check_name(name)}' and tags.{_DIGEST} = '{digest}'"
                    found = self._client.search_model_versions(query)
                    if not found:
                        return None
                    version = min((each.version for each in found), key=int)
                if alias:
                    version = self._client.get_model_version_by_alias(check_name(name), alias).version
                return _version(self._client.get_model_version(check_name(name), version))
            except self._error as error:
                if _code(error) in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None  # MLflow calls an alias that points nowhere an invalid parameter
                raise

    def point(self, alias: str, to: ModelVersion) -> ModelVersion:
        """Point an alias to a version, away from the one that had it."""
        check_alias(alias)
        with self._plain_errors():
            self._client.set_registered_model_alias(to.name, alias, to.version)
            return _version(self._client.get_model_version(to.name, to.version))

    def promote(self, version: ModelVersion) -> ModelVersion:
        """Make a version the champion; from then on it is no longer the challenger."""
        champion = self.point(CHAMPION, version)
        if CHALLENGER not in champion.aliases:
            return champion
        with self._plain_errors():
            self._client.delete_registered_model_alias(version.name, CHALLENGER)
            return _version(self._client.get_model_version(version.name, version.version))

    def page(self, version: ModelVersion) -> str:
        """The page of MLflow's server; a database alone has none."""
        if scheme(self.uri) not in {"http", "https"}:
            return ""
        return f"{redact(self.uri).rstrip('/')}/#/models/{version.name}/versions/{version.version}"

    def download(self, version: ModelVersion, into: Path) -> Path:
        """Return a local folder with the package of a version."""
        local = _local_folder(version.source)
        if local is None:
            with self._plain_errors():
                from mlflow.artifacts import download_artifacts

                return Path(download_artifacts(version.source, dst_path=str(into), tracking_uri=self.uri))
        if not local.is_dir():
            raise PlatformError(
                f"{version.uri} should lie at {local}, but nothing is there; mount that folder here, restore it, "
                "or register the package again"
            )
        return local

    @property
    def _client(self) -> "MlflowClient":
        if self._open_client is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            logging.getLogger("alembic").setLevel(logging.WARNING)
            with self._lock("open"):  # two processes that create one database would both run its migrations
                if self._database and not self._database.exists():
                    mlflow_database.create(self._database)
                self._open_client = MlflowClient(self.uri)
        return self._open_client

    @property
    def _error(self) -> "type[MlflowException]":
        from mlflow.exceptions import MlflowException

        return MlflowException

    def _version_of(self, submission: Submission) -> ModelVersion | None:
        """The lowest version of this package whose run is there. Any other, of two writers at once, is deleted.

        One that someone points to stays, and its run is kept: a third writer may just have found it and be logging to
        it. A version whose run is gone for good (``mlflow gc`` takes its files too) hands its aliases over, and is
        deleted.
        """
        query = f"name = '{submission.name}' and tags.{_DIGEST} = '{submission.digest}'"
        found = sorted(self._client.search_model_versions(query), key=lambda each: int(each.version))
        dead = [each for each in found if each.run_id and not self._has_run(each.run_id)]
        alive = [each for each in found if each not in dead]
        if not alive:
            return None
        kept = alive[0]
        for twin in [*alive[1:], *dead]:
            with self._unless("RESOURCE_DOES_NOT_EXIST"):  # the other writer was faster
                aliases = self._client.get_model_version(twin.name, twin.version).aliases
                for alias in aliases if twin in dead else ():
                    self._client.set_registered_model_alias(kept.name, alias, kept.version)
                if twin in dead or not aliases:
                    self._client.delete_model_version(twin.name, twin.version)
                    why = "its run was deleted for good" if twin in dead else "it was the same package again"
                    logger.warning("version %s of %s is deleted: %s", twin.version, twin.name, why)
        return _version(self._client.get_model_version(kept.name, kept.version))

    def _has_run(self, run_id: str) -> bool:
        """Whether a run is there; one that is deleted, but not yet for good, is restored."""
        try:
            if self._client.get_run(run_id).info.lifecycle_stage == "deleted":
                self._client.restore_run(run_id)
        except self._error as error:
            if _code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _create_version(self, run: "Run", submission: Submission) -> ModelVersion:
        with self._unless("RESOURCE_ALREADY_EXISTS"):
            self._client.create_registered_model(submission.name)
        self._client.create_model_version(
            submission.name,
            source=f"{run.info.artifact_uri}/{_FOLDER}",
            run_id=run.info.run_id,
            tags={**submission.tags, _DIGEST: submission.digest},
            description=submission.description,
        )
        kept = self._version_of(submission)
        if kept is None:
            raise PlatformError(
                f"a version of '{submission.name}' was created and is gone again; is someone deleting versions?"
            )
        return kept

    def _run_for(self, submission: Submission) -> "Run":
        """The run that an earlier, killed call began for this package, or a new one."""
        experiment = self._experiment(submission.experiment or submission.name)
        query = f"tags.{_DIGEST} = '{submission.digest}' and tags.{_NAME} = '{submission.name}'"
        runs = self._client.search_runs([experiment], query, max_results=1, order_by=["attributes.start_time ASC"])
        if runs:
            return runs[0]
        tags = {**submission.tags, _DIGEST: submission.digest, _NAME: submission.name}
        if revision := submission.tags.get("git_revision"):
            tags["mlflow.source.git.commit"] = revision  # MLflow's page shows it under this name
        return self._client.create_run(experiment, tags=tags, run_name=f"{submission.name}-{submission.digest[:8]}")

    def _experiment(self, name: str) -> str:
        """The experiment's id. With a local database its files lie beside the database, not in the working folder."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            place = (self._database.parent / "mlruns" / name).as_uri() if self._database else None
            with self._unless("RESOURCE_ALREADY_EXISTS"):
                return self._client.create_experiment(name, artifact_location=place)
            found = self._client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise UserError(f"the MLflow experiment '{name}' is deleted; restore it or give another experiment")
        return found.experiment_id

    def _log(self, run: "Run", submission: Submission) -> None:
        """Log what the run does not have yet. Repeating it changes nothing: same values, same time, same files."""
        run_id = run.info.run_id
        if run.info.status != "FINISHED":
            self._log_values(run, submission)
        there = {Path(each.path).name: each.file_size for each in self._client.list_artifacts(run_id, _FOLDER)}
        files = {path.name: path.stat().st_size for path in submission.package.iterdir()}
        if any(there.get(name) != size for name, size in files.items()):
            self._client.log_artifacts(run_id, str(submission.package), _FOLDER)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run_id)

    def _log_values(self, run: "Run", submission: Submission) -> None:
        from mlflow.entities import Metric, Param

        metrics = [Metric(name, value, run.info.start_time, 0) for name, value in submission.metrics.items()]
        params = [Param(name, value) for name, value in submission.params.items()]
        for start in range(0, max(len(metrics), len(params)), 100):  # MLflow takes 100 parameters at once
            part = slice(start, start + 100)
            for last in (False, False, True):
                try:
                    self._client.log_batch(run.info.run_id, metrics[part], params[part], synchronous=True)
                    break
                except self._error as error:  # two writers of one value break a unique key; the next try finds it there
                    if last or _code(error) != "BAD_REQUEST":
                        raise

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        if self._database:
            self._database.parent.mkdir(parents=True, exist_ok=True)
        with self._lock("write"):
            yield

    @contextmanager
    def _lock(self, purpose: str) -> Iterator[None]:
        """Hold a lock beside a local database; the system frees it when this process dies."""
        with ExitStack() as held:
            if self._database and os.access(self._database.parent, os.W_OK):
                path = self._database.with_name(f".{self._database.name}.{purpose}.lock")
                fcntl.flock(held.enter_context(path.open("a")), fcntl.LOCK_EX)
            yield

    @contextmanager
    def _unless(self, code: str) -> Iterator[None]:
        """Ignore MLflow's error of one code: someone else has done it."""
        try:
            yield
        except self._error as error:
            if _code(error) != code:
                raise

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Tell in one sentence what is wrong with the registry."""
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (self._error, RequestException, SQLAlchemyError) as error:
            raise PlatformError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        place = redact(self.uri)
        reason = redact(str(error).strip().partition("\n")[0])
        if "Invalid Host header" in reason:
            host = urlsplit(self.uri).netloc.rpartition("@")[2]
            return (
                f"the MLflow registry at {place} does not know the host it was asked for; start its server with "
                f"--allowed-hosts {host} (MLflow 3.5 and later refuse other names than localhost)"
            )
        if _code(error) in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            return (
                f"the MLflow registry at {place} refuses this user: set MLFLOW_TRACKING_TOKEN, or "
                f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD ({reason})"
            )
        if failed := re.search(r"too many (\d{3}) error responses", str(error)):
            return (
                f"the MLflow registry at {place} was reached, but answers with HTTP {failed.group(1)}; look into its "
                "log, or try again later"
            )
        if "Max retries exceeded" in reason or "unable to open database file" in reason:
            return f"cannot reach the MLflow registry at {place}; check that the address is right and that it is up"
        return f"the MLflow registry at {place} failed: {reason}"


def _resolve(tracking_uri: str) -> str:
    """The tracking URI to use, with the path of a SQLite file made absolute."""
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        if os.environ.get("KFP_POD_NAME") or os.environ.get("CLOUD_ML_JOB_ID"):
            raise UserError(
                "no tracking URI was given, and a database in this container would be lost with it; give "
                "tracking_uri, or set MLFLOW_TRACKING_URI to the address of an MLflow server"
            )
        uri = _DEFAULT_URI
    file = _sqlite_file(uri)
    return f"{_SQLITE}{file}" if file else uri


def _sqlite_file(uri: str) -> Path | None:
    path = uri.removeprefix(_SQLITE)
    return None if path == uri or not path or path.startswith(":") or "?" in path else Path(path).absolute()


def _local_folder(source: str) -> Path | None:
    parts = urlsplit(source)
    return Path(unquote(parts.path)) if parts.scheme in {"", "file"} else None


def _code(error: Exception) -> str:
    return str(getattr(error, "error_code", ""))


def _version(found: Any) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        source=found.source,
        run_id=found.run_id or "",
        aliases=tuple(sorted(found.aliases)),
        tags=dict(found.tags),
    )
