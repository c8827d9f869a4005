"""A compiled pipeline loses its prose, and nothing that a run needs, whatever its components are."""

import ast

import yaml
from kfp import dsl

from kubeline.compiling import compact, compiled_text


@dsl.component(base_image="example.com/python:1", install_kfp_package=False)
def said(text: str, times: int = 2, unused: str = "x") -> str:
    """Say it.

    Args:
        text: what is said.
        times: how often.
        unused: nothing.
    """
    return text * times


@dsl.component(base_image="example.com/python:1", install_kfp_package=False)
def nothing() -> None:
    """Do nothing."""


@dsl.container_component
def shell(word: str = "hello") -> dsl.ContainerSpec:
    """Print a word."""
    return dsl.ContainerSpec(image="example.com/shell:1", command=["echo"], args=[word])


@dsl.pipeline(name="all")
def everything(text: str, spare: str = "s") -> None:
    """All kinds of components."""
    table = dsl.importer(artifact_uri="gs://b/t", artifact_class=dsl.Dataset)
    said(text=text, times=3).after(table)
    shell()
    nothing()


def test_prose_and_inputs_that_nobody_gives_are_left_out_and_containers_keep_their_defaults() -> None:
    before = yaml.safe_load(compiled_text(everything))
    compact(everything)
    text = compiled_text(everything)
    after = yaml.safe_load(text)
    assert "Say it" in str(before)
    assert "Say it" not in text
    assert "what is said" not in text
    assert after["components"]["comp-said"]["inputDefinitions"]["parameters"].keys() == {"text", "times"}
    assert (
        after["components"]["comp-shell"]["inputDefinitions"] == before["components"]["comp-shell"]["inputDefinitions"]
    )
    assert after["root"]["inputDefinitions"]["parameters"].keys() == {"text", "spare"}
    executors = after["deploymentSpec"]["executors"]
    assert executors["exec-importer"] == before["deploymentSpec"]["executors"]["exec-importer"]
    for name in ("exec-said", "exec-nothing"):
        ast.parse(executors[name]["container"]["command"][-1])
    compact(everything, drop_unused=True)
    assert compiled_text(everything) == compiled_text(everything)
    assert yaml.safe_load(compiled_text(everything))["root"]["inputDefinitions"]["parameters"].keys() == {"text"}
