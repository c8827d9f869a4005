"""Groups of settings that are given as one mapping, such as `workers`, each a Pydantic model."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from kubeline.errors import UserError, listed
from kubeline.options import whole_numbers


class Settings(BaseModel):
    """A group; the description of a field says what is expected of it, and where there is none, that is text.

    Attributes:
        group: its name in messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    group: ClassVar[str]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self | None:
        """What was given; None where nothing was.

        Raises:
            UserError: names the first setting that there is not, or that is wrong, and what is expected.
        """
        try:
            return cls.model_validate(whole_numbers(given)) if given else None  # KFP makes floats of whole numbers
        except ValidationError as error:
            raise UserError(f"{cls.group} {cls._fault(error, given)}") from error

    @classmethod
    def _fault(cls, error: ValidationError, given: Mapping[str, Any]) -> str:
        faults = error.errors()
        if unknown := next((one for one in faults if one["type"] == "extra_forbidden"), None):
            return f"has '{unknown['loc'][0]}'; there are: {listed(cls.model_fields, 20)}"
        if not faults[0]["loc"]:  # of several settings together
            return faults[0]["msg"].removeprefix("Value error, ")
        name = str(faults[0]["loc"][0])
        return f"has {name} {given.get(name)!r}; expected {cls.model_fields[name].description or 'text'}"
