"""MLflow as the registry: a run for each package, a version for each run, aliases for its place in life."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
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
    RunRecord,
    Submission,
    check_alias,
    check_name,
)
from kubeline.registry.mlflow_client import code, plain_errors, quiet, unless
from kubeline.registry.mlflow_model import FOLDER, PACKAGE
from kubeline.registry.mlflow_runs import DIGEST, Runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.exceptions import MlflowException

logger = logging.getLogger(__name__)

_DEFAULT_URI = "sqlite:///mlflow.db"  # also MLflow's own default, so `mlflow ui` in the same folder shows it
_SQLITE = "sqlite:///"
_PROBED = "kubeline.preflight"  # marks an experiment to which a preflight could write


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
        """Make the experiment of this model, as `register` does, and mark it; check where its files will go."""
        check_name(name)
        if self._database and not self._database.exists():
            return self._require_writable_folder(self._database.parent)
        place = self._probed_before(name)
        if place is None:
            with plain_errors(self.uri), self._one_writer():
                experiment = self._runs.experiment(name)
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
        with plain_errors(self.uri), self._one_writer():
            known = self._version_of(submission)
            run = self._client.get_run(known.run_id) if known and known.run_id else self._runs.of_package(submission)
            self._runs.log(run, submission)
            return known or self._create_version(run, submission)

    def track(self, name: str, pipeline_run: str, tree: RunRecord) -> str:
        """File a run of a pipeline with the runs below it, see :class:`Registry`."""
        check_name(name)
        with plain_errors(self.uri), self._one_writer():
            return self._runs.track(name, pipeline_run, tree)

    def observe(self, name: str, digest: str, moment: datetime, figures: Mapping[str, float]) -> None:
        """File what a window of a package showed, see :class:`Registry`."""
        check_name(name)
        with plain_errors(self.uri), self._one_writer():
            self._runs.observe(name, digest, moment, figures)

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        """Return the version an alias points to, of a number, or of a package; None when there is none."""
        if self._database and not self._database.exists():
            return None  # nothing was ever registered here, and reading must not create a database
        if self._database:
            with suppress(sqlite3.Error):
                return mlflow_database.find(
                    self._database, check_name(name), alias=alias, version=version, digest=digest
                )
        with plain_errors(self.uri):
            try:
                if digest:
                    query = f"name = '{check_name(name)}' and tags.{DIGEST} = '{digest}'"
                    found = self._client.search_model_versions(query)
                    if not found:
                        return None
                    version = min((each.version for each in found), key=int)
                if alias:
                    version = self._client.get_model_version_by_alias(check_name(name), alias).version
                return model_version(self._client.get_model_version(check_name(name), version))
            except self._error as error:
                if code(error) in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None  # MLflow calls an alias that points nowhere an invalid parameter
                raise

    def point(self, alias: str, to: ModelVersion) -> ModelVersion:
        """Point an alias to a version, away from the one that had it."""
        check_alias(alias)
        with plain_errors(self.uri):
            self._client.set_registered_model_alias(to.name, alias, to.version)
            return model_version(self._client.get_model_version(to.name, to.version))

    def promote(self, version: ModelVersion) -> ModelVersion:
        """Make a version the champion; from then on it is no longer the challenger."""
        champion = self.point(CHAMPION, version)
        if CHALLENGER not in champion.aliases:
            return champion
        with plain_errors(self.uri):
            self._client.delete_registered_model_alias(version.name, CHALLENGER)
            return model_version(self._client.get_model_version(version.name, version.version))

    def read_document(self, version: ModelVersion, name: str) -> str:
        """The text beside the package; empty where there is none, or nothing can lie beside it."""
        if not version.run_id:
            return ""
        with plain_errors(self.uri), TemporaryDirectory(prefix="kubeline-") as folder:
            if name not in {Path(each.path).name for each in self._client.list_artifacts(version.run_id, FOLDER)}:
                return ""
            found = self._client.download_artifacts(version.run_id, f"{FOLDER}/{name}", folder)
            return Path(found).read_text(encoding="utf-8")

    def write_documents(self, version: ModelVersion, documents: dict[str, str]) -> None:
        """Put texts beside the package."""
        with plain_errors(self.uri), TemporaryDirectory(prefix="kubeline-") as folder:
            for name, text in documents.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            self._client.log_artifacts(version.run_id, folder, FOLDER)

    def page(self, version: ModelVersion) -> str:
        """The page of MLflow's server; a database alone has none."""
        if scheme(self.uri) not in {"http", "https"}:
            return ""
        return f"{redact(self.uri).rstrip('/')}/#/models/{version.name}/versions/{version.version}"

    def download(self, version: ModelVersion, into: Path) -> Path:
        """Return a local folder with the package of a version."""
        source = f"{version.source}/{PACKAGE}"
        local = _local_folder(source)
        if local is None:
            with plain_errors(self.uri):
                from mlflow.artifacts import download_artifacts

                return Path(download_artifacts(source, dst_path=str(into), tracking_uri=self.uri))
        if not local.is_dir():
            raise PlatformError(
                f"{version.uri} should lie at {local}, but nothing is there; mount that folder here, restore it, "
                "or register the package again"
            )
        return local

    @property
    def _client(self) -> "MlflowClient":
        if self._open_client is None:
            quiet()
            from mlflow import MlflowClient

            logging.getLogger("alembic").setLevel(logging.WARNING)
            with self._lock("open"):  # two processes that create one database would both run its migrations
                if self._database and not self._database.exists():
                    mlflow_database.create(self._database)
                self._open_client = MlflowClient(self.uri)
        return self._open_client

    @property
    def _runs(self) -> Runs:
        return Runs(self._client, self._database.parent if self._database else None)

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
        query = f"name = '{submission.name}' and tags.{DIGEST} = '{submission.digest}'"
        found = sorted(self._client.search_model_versions(query), key=lambda each: int(each.version))
        dead = [each for each in found if each.run_id and not self._has_run(each.run_id)]
        alive = [each for each in found if each not in dead]
        if not alive:
            return None
        kept = alive[0]
        for twin in [*alive[1:], *dead]:
            with unless("RESOURCE_DOES_NOT_EXIST"):  # the other writer was faster
                aliases = self._client.get_model_version(twin.name, twin.version).aliases
                for alias in aliases if twin in dead else ():
                    self._client.set_registered_model_alias(kept.name, alias, kept.version)
                if twin in dead or not aliases:
                    self._client.delete_model_version(twin.name, twin.version)
                    why = "its run was deleted for good" if twin in dead else "it was the same package again"
                    logger.warning("version %s of %s is deleted: %s", twin.version, twin.name, why)
        return model_version(self._client.get_model_version(kept.name, kept.version))

    def _has_run(self, run_id: str) -> bool:
        """Whether a run is there; one that is deleted, but not yet for good, is restored."""
        try:
            if self._client.get_run(run_id).info.lifecycle_stage == "deleted":
                self._client.restore_run(run_id)
        except self._error as error:
            if code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _create_version(self, run: "Run", submission: Submission) -> ModelVersion:
        with unless("RESOURCE_ALREADY_EXISTS"):
            self._client.create_registered_model(submission.name)
        self._client.create_model_version(
            submission.name,
            source=f"{run.info.artifact_uri}/{FOLDER}",
            run_id=run.info.run_id,
            tags={**submission.tags, DIGEST: submission.digest},
            description=submission.description,
        )
        kept = self._version_of(submission)
        if kept is None:
            raise PlatformError(
                f"a version of '{submission.name}' was created and is gone again; is someone deleting versions?"
            )
        return kept

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


def model_version(found: Any) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        source=found.source,
        run_id=found.run_id or "",
        aliases=tuple(sorted(found.aliases)),
        tags=dict(found.tags),
    )
