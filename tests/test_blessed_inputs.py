"""A pipeline that gives register or deploy what is no blessing does not compile."""

from typing import Any

import pytest
from kfp import dsl

from kubeline.blessed_inputs import BLESSED
from kubeline.components import deploy, evaluate, infra_validate, register, validate
from kubeline.errors import UserError

COMPONENTS = {"register": register, "deploy": deploy}


@dsl.component(base_image="example.com/python:1", install_kfp_package=False)
def own_check(model: dsl.Input[dsl.Model], blessing: dsl.Output[dsl.Artifact]) -> None:
    """Bless."""


def wired(component: str, choose: Any) -> Any:
    """A pipeline whose blessings are `choose(evaluated, served, model, report)`, by the input."""

    @dsl.pipeline(name="wired")
    def pipeline() -> None:
        model = dsl.importer(artifact_uri="gs://b/m", artifact_class=dsl.Model).output
        table = dsl.importer(artifact_uri="gs://b/t", artifact_class=dsl.Dataset).output
        evaluated = evaluate(test=table, model=model)
        served = infra_validate(model=model)
        right = {"evaluation": evaluated.outputs["blessing"], "infra_validation": served.outputs["blessing"]}
        COMPONENTS[component](model=model, name="m", **{**right, **choose(evaluated, served, model, table)})

    return pipeline


WRONG = {
    "the model": lambda evaluated, served, model, table: {"evaluation": model},
    "a report": lambda evaluated, served, model, table: {"evaluation": evaluated.outputs["report"]},
    "the other one": lambda evaluated, served, model, table: {"infra_validation": evaluated.outputs["blessing"]},
    "another output": lambda evaluated, served, model, table: {
        "evaluation": validate(dataset=table, target="y").outputs["schema"]
    },
}


@pytest.mark.parametrize("component", BLESSED)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_blessing_is_refused_in_one_sentence(component: str, wrong: str) -> None:
    with pytest.raises(UserError, match=rf"of {component} was given .*; expected the output 'blessing' of") as error:
        wired(component, WRONG[wrong])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("component", BLESSED)
def test_blessings_of_these_steps_of_a_store_and_of_a_check_of_ones_own_are_taken(component: str) -> None:
    def stored(evaluated: Any, served: Any, model: Any, table: Any) -> dict[str, Any]:
        kept = dsl.importer(artifact_uri="gs://b/blessing", artifact_class=dsl.Artifact).output
        return {"evaluation": own_check(model=model).outputs["blessing"], "infra_validation": kept}

    for choose in (lambda *_: {}, stored):
        document = wired(component, choose).pipeline_spec
        inputs = document.components[f"comp-{component}"].input_definitions.artifacts
        assert inputs["evaluation"].artifact_type.schema_title == "system.Artifact"
