"""A blessing: the typed permission, tied to one package, without which nothing is registered or deployed."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ValidationError

from kubeline import json_files
from kubeline.artifacts import Artifact, describe, finite, publish
from kubeline.decision import REFUSED
from kubeline.errors import UserError

Verdict = Literal["promote", "hold", "inconclusive"]
BlessedStep = Literal["evaluation", "infra_validation"]


class Blessing(BaseModel, frozen=True):
    """The verdict of one check on one model package, with the evidence for it.

    `package_digest` ties it to the package: a blessing given to another package is worth nothing.
    """

    check: BlessedStep
    verdict: Verdict
    package_digest: str
    reasons: list[str]
    evidence: dict[str, Any] = {}

    def write(self, artifact: Artifact) -> None:
        """Write as JSON and put the verdict into the artifact's metadata."""
        document = type(self)(**{**self.model_dump(), "evidence": finite(self.evidence)})
        with publish(artifact.path) as path:
            path.write_text(document.model_dump_json(indent=2), encoding="utf-8")
        describe(artifact, {"verdict": self.verdict, "check": self.check, "package_digest": self.package_digest})

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a blessing.

        Raises:
            UserError: when there is no file or it is not a blessing.
        """
        try:
            return cls.model_validate_json(json_files.contents_of(path, f"the blessing '{path}'"))
        except FileNotFoundError as error:
            raise UserError(f"there is no blessing at '{path}'; run evaluate and infra_validate first") from error
        except ValidationError as error:
            raise UserError(f"'{path}' is not a blessing; give the output of evaluate or infra_validate") from error


def require(blessing: Artifact, check: BlessedStep, package_digest: str) -> Blessing:
    """Return the blessing when it lets this package pass.

    Raises:
        UserError: when it is of another check, of another package, or its verdict is not ``promote``.
    """
    found = Blessing.read(blessing.path)
    metadata = blessing.metadata
    for name, value in (("package_digest", found.package_digest), ("check", found.check), ("verdict", found.verdict)):
        if metadata.get(name, value) != value:
            raise UserError(
                f"the metadata of the {check} blessing says {name} {str(metadata[name])[:12]}, but its file says "
                f"{value[:12]}; run {check} again"
            )
    if found.check != check:
        raise UserError(f"a blessing of {check} is needed, but a blessing of {found.check} was given")
    if found.package_digest != package_digest:
        raise UserError(
            f"the {check} blessing speaks of package {found.package_digest[:12]}, but the model given is "
            f"{package_digest[:12]}; run {check} on this model"
        )
    if found.verdict != "promote":
        raise UserError(f"{check} says {found.verdict}, {REFUSED}: {'; '.join(found.reasons)}")
    return found
