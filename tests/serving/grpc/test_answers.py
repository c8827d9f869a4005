"""What the gRPC service answers, and what is recorded of it."""

import asyncio

import numpy as np

from kubeline.model_package import ModelPackage
from kubeline.open_inference.tensors import DTYPES
from tests.serving.grpc.house import Status, raw, service, tensors, typed
from tests.support.packages import ROWS

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_raw_and_typed_contents_are_answered_alike_and_as_the_model_answers(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    row = ROWS.iloc[:1].assign(departure=None)
    expected = package.predictor(threads=1).predict(row)

    async def run() -> None:
        async with service(package) as served:
            for request in (raw(), typed()):
                response = await served.stub.ModelInfer(request)
                assert tensors(response) == {
                    "prediction": expected.values.tolist(),
                    "probability": expected.probabilities.tolist(),
                }
                assert not any(output.HasField("contents") for output in response.outputs)
                assert response.outputs[1].parameters["classes"].string_param == '["False", "True"]'
                assert response.model_version == package.digest[:12]

    loop.run(run())


def test_a_number_may_come_in_any_numeric_datatype(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            answers = []
            for datatype, dtype in DTYPES.items() - {("BOOL", DTYPES["BOOL"])}:
                response = await served.stub.ModelInfer(raw(amount=(datatype, np.ones(1, dtype).tobytes())))
                answers.append(tensors(response))
            assert all(answer == answers[0] for answer in answers)
            assert answers[0] != tensors(await served.stub.ModelInfer(raw()))

    loop.run(run())


def test_only_the_outputs_asked_for_are_answered(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            request = raw()
            request.outputs.add(name="probability")
            assert list(tensors(await served.stub.ModelInfer(request))) == ["probability"]
            request.outputs.add(name="score")
            code, words = await served.refusal(served.stub.ModelInfer(request))
            assert (code, words) == (
                Status.INVALID_ARGUMENT,
                "the model has no output 'score'; it has: prediction, probability",
            )

    loop.run(run())


def test_the_ids_and_the_trace_of_a_request_are_kept(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            request = raw()
            request.id = "42"
            assert (await served.stub.ModelInfer(request)).id == "42"
            metadata = (("x-request-id", "order-66"), ("traceparent", TRACEPARENT), ("tracestate", "a=1"))
            assert (await served.stub.ModelInfer(request, metadata=metadata)).id == "42"
            made = (await served.stub.ModelInfer(raw())).id
            found = [(exchange.request_id, exchange.traceparent) for exchange in served.recorder.exchanges]
            assert found == [("42", ""), ("order-66", TRACEPARENT), (made, "")]
            assert made
            assert served.recorder.exchanges[1].tracestate == "a=1"

    loop.run(run())


def test_an_answer_is_recorded_with_its_inputs_predictions_and_times(
    loop: asyncio.Runner, package: ModelPackage
) -> None:
    async def run() -> None:
        async with service(package) as served:
            await served.stub.ModelInfer(raw(rows=3))
            (exchange,) = served.recorder.exchanges
            assert (exchange.protocol, exchange.status, exchange.rows, exchange.error) == ("grpc", 200, 3, "")
            assert exchange.inputs is not None
            assert exchange.inputs.numbers[0].tolist() == [1.5] * 3
            assert exchange.predictions is not None
            assert len(exchange.predictions.values) == 3
            phases = (exchange.parse_seconds, exchange.predict_seconds, exchange.serialise_seconds)
            assert 0 < sum(phases) < exchange.total_seconds

    loop.run(run())
