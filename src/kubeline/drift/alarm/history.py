"""What windows showed, which alarms were raised and who answers them, in a folder that all runs reach: on disk or in an
object store.

A window is one file, named by its bounds: a run that is repeated writes the same one again. Its profile is another, for
checks of later windows. Alarms are numbered, and a
number can be taken once: of two runs that raise one at the same time, the other reads again and finds it raised. An
alarm is answered once in the same way.
"""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from kubeline.addresses import file_system, redact, storage_errors
from kubeline.drift.alarm.rule import AlarmRecord, AnswerRecord, WindowRecord
from kubeline.errors import UserError

_STAMP = "%Y%m%dT%H%M%SZ"
Record = TypeVar("Record", WindowRecord, AlarmRecord, AnswerRecord)


@dataclass(frozen=True)
class KeptProfile:
    """The profile of one window: its bounds, and its `file`, which says what the window was compared with."""

    since: datetime
    until: datetime
    file: str

    def is_of(self, reference: str) -> bool:
        """Whether the window was compared with this reference."""
        return self.file.endswith(f"-{_short(reference)}.json")


class History:
    """The records in one folder.

    Args:
        uri: the folder; it is made when something is written.

    Raises:
        UserError: when the address cannot be used.
    """

    def __init__(self, uri: str) -> None:
        self.shown = redact(uri)
        if not uri.strip():
            raise UserError("history is empty; give a folder or the address of one that all runs reach")
        try:
            self._system, root = file_system(uri)
        except (ValueError, ImportError) as error:  # unknown protocol, or its package is not installed
            raise UserError(f"history '{self.shown}' cannot be used: {redact(str(error))}") from error
        self._root = root.rstrip("/")

    def windows(self) -> list[WindowRecord]:
        """All of them."""
        return self._read("window-", WindowRecord)

    def alarms(self) -> list[AlarmRecord]:
        """All of them, in the order in which they were raised."""
        return self._read("alarm-", AlarmRecord)

    def keep(self, window: WindowRecord) -> None:
        """Write what a window showed; of the same window and model, what it shows now."""
        self._keep("window", window.since, window.until, window.reference, _text(window))

    def keep_profile(self, since: datetime, until: datetime, reference: str, document: str) -> None:
        """Write the profile of a window; of the same window and model, the one that it has now."""
        self._keep("profile", since, until, reference, document)

    def profiles(self) -> list[KeptProfile]:
        """Of which windows there are profiles, the earliest first."""
        found = []
        for path in self._files("profile-"):
            file = path.rpartition("/")[2]
            if named := re.fullmatch(r"profile-(\w{16})-(\w{16})-\w{12}\.json", file):
                until, since = (datetime.strptime(one, _STAMP).replace(tzinfo=UTC) for one in named.groups())
                found.append(KeptProfile(since, until, file))
        return found

    def read_profile(self, kept: KeptProfile) -> bytes:
        """What :meth:`keep_profile` wrote."""
        with storage_errors(f"history '{self.shown}'"):
            return bytes(self._system.cat_file(f"{self._root}/{kept.file}"))

    def raise_alarm(self, alarm: AlarmRecord, number: int) -> bool:
        """Take the number `number`, counted from 0; False when another run has taken it meanwhile."""
        return self._write_once(f"alarm-{number:06d}.json", alarm)

    def answer(self, number: int, run: str) -> str:
        """Answer the alarm `number`, unless a run has; returns the run that does."""
        name = f"answer-{number:06d}"
        if self._write_once(f"{name}.json", AnswerRecord(run=run)):
            return run
        return self._read(name, AnswerRecord)[0].run

    def _keep(self, kind: str, since: datetime, until: datetime, reference: str, document: str) -> None:
        with storage_errors(f"history '{self.shown}'"):
            name = f"{kind}-{_stamp(until)}-{_stamp(since)}-{_short(reference)}.json"
            self._write(name, document, exclusive=False)

    def _files(self, prefix: str) -> list[str]:
        """Paths of the records whose names begin so, in the order of their names."""
        with storage_errors(f"history '{self.shown}'"):
            if not self._system.exists(self._root):
                return []
            return sorted(map(str, self._system.glob(f"{self._root}/{prefix}*.json")))

    def _read(self, prefix: str, kind: type[Record]) -> list[Record]:
        with storage_errors(f"history '{self.shown}'"):
            found = []
            for path in self._files(prefix):
                try:
                    found.append(kind.model_validate_json(self._system.cat_file(path)))
                except ValidationError as error:
                    name = path.rpartition("/")[2]
                    raise UserError(
                        f"'{name}' of history '{self.shown}' is no record of this version; remove it, or give another "
                        "folder"
                    ) from error
            return found

    def _write_once(self, name: str, record: AlarmRecord | AnswerRecord) -> bool:
        with storage_errors(f"history '{self.shown}'"):
            try:
                self._write(name, _text(record), exclusive=True)
            except FileExistsError:
                return False
            except Exception as error:
                if _is_taken(error):
                    return False
                raise
        return True

    def _write(self, name: str, document: str, exclusive: bool) -> None:
        from fsspec.implementations.local import LocalFileSystem

        path, content = f"{self._root}/{name}", document.encode()
        self._system.makedirs(self._root, exist_ok=True)
        if isinstance(self._system, LocalFileSystem):
            _write_here(path, content, exclusive)
        else:
            self._system.pipe_file(path, content, mode="create" if exclusive else "overwrite")


def _text(record: WindowRecord | AlarmRecord | AnswerRecord) -> str:
    return json.dumps(record.model_dump(mode="json"), indent=2)


def _write_here(path: str, content: bytes, exclusive: bool) -> None:
    """A file is there whole or not at all: a link to a finished one can be made once."""
    with tempfile.NamedTemporaryFile(dir=Path(path).parent, prefix=".", delete=False) as file:
        file.write(content)
    written = Path(file.name)
    try:
        if exclusive:
            os.link(written, path)
        else:
            written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def _is_taken(error: Exception) -> bool:
    """Whether a store says that there is such an object: S3's PreconditionFailed, and 412 of the others."""
    words = f"{type(error).__name__} {error} {getattr(error, 'code', '')} {getattr(error, 'errno', '')}"
    return any(word in words for word in ("PreconditionFailed", "pre-conditions", "412", "ConditionalRequestConflict"))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_STAMP)


def _short(reference: str) -> str:
    return hashlib.sha256(reference.encode()).hexdigest()[:12]
