"""Requests to an engine, without a server."""

import time
from collections.abc import Callable
from typing import Any

from kubeline.errors import KubelineError
from kubeline.model_package import Predictions
from kubeline_serving.codec.inputs import Inputs
from kubeline_serving.exchange import Exchange
from kubeline_serving.inference.engine import Engine
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.service import PredictionService
from tests.serving.exchanges import encoded
from tests.support.packages import ROWS


def exchange(arrived: float | None = None) -> Exchange:
    return Exchange("v1", "", "", "", time.time(), time.perf_counter() if arrived is None else arrived)


def inputs(model: ServedModel, row: int) -> Inputs:
    return encoded(model.signature, ROWS.iloc[[row]])


async def ask(engine: Engine, parse: Callable[[], Inputs], size: int = 100, about: Exchange | None = None) -> Any:
    return await PredictionService(engine, []).answer(about or exchange(), size, parse, lambda predictions: predictions)


async def outcome(
    engine: Engine, parse: Callable[[], Inputs], size: int = 100, about: Exchange | None = None
) -> Predictions | KubelineError:
    try:
        return await ask(engine, parse, size, about)
    except KubelineError as error:
        return error
