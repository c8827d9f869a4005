"""A local MLflow database: how it begins, and what it says, read with SQL.

MLflow takes longer to import than most steps work, so that what only reads does without. Reading raises
``sqlite3.Error`` where the database cannot be read so, such as for tables of another MLflow than those known here (3.10
and later); MLflow is then asked instead.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kubeline.artifacts import publish
from kubeline.registry.interface import ModelVersion

_WORKSPACE = "default"  # of everyone, where MLflow keeps none apart
_VERSION = """
select version, source, run_id from model_versions
where workspace = :workspace and name = :name and current_stage != 'Deleted_Internal' and version = """
_OF_ALIAS = """
(select version from registered_model_aliases where workspace = :workspace and name = :name and alias = :asked)"""
_OF_DIGEST = """
(select min(version) from model_version_tags where workspace = :workspace and name = :name
 and key = 'package_digest' and value = :asked)"""
_ALIASES = """
select alias from registered_model_aliases where workspace = :workspace and name = :name and version = :version"""
_TAGS = """
select key, value from model_version_tags where workspace = :workspace and name = :name and version = :version"""
_EXPERIMENT = """
select artifact_location from experiments join experiment_tags using (experiment_id)
where workspace = :workspace and name = :name and lifecycle_stage = 'active' and key = :tag"""


def find(database: Path, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
    """The version that an alias points to, of a number, or of a package; None when there is none."""
    which = _OF_ALIAS if alias else _OF_DIGEST if digest else ":asked"
    of = {"workspace": _WORKSPACE, "name": name, "asked": alias or digest or version}
    with _opened(database, "ro") as connection:
        found = connection.execute(_VERSION + which, of).fetchone()
        if found is None:
            return None
        number, source, run = found
        of["version"] = number
        aliases = sorted(alias for (alias,) in connection.execute(_ALIASES, of))
        tags = dict(connection.execute(_TAGS, of).fetchall())
    return ModelVersion(name, str(number), source, run or "", tuple(aliases), tags)


def artifacts_of(database: Path, experiment: str, tag: str) -> str | None:
    """Where the files of an experiment go, when it is there with this tag and the database can be written to."""
    with _opened(database, "rw") as connection:
        found = connection.execute(_EXPERIMENT, {"workspace": _WORKSPACE, "name": experiment, "tag": tag}).fetchone()
        connection.execute("begin immediate")  # as a writer would
        connection.rollback()
    return None if found is None else str(found[0])


def create(database: Path) -> None:
    """Create a local database whole or not at all.

    MLflow runs more than a hundred migrations, each written through to the disk, and cannot go on where a kill stopped
    it. So they run on a draft, in memory where the system offers a folder for that, which then takes its place.
    """
    from mlflow import MlflowClient

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private folder is made in it
    with TemporaryDirectory(prefix="kubeline-", dir=memory) as folder:
        draft = Path(folder) / database.name
        MlflowClient(f"sqlite:///{draft}")  # opening it runs the migrations
        with publish(database) as partial:
            shutil.copyfile(draft, partial)


@contextmanager
def _opened(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    if os.environ.get("MLFLOW_WORKSPACE", _WORKSPACE) != _WORKSPACE:
        raise sqlite3.NotSupportedError("another workspace is MLflow's own matter")
    with closing(sqlite3.connect(f"{database.as_uri()}?mode={mode}", uri=True, timeout=30)) as connection:
        yield connection
