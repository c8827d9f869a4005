"""Metadata, model control and addresses of the gRPC server."""

import asyncio
from pathlib import Path

import grpc

from kubeline.model_package import ModelPackage
from kubeline.open_inference import grpc_predict_v2_pb2 as messages
from kubeline_serving.codec.v2 import V2
from kubeline_serving.grpc.server import GrpcServer
from kubeline_serving.inference.engine import Engine, Limits
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.limits import RequestLimits
from kubeline_serving.service import PredictionService
from kubeline_serving.state import ServerState
from tests.serving.grpc.house import Status, channel, raw, service, tensors
from tests.support.grpc_stub import InferenceStub


def test_a_server_states_what_it_serves_and_whether_it_is_ready(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as served:
            assert (await served.stub.ServerLive(messages.ServerLiveRequest())).live
            assert (await served.stub.ServerReady(messages.ServerReadyRequest())).ready
            assert (await served.stub.ModelReady(messages.ModelReadyRequest(name="tiny"))).ready
            about = await served.stub.ServerMetadata(messages.ServerMetadataRequest())
            assert about.name == "kubeline"
            model = await served.stub.ModelMetadata(messages.ModelMetadataRequest(name="tiny"))
            assert (model.name, list(model.versions)) == ("tiny", [served.model.version])
            assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs] == [
                ("amount", "FP32", [-1, 1]),
                ("carrier", "BYTES", [-1, 1]),
                ("rush", "BOOL", [-1, 1]),
                ("departure", "BYTES", [-1, 1]),
            ]
            assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.outputs] == [
                ("prediction", "BYTES", [-1]),
                ("probability", "FP32", [-1, 2]),
            ]
            served.state.draining = True
            assert not (await served.stub.ServerReady(messages.ServerReadyRequest())).ready
            assert not (await served.stub.ModelReady(messages.ModelReadyRequest(name="tiny"))).ready

    loop.run(run())


def test_load_and_unload_work_only_where_they_are_allowed(loop: asyncio.Runner, package: ModelPackage) -> None:
    load = messages.RepositoryModelLoadRequest(model_name="tiny")
    unload = messages.RepositoryModelUnloadRequest(model_name="tiny")

    async def run() -> None:
        async with service(package) as served:
            for call in (served.stub.RepositoryModelLoad(load), served.stub.RepositoryModelUnload(unload)):
                code, sentence = await served.refusal(call)
                assert code == Status.PERMISSION_DENIED
                assert "--model_control" in sentence
        async with service(package, requests=RequestLimits(model_control=True)) as served:
            assert (await served.stub.RepositoryModelUnload(unload)).isUnloaded
            assert not (await served.stub.ServerReady(messages.ServerReadyRequest())).ready
            code, _ = await served.refusal(served.stub.ModelInfer(raw()))
            assert code == Status.UNAVAILABLE
            assert (await served.stub.RepositoryModelLoad(load)).isLoaded
            assert tensors(await served.stub.ModelInfer(raw()))

    loop.run(run())


def test_workers_share_a_port(loop: asyncio.Runner, package: ModelPackage) -> None:
    async def run() -> None:
        async with service(package) as one, service(package, port=one.port) as other:
            for _ in range(50):  # connections, which the kernel deals out
                async with channel(one.port) as client:
                    await InferenceStub(client).ModelInfer(raw())
            assert one.recorder.exchanges
            assert other.recorder.exchanges
            assert len(one.recorder.exchanges) + len(other.recorder.exchanges) == 50

    loop.run(run())


def test_calls_go_through_tls(loop: asyncio.Runner, package: ModelPackage, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)

    async def run() -> None:
        model = ServedModel("tiny", package.path)
        service = PredictionService(Engine(model, Limits()), [])
        server = GrpcServer(service, V2(model.signature, "tiny", model.version, 100), ServerState())
        port = await server.start("127.0.0.1", 0, certificate, key)
        trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
        options = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "localhost")]
        try:
            async with grpc.aio.secure_channel(f"127.0.0.1:{port}", trusted, options=options) as client:
                assert tensors(await InferenceStub(client).ModelInfer(raw()))
        finally:
            await server.stop(0)

    loop.run(run())


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "tls.crt", folder / "tls.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths
