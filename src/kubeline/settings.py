"""Parameters of a step, and groups of settings that are given as one, such as `workers`, each a Pydantic model."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from kubeline.addresses import redact
from kubeline.errors import UserError, listed
from kubeline.options import whole_numbers


class Parameters(BaseModel):
    """Parameters that are checked when they are put together; the description of a field says what is expected of it.

    Raises:
        UserError: names the first that is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            fault = error.errors()[0]
            name = str(fault["loc"][0])
            if name not in type(self).model_fields:  # of whoever calls it
                raise
            value, field = given.get(name), type(self).model_fields[name]
            shown = f"{value:g}" if isinstance(value, float) else redact(repr(value))
            expected = field.description or fault["msg"].removeprefix("Input should be ")
            raise UserError(f"{name} is {shown}; expected {expected}") from error


class Settings(BaseModel):
    """A group; the description of a field says what is expected of it, and where there is none, that is text.

    Attributes:
        group: its name in messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    group: ClassVar[str]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self | None:
        """What was given; None where nothing was. Raises as :meth:`of`."""
        return cls.of(given, cls.group) if given else None

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Self:
        """What was given, which `where` names in messages.

        Raises:
            UserError: names the first setting that there is not, or that is wrong, and what is expected.
        """
        try:
            return cls.model_validate(whole_numbers(given))  # KFP makes floats of whole numbers
        except ValidationError as error:
            raise UserError(f"{where} {cls._fault(error, given)}") from error

    @classmethod
    def _fault(cls, error: ValidationError, given: Mapping[str, Any]) -> str:
        faults = error.errors()
        if unknown := next((one for one in faults if one["type"] == "extra_forbidden"), None):
            return f"has '{unknown['loc'][0]}'; there are: {listed(cls.model_fields, 20)}"
        if not faults[0]["loc"]:  # of several settings together
            return faults[0]["msg"].removeprefix("Value error, ")
        name = str(faults[0]["loc"][0])
        return f"has {name} {redact(repr(given.get(name)))}; expected {cls.model_fields[name].description or 'text'}"
