"""Conditions, as controllers write them into the status of an object."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Truth = Literal["True", "False", "Unknown"]
Status = dict[str, Any]


def timestamp() -> str:
    """The time, as Kubernetes writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Conditions:
    """The conditions of one object; a change of a status notes its time.

    Args:
        present: the list that the status holds.
    """

    def __init__(self, present: Sequence[Mapping[str, Any]] = ()) -> None:
        self._by_type = {str(condition["type"]): dict(condition) for condition in present}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Conditions":
        """Those in the status of an object, where it has any yet."""
        return cls((document.get("status") or {}).get("conditions", []))

    def set(self, kind: str, status: Truth, reason: str = "", message: str = "", severity: str = "") -> None:
        """Set one."""
        old = self._by_type.get(kind, {})
        since = old["lastTransitionTime"] if old.get("status") == status else timestamp()
        details = {"severity": severity, "reason": reason, "message": message}
        details = {key: value for key, value in details.items() if value}
        self._by_type[kind] = {"type": kind, "status": status, "lastTransitionTime": since, **details}

    def clear(self, kind: str) -> None:
        """Take one away."""
        self._by_type.pop(kind, None)

    def status(self, kind: str) -> Truth:
        """The status of one; Unknown when it is not there."""
        found: Truth = self._by_type.get(kind, {}).get("status", "Unknown")
        return found

    def reason(self, kind: str) -> str:
        """The reason of one; empty when there is none."""
        return str(self._by_type.get(kind, {}).get("reason", ""))

    def message(self, kind: str) -> str:
        """The message of one; empty when there is none."""
        return str(self._by_type.get(kind, {}).get("message", ""))

    def about(self, kind: str) -> tuple[Truth, str, str]:
        """Status, reason and message of one."""
        return self.status(kind), self.reason(kind), self.message(kind)

    def conclude(self, kind: str, *parts: str) -> None:
        """Set one by others: false when any of them is, true when all are."""
        by_status = {self.status(part): part for part in reversed(parts)}
        for status in ("False", "Unknown"):
            if part := by_status.get(status):
                self.set(kind, *self.about(part))
                return
        self.set(kind, "True")

    def listed(self) -> list[dict[str, Any]]:
        """As the status holds them: by type."""
        return [self._by_type[kind] for kind in sorted(self._by_type)]
