"""The arrows of docs/design.md: who may import whom, in every file and inside every function."""

import ast
import functools
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What the model server takes from the library; its image holds all of it, but a server's process should not.
SERVED = (
    "kubeline.__version__",
    "kubeline.addresses",
    "kubeline.columns",
    "kubeline.data.sources",
    "kubeline.errors",
    "kubeline.masking",
    "kubeline.model_package",
    "kubeline.open_inference",
    "kubeline.typing",
    "kubeline.wire",
)


@functools.cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def imports(folder: str) -> tuple[tuple[str, str, bool], ...]:
    """Of every import below a folder: the file, the module, and whether it stands outside every function."""
    found = []
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node, outside in walked(parsed(file)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(str(file.relative_to(ROOT)), name, outside) for name in names]
    return tuple(found)


def walked(root: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """The nodes below one, and whether each stands outside every function."""
    waiting = [(root, True)]
    while waiting:
        node, outside = waiting.pop()
        yield node, outside
        below = outside and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        waiting += [(child, below) for child in ast.iter_child_nodes(node)]


def inside(name: str, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


KIT = "src/kubeline/testing/"  # for tests of one's own components: it runs pipelines, and no step has it


def test_no_room_takes_the_kit_for_tests() -> None:
    for room in ("src/kubeline", "serving", "pipelines"):
        taken = [
            file for file, name, _ in imports(room) if inside(name, "kubeline.testing") and file[: len(KIT)] != KIT
        ]
        assert taken == []


def test_the_library_imports_no_room_above_it_and_never_the_language_of_pipelines() -> None:
    above = (
        "components",
        "pipelines",
        "kubeline_serving",
        "embedded_kserve",
        "examples",
        "benchmarks",
        "tests",
        "kfp.dsl",
    )
    found = [(file, name) for file, name, _ in imports("src/kubeline") if not file.startswith(KIT)]
    assert len(found) > 500
    assert [(file, name) for file, name in found if inside(name, *above)] == []


def test_a_component_imports_its_implementation_only_inside_its_body() -> None:
    outside = {name for _, name, top in imports("components") if top and inside(name, "kubeline")}
    assert outside == {"kubeline.__version__"}  # of the images
    assert any(inside(name, "kubeline.training") for _, name, top in imports("components") if not top)
    assert [name for _, name, _ in imports("components") if inside(name, "pipelines", "kubeline_serving")] == []


def test_the_model_server_takes_little_from_the_library() -> None:
    taken = [(file, name) for file, name, _ in imports("serving") if inside(name, "kubeline")]
    assert len(taken) > 20
    assert [(file, name) for file, name in taken if not inside(name, *SERVED)] == []
    assert [name for _, name, _ in imports("serving") if inside(name, "components", "pipelines", "kfp")] == []


# The model server's floors: what each room takes from others of its package; `worker` and `__main__` put all together.
SERVER = {
    "codec": ("errors", "limits"),
    "inference": ("codec", "errors", "exchange", "memory"),
    "observability": ("codec", "exchange"),
    "payload_log": ("codec", "exchange", "inference", "options"),
    "grpc": ("budget", "codec", "errors", "exchange", "ids", "limits", "memory", "service", "state"),
    "http": ("codec", "errors", "exchange", "ids", "inference", "limits", "observability", "service", "state"),
}


@pytest.mark.parametrize("room", SERVER)
def test_a_room_of_the_model_server_takes_what_is_below_it(room: str) -> None:
    allowed = [f"kubeline_serving.{other}" for other in (room, *SERVER[room])]
    found = [(f, n) for f, n, _ in imports(f"serving/kubeline_serving/{room}") if inside(n, "kubeline_serving")]
    assert found
    assert [(file, name) for file, name in found if not inside(name, *allowed)] == []


# What the embedded KServe takes from the library: nothing of what is tried out on it.
EMBEDDED = ("kubeline.errors", "kubeline.ports", "kubeline.processes")
# Its floors: who may be imported by whom, beside the modules that stand alone.
FLOORS = {"kubernetes": (), "data_plane": ("kubernetes",), "controllers": ("kubernetes", "data_plane")}
ALONE = ("embedded_kserve.faults", "embedded_kserve.delays")


def test_only_examples_and_tests_use_the_embedded_kserve() -> None:
    for room in ("src/kubeline", "serving", "components", "pipelines"):
        assert [(file, name) for file, name, _ in imports(room) if inside(name, "embedded_kserve")] == []


def test_the_embedded_kserve_takes_nothing_from_the_library_that_is_tested_on_it() -> None:
    taken = {name.rpartition(".")[0] for _, name, _ in imports("embedded_kserve") if inside(name, "kubeline")}
    assert taken <= set(EMBEDDED)
    assert "kubeline.errors" in taken
    others = ("components", "pipelines", "kubeline_serving", "examples", "tests", "kfp")
    assert [(file, name) for file, name, _ in imports("embedded_kserve") if inside(name, *others)] == []


def test_the_embedded_kserve_has_three_floors() -> None:
    for floor, below in FLOORS.items():
        allowed = (*ALONE, *(f"embedded_kserve.{room}" for room in (floor, *below)))
        found = [(f, n) for f, n, _ in imports(f"embedded_kserve/{floor}") if inside(n, "embedded_kserve")]
        assert found
        assert [(file, name) for file, name in found if not inside(name, *allowed)] == []


def test_tests_share_what_is_in_support_and_never_a_file_of_tests() -> None:
    found = [(file, name) for file, name, _ in imports("tests") if inside(name, "tests")]
    assert len(found) > 100
    rooms = {file: Path(file).parts[1] for file, _ in found}
    assert [(file, name) for file, name in found if not inside(name, f"tests.{rooms[file]}", "tests.support")] == []
    parts = [(file, part) for file, name in found for part in name.split(".")[1:-1]]
    assert [(file, part) for file, part in parts if part.startswith("test_") or part == "conftest"] == []
    support = [(file, name) for file, name, _ in imports("tests/support") if inside(name, "tests")]
    assert [(file, name) for file, name in support if not inside(name, "tests.support")] == []


def private_names(folder: str) -> Iterator[tuple[str, str]]:
    """Names with an underscore that a file takes from another module of this project."""
    own = ("kubeline", "kubeline_serving", "embedded_kserve", "components", "pipelines", "examples", "benchmarks")
    for file in sorted((ROOT / folder).rglob("*.py")):
        tree = parsed(file)
        modules: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and inside(node.module or "", *own):
                for alias in node.names:
                    modules.add(alias.asname or alias.name)
                    if any(is_private(part) for part in f"{node.module}.{alias.name}".split(".")):
                        yield str(file.relative_to(ROOT)), f"{node.module}.{alias.name}"
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if is_private(node.attr) and node.value.id in modules and node.value.id.islower():  # a module, and no class
                yield str(file.relative_to(ROOT)), f"{node.value.id}.{node.attr}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize(
    "folder",
    ["src/kubeline", "serving", "embedded_kserve", "components", "pipelines", "examples", "benchmarks", "tests"],
)
def test_no_module_takes_a_private_name_of_another(folder: str) -> None:
    assert list(private_names(folder)) == []


# Public, for all their underscores, or the only way that a library offers.
OF_LIBRARIES = {"_replace", "_asdict", "_fields", "_raw_data", "_exit"}


def test_tests_touch_no_private_state_of_an_object() -> None:
    """What a test must reach is a parameter, such as a clock or an estimate."""
    found = []
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in OF_LIBRARIES:
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                if owner not in ("self", "cls", "other"):
                    found.append(f"{file.name}:{node.lineno} {ast.unparse(node)}")
    assert found == []


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts[parts[0] in ("src", "serving") :] if part != "__init__")


