"""A small compiled pipeline with a loop, a condition and an exit handler, as the real ones have."""

from pathlib import Path

import pytest

SOURCE = '''
from typing import List

from kfp import compiler, dsl
from kfp.dsl import HTML, Input, Markdown, Model, Output, PipelineTaskFinalStatus

step = dsl.component(base_image="example.com/python:1", install_kfp_package=False)

@step
def make(size: int, model: Output[Model]):
    with open(model.path, "w") as file:
        file.write("x" * size)
    model.metadata["size"] = size

@step
def judge(models: Input[List[Model]], limit: int, report: Output[HTML], notes: Output[Markdown]) -> str:
    from kubeline.artifacts import step
    from kubeline.errors import UserError

    @step
    def run():
        if limit < 0:
            raise UserError(f"limit is {limit}, but it must not be negative")
        with open(report.path, "w") as file:
            file.write("<!doctype html><p>a report</p>")
        with open(notes.path, "w") as file:
            file.write("| a | b |\\n|---|---|\\n| 1 | <script> |")
        notes.metadata["verdict"] = "hold"
        return "big" if any(model.metadata["size"] > limit for model in models) else "small"
    return run()

@step
def celebrate():
    print("celebrated")

@step
def tell(status: PipelineTaskFinalStatus):
    print("told", status.state)

@dsl.pipeline(name="toy")
def toy(sizes: list = [{"size": 1}, {"size": 9}], limit: int = 5, title: str = "a title", share: float = 0.5):
    """A toy.

    Args:
        sizes: How big the models are.
        limit: Where big begins, in bytes.
    """
    with dsl.ExitHandler(tell()):
        with dsl.ParallelFor(sizes) as item:
            made = make(size=item.size)
        judged = judge(models=dsl.Collected(made.outputs["model"]), limit=limit)
        judged.set_retry(num_retries=2, backoff_duration="100s")
        with dsl.If(judged.outputs["Output"] == "big"):
            celebrate()

compiler.Compiler().compile(toy, TARGET)
'''


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled pipeline `toy`."""
    folder = tmp_path_factory.mktemp("toy")
    source = folder / "toy.py"  # KFP reads the source of a component from its file
    source.write_text(SOURCE.replace("TARGET", repr(str(folder / "toy.yaml"))), encoding="utf-8")
    import runpy

    runpy.run_path(str(source))
    return folder / "toy.yaml"
