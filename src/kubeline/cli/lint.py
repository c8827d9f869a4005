"""``kubeline lint``: will a compiled pipeline run, and where."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from kubeline.cli.parser import add_command
from kubeline.errors import UserError


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "lint", "check whether compiled pipelines will run on Kubeflow, on Vertex and here", lint
    )
    parser.add_argument("pipeline", nargs="+", help="path of a compiled YAML file, a folder of them, or a name")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        choices=("kubeflow", "vertex", "here"),
        help="a platform that they must run on, several times if need be (one of Kubeflow and Vertex)",
    )
    parser.add_argument("--format", default="text", choices=("text", "json", "sarif"), help="of what is printed (text)")
    parser.add_argument(
        "--node", default="", metavar="SIZE", help="a node's resources, such as cpu=4,memory=16Gi,nvidia.com/gpu=1"
    )
    parser.add_argument(
        "--params", type=Path, metavar="FILE", help="YAML file of parameter values of a run, as `kubeline run` takes it"
    )


def lint(options: argparse.Namespace) -> int:
    """Print what is found; 1 when a pipeline will not run where it must."""
    from kubeline.local.parameters import read_parameters
    from kubeline.platform.lint import LintOptions, check
    from kubeline.platform.lint.containers import read_node
    from kubeline.platform.lint.output import write

    given = read_parameters(options.params, {})
    files = [file for name in options.pipeline for file in _files(name, options.target)]
    placed = [_Placed.of(file, given) for file in files]
    _refuse_unknown([one for one in placed if one is not None])
    node = read_node(options.node)
    results = [
        check(file, LintOptions(one.values if one else {}, node, options.target))
        for file, one in zip(files, placed, strict=True)
    ]
    print(write(results, options.format))
    return 0 if all(result.passed for result in results) else 1


@dataclass(frozen=True)
class _Placed:
    """The values of a run, fields in their groups, and the names among them that the pipeline does not have."""

    values: Mapping[str, Any]
    unknown: frozenset[str]

    @classmethod
    def of(cls, file: Path, given: Mapping[str, Any]) -> "_Placed | None":
        """The values of this pipeline; None when the file is no pipeline."""
        from kubeline.local.parameters import assigned, signature

        try:
            placed, known = assigned(file, given, []), signature(file).model_fields
        except (UserError, OSError):  # the linter itself reports what is wrong with it
            return None
        return cls({name: placed[name] for name in placed if name in known}, frozenset(placed) - frozenset(known))


def _refuse_unknown(placed: Sequence[_Placed]) -> None:
    """Refuse the name of a parameter that none of the pipelines has."""
    nowhere = frozenset.intersection(*(one.unknown for one in placed)) if placed else frozenset()
    if nowhere:
        raise UserError(f"no pipeline given has a parameter '{min(nowhere)}'; correct it in the file of --params")


def _files(name: str, targets: list[str]) -> list[Path]:
    from kubeline.resources import Platform, pipeline_file

    if name and Path(name).is_dir():
        files = sorted(path for pattern in ("*.yaml", "*.yml") for path in Path(name).rglob(pattern))
        if not files:
            raise UserError(f"folder '{name}' holds no YAML file; give compiled pipelines")
        return files
    if name.endswith(".json"):  # the compiler writes JSON as well
        return [Path(name)]
    if name.endswith((".yaml", ".yml")):
        return [pipeline_file(name)]
    named = [target for target in get_args(Platform) if target in targets] or ["kubeflow"]
    return [pipeline_file(name, target) for target in named]
