"""Where predictions go: a folder on disk or in an object store, which holds those of one model for one table."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads

from kubeline import json_files
from kubeline.addresses import file_system, redact, storage_errors
from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError, listed
from kubeline.prediction.shard import Shard

_PARTITIONS = 10_000  # folders of one shard at most; more are a column that is none to partition by


class Destination:
    """A folder that several shards write to, each its own files.

    A file that lists what a shard wrote (`_predictions-2-of-4.json`; readers of Parquet leave out names that begin with
    an underscore) comes last: without it a shard has not been written.
    """

    def __init__(self, uri: str, shard: Shard):
        """Open it; nothing is written yet.

        Raises:
            UserError: when the address cannot be used.
        """
        self.shown = redact(uri)
        self._shard = shard
        try:
            self._system, root = file_system(uri)
        except (ValueError, ImportError) as error:  # unknown protocol, or its package is not installed
            raise UserError(f"destination '{self.shown}' cannot be used: {redact(str(error))}") from error
        self._root = root.rstrip("/")

    @property
    def _marker(self) -> str:
        return f"{self._root}/_predictions-{self._shard.number}-of-{self._shard.count}.json"

    def require_free(self, key: dict[str, str], overwrite: bool) -> None:
        """Refuse a folder with the predictions of another model or table.

        Args:
            key: Identifies these predictions.
            overwrite: Whether those of others are removed instead.

        Raises:
            UserError: names what is there.
            PlatformError: when the storage cannot be used.
        """
        with storage_errors(f"destination '{self.shown}'"):
            for marker in self._system.glob(f"{self._root}/_predictions-*.json"):
                found = self._read_marker(marker)
                if found.get("key") == key:
                    continue
                if not overwrite:
                    raise UserError(
                        f"destination '{self.shown}' holds other predictions (of another model, of another table, or "
                        "with other parameters); choose another destination, or set overwrite"
                    )
                self._remove(marker, found["files"])

    def write(self, folder: Path, partition_by: Sequence[str], key: dict[str, str], facts: dict[str, Any]) -> list[str]:
        """Copy the predictions of a shard there, unless they are there already, and return the names of the files.

        Args:
            folder: The dataset to copy.
            partition_by: Columns that become folders (``carrier=UA/``).
            key: See :meth:`require_free`.
            facts: Written beside it: rows, quarantined rows, versions.

        Raises:
            UserError: when the columns make too many folders.
            PlatformError: when the storage cannot be used; the shard is not there then.
        """
        with tempfile.TemporaryDirectory() as scratch, storage_errors(f"destination '{self.shown}'"):
            if self._system.exists(self._marker):
                return [str(name) for name in self._read_marker(self._marker)["files"]]
            laid_out = Path(scratch) / "files"
            files = _lay_out(folder, laid_out, partition_by, self._shard)
            for name in files:
                self._put(str(laid_out / name), f"{self._root}/{name}")
            marker = Path(scratch) / "marker.json"
            marker.write_text(json.dumps({"key": key, **facts, "files": files}, indent=2), encoding="utf-8")
            self._put(str(marker), self._marker)
        return files

    def _put(self, file: str, target: str) -> None:
        """One file, whole or not at all: object stores show whole objects, and on disk it is renamed."""
        self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
        with self._system.transaction:
            self._system.put_file(file, target)

    def _read_marker(self, marker: str) -> Any:
        content = self._system.cat_file(marker, start=0, end=json_files.MAX_BYTES)
        return json_files.parse(content, f"{marker.rpartition('/')[2]} at destination '{self.shown}'")

    def _remove(self, marker: str, files: list[str]) -> None:
        self._system.rm_file(marker)
        for name in files:
            if self._system.exists(f"{self._root}/{name}"):
                self._system.rm_file(f"{self._root}/{name}")


def _lay_out(folder: Path, target: Path, partition_by: Sequence[str], shard: Shard) -> list[str]:
    """Write the dataset in the form of the destination, and return the paths of its files below `target`."""
    dataset = open_dataset(folder)
    absent = [name for name in partition_by if name not in dataset.schema.names]
    if absent:
        raise UserError(f"partition_by names '{absent[0]}'; the predictions have: {listed(dataset.schema.names, 40)}")
    schema = pa.schema([dataset.schema.field(name) for name in partition_by])
    try:
        pads.write_dataset(
            dataset,
            target,
            basename_template=f"part-{shard.number:05d}-of-{shard.count:05d}-{{i}}.parquet",
            format="parquet",
            partitioning=pads.partitioning(schema, flavor="hive") if partition_by else None,
            max_partitions=_PARTITIONS,
            use_threads=False,  # keeps the order of the rows
            file_options=pads.ParquetFileFormat().make_write_options(compression="zstd"),
        )
    except pa.ArrowInvalid as error:
        raise UserError(f"partition_by {listed(partition_by)} cannot be used: {error}") from error
    return sorted(str(path.relative_to(target)) for path in target.rglob("*.parquet"))
