"""A kit for tests of your own components: run one, give it real artifacts, hold its interface and its YAML.

For tests only: it takes the language of pipelines, which no step has.
"""

from typing import TYPE_CHECKING

from kubeline.lazy import attribute_of

if TYPE_CHECKING:
    from kubeline.testing.artifacts import make_artifact, make_dataset, make_package
    from kubeline.testing.interfaces import (
        Interface,
        breaking_changes,
        interface_of,
        read_interfaces,
        write_interfaces,
    )
    from kubeline.testing.kserve import embedded_kserve
    from kubeline.testing.linting import lint_findings
    from kubeline.testing.running import ComponentFailedError, run_component

__all__ = [
    "ComponentFailedError",
    "Interface",
    "breaking_changes",
    "embedded_kserve",
    "interface_of",
    "lint_findings",
    "make_artifact",
    "make_dataset",
    "make_package",
    "read_interfaces",
    "run_component",
    "write_interfaces",
]

if not TYPE_CHECKING:
    __getattr__ = attribute_of(
        __name__,
        dict.fromkeys(("make_artifact", "make_dataset", "make_package"), "artifacts")
        | dict.fromkeys(
            ("Interface", "breaking_changes", "interface_of", "read_interfaces", "write_interfaces"), "interfaces"
        )
        | {"embedded_kserve": "kserve", "lint_findings": "linting"}
        | dict.fromkeys(("ComponentFailedError", "run_component"), "running"),
    )
