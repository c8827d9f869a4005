"""The arrows of docs/design.md: who may import whom, in every file and inside every function."""

import ast
from collections.abc import Iterator
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
    "kubeline.model_package",
    "kubeline.open_inference",
    "kubeline.typing",
    "kubeline.wire",
)


def imports(folder: str) -> Iterator[tuple[str, str, bool]]:
    """Of every import below a folder: the file, the module, and whether it stands outside every function."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        within = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                yield str(file.relative_to(ROOT)), name, id(node) not in within


def inside(name: str, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


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
    found = [(file, name) for file, name, _ in imports("src/kubeline")]
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
        tree = ast.parse(file.read_text(encoding="utf-8"))
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
    "folder", ["src/kubeline", "serving", "embedded_kserve", "components", "pipelines", "examples", "benchmarks"]
)
def test_no_module_takes_a_private_name_of_another(folder: str) -> None:
    assert list(private_names(folder)) == []
