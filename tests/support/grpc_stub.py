"""A client of every method of the Open Inference Protocol, by what its .proto file says of the service."""

from typing import Any

from kubeline.open_inference import grpc_predict_v2_pb2 as messages

_SERVICE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]


class InferenceStub:
    """`stub.ModelInfer(request)` calls that method; an await gives the answer where the channel is of asyncio."""

    def __init__(self, channel: Any):
        self.channel = channel

    def __getattr__(self, name: str) -> Any:
        method = _SERVICE.methods_by_name[name]
        return self.channel.unary_unary(
            f"/{_SERVICE.full_name}/{name}",
            request_serializer=getattr(messages, method.input_type.name).SerializeToString,
            response_deserializer=getattr(messages, method.output_type.name).FromString,
        )
