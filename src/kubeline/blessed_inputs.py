"""Inputs of components that take a blessing alone: any other output is refused when a pipeline is compiled.

KFP's own types cannot say so; docs/decisions has the reasons and their sources. The YAML says ``system.Artifact``, and
the wiring is checked where it is written.
"""

from collections.abc import Mapping
from typing import Any

from kubeline.errors import UserError

# By component: its inputs, and whose output `blessing` each takes.
_BOTH = {"evaluation": "evaluate", "infra_validation": "infra_validate"}
BLESSED: Mapping[str, Mapping[str, str]] = {"deploy": _BOTH, "register": _BOTH}
_PLAIN = "system.Artifact"


def with_checked_inputs(name: str, component: Any, own: frozenset[str]) -> Any:
    """The component, whose call refuses what is no blessing, if it has such inputs.

    Args:
        name: of the component.
        component: as KFP loads it.
        own: names of all components of this library, whose other outputs are known to be none.
    """
    wanted = BLESSED.get(name, {})
    if not wanted:
        return component
    from kfp.components import YamlComponent

    class _Checked(YamlComponent):  # type: ignore[misc]
        def __call__(self, *args: Any, **inputs: Any) -> Any:
            for given, producer in wanted.items():
                for channel in _channels(inputs.get(given)):
                    _require(name, given, producer, channel, own)
            return super().__call__(*args, **inputs)

    return _Checked(component_spec=component.component_spec, component_yaml=component.component_yaml)


def _channels(given: Any) -> list[Any]:
    """The outputs that may arrive there: of ``dsl.OneOf`` all of its branches."""
    return list(getattr(given, "channels", [given]))


def _require(component: str, name: str, producer: str, channel: Any, own: frozenset[str]) -> None:
    kind = str(getattr(channel, "channel_type", _PLAIN)).partition("@")[0]
    task = getattr(channel, "task", None)
    maker = str(getattr(getattr(task, "component_spec", None), "name", "")).replace("-", "_")
    right = (producer, "blessing")
    other = kind != _PLAIN or (maker in own and (maker, channel.name) != right)
    if other:
        whose = f"output '{channel.name}' of {maker}" if maker else f"'{getattr(channel, 'name', channel)}'"
        raise UserError(
            f"the input '{name}' of {component} was given the {whose}, of type {kind}; expected the output 'blessing' "
            f"of {producer}: wire {name}={producer}(…).outputs['blessing']"
        )