def graph_of(folders: tuple[str, ...], part: Callable[[str], str]) -> dict[str, set[str]]:
    """What each part of the project imports of the others; `part` gives the part of a module."""
    modules = {module_of(file) for folder in folders for file in (ROOT / folder).rglob("*.py")}
    graph: dict[str, set[str]] = {part(module): set() for module in modules}
    for folder in folders:
        for file, name, _ in imports(folder):
            taken = name if name in modules else name.rpartition(".")[0]
            if taken in modules and part(taken) != part(module_of(ROOT / file)):
                graph[part(module_of(ROOT / file))].add(part(taken))
    return graph


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Neither when it is loaded, nor inside a function, nor for its types."""
    graph = graph_of(("src/kubeline", "serving/kubeline_serving", "embedded_kserve"), str)
    assert sum(map(len, graph.values())) > 1_000
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("folder", ["src/kubeline", "serving/kubeline_serving", "embedded_kserve"])
def test_no_room_imports_itself_by_way_of_others(folder: str) -> None:
    """A room is a package right below the root, or a module there; the package itself only lists names."""
    graph = graph_of((folder,), lambda module: ".".join(module.split(".")[:2]))
    graph = {room: below for room, below in graph.items() if "." in room}
    assert sum(map(len, graph.values())) > (100 if folder == "src/kubeline" else 3)
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


SCREEN = 56  # lines of code of a function, without its docstring
PAGES = 400  # lines of a file


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


@pytest.mark.parametrize("folder", ["src/kubeline", "serving", "embedded_kserve", "benchmarks", "examples", "tests"])
def test_a_function_fits_a_screen_and_a_file_has_one_subject(folder: str) -> None:
    for file in sorted((ROOT / folder).rglob("*.py")):
        if "_pb2" in file.name:  # generated
            continue
        assert file.read_text(encoding="utf-8").count("\n") <= PAGES, file
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert code_lines(node) <= SCREEN, f"{file}: {node.name}"


# Of Kubernetes for its objects, and of this project for the manifest of a package; any JSON.
TWICE = {"Manifest", "Json"}


@pytest.mark.parametrize("folder", ["src/kubeline", "serving/kubeline_serving", "embedded_kserve"])
def test_one_name_stands_for_one_class_or_type(folder: str) -> None:
    """A name with an underscore is the business of its module."""
    defined: dict[str, list[str]] = {}
    for file in sorted((ROOT / folder).rglob("*.py")):
        if "_pb2" in file.name:  # generated
            continue
        for node in parsed(file).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for name in names:
                if name[0].isupper() and not name.isupper():
                    defined.setdefault(name, []).append(str(file.relative_to(ROOT)))
    assert len(defined) > 20
    assert {name: files for name, files in defined.items() if len(files) > 1 and name not in TWICE} == {}
