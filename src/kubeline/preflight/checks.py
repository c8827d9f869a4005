"""The checks that were made, and what they found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from kubeline.addresses import redact
from kubeline.errors import KubelineError, PlatformError, UserError

Result = Literal["fine", "wrong", "unreachable", "not checked"]


@dataclass(frozen=True)
class PreflightCheck:
    """One thing that was checked; `sentence` says what is wrong, or why it could not be checked."""

    name: str
    result: Result
    sentence: str = ""


@dataclass
class Checks:
    """All checks so far."""

    done: list[PreflightCheck] = field(default_factory=list)

    def run(self, name: str, check: Callable[[], str | None]) -> None:
        """Do one check. It returns what it could not check, or nothing, and raises what is wrong."""
        try:
            unknown = check()
        except UserError as error:
            self.done.append(PreflightCheck(name, "wrong", redact(str(error))))
        except KubelineError as error:
            self.done.append(PreflightCheck(name, "unreachable", redact(str(error))))
        else:
            self.done.append(PreflightCheck(name, "not checked" if unknown else "fine", unknown or ""))

    @property
    def failed(self) -> list[PreflightCheck]:
        """What a run would fail of."""
        return [check for check in self.done if check.result in {"wrong", "unreachable"}]

    def raise_what_failed(self) -> None:
        """Report everything at once.

        Raises:
            UserError: when something in the parameters is wrong.
            PlatformError: when only external services failed.
        """
        if not self.failed:
            return
        wrong = any(check.result == "wrong" for check in self.failed)
        sentence = "; ".join(f"{check.name}: {check.sentence}" for check in self.failed)
        raise (UserError if wrong else PlatformError)(f"nothing was run, since this would fail later: {sentence}")
