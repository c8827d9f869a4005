"""Tree ensembles of two classes as one score, which ONNX Runtime adds up in two thirds of the time."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.training.graph import Graph, attributes

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_OF_LEAVES = ("ids", "nodeids", "treeids", "weights")


def with_one_score(model: "ModelProto", graph: Graph) -> None:
    """Replace boosted binary classifiers by regressors, with the logistic function behind them.

    ONNX Runtime keeps a list of scores for each row of a classifier, also when all trees vote for the same class, as
    those of a boosted binary model do; of a regressor with one target it keeps a number.

    Args:
        model: is changed.
        graph: of it.
    """
    for node in list(model.graph.node):
        given = attributes(node)
        if node.op_type == "TreeEnsembleClassifier" and _has_one_score(given):
            label, probabilities = node.output
            if not any(label in other.input for other in model.graph.node):
                _replace(model.graph, graph, node, given, probabilities)


def _replace(whole: "GraphProto", graph: Graph, node: "NodeProto", given: dict[str, Any], probabilities: str) -> None:
    from onnx import helper

    settings = {name: value for name, value in given.items() if name.startswith("nodes_")}
    settings |= {f"target_{part}": given[f"class_{part}"] for part in _OF_LEAVES}
    if "base_values" in given:
        settings["base_values"] = given["base_values"]
    before = len(whole.node)
    score = graph.add("TreeEnsembleRegressor", node.input[0], domain="ai.onnx.ml", n_targets=1, **settings)
    positive = graph.add("Sigmoid", score)
    negative = graph.add("Sub", graph.constant(np.float32(1.0)), positive)
    whole.node.append(helper.make_node("Concat", [negative, positive], [probabilities], axis=1))
    place = list(whole.node).index(node)
    nodes = [*whole.node[:place], *whole.node[before:], *whole.node[place + 1 : before]]
    del whole.node[:]
    whole.node.extend(nodes)


def _has_one_score(given: dict[str, Any]) -> bool:
    """Whether all leaves vote for one of two classes, whose score becomes a probability by the logistic function."""
    labels = given.get("classlabels_int64s") or given.get("classlabels_strings") or ()
    return len(labels) == 2 and set(given["class_ids"]) == {0} and given.get("post_transform") == b"LOGISTIC"
