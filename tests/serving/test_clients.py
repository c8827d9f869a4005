"""The clients that others wrote talk to the server: KServe's SDK and Triton's."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, RESTConfig

from tests.support.served import Served

TRITON = Path(__file__).with_name("triton_client.py")
ROWS = pd.DataFrame(
    {
        "amount": [1.5, np.nan],
        "carrier": ["AA", "né"],
        "rush": pd.Series([True, None], dtype="boolean"),
        "departure": pd.to_datetime(["2013-01-01T06:00:00", None]),
    }
)


def ask_with_triton(kind: str, served: Served) -> dict[str, Any]:
    port = served.grpc_port if kind.startswith("grpc") else served.http_port
    command = [sys.executable, str(TRITON), kind, f"127.0.0.1:{port}", served.name, served.package.digest[:12]]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("kind", ["http", "grpc", "http-async", "grpc-async"])
def test_tritons_client_finds_the_model_and_gets_its_predictions(tiny: Served, kind: str) -> None:
    found = ask_with_triton(kind, tiny)
    assert [found[name] for name in ("live", "ready", "model ready")] == [True, True, True]
    assert found["server"]["name"] == "kubeline"
    assert [item["name"] for item in found["model"]["inputs"]] == list(ROWS)
    assert found["model"]["versions"] == [tiny.package.digest[:12]]
    if kind.startswith("http"):
        assert [(item["name"], item["state"]) for item in found["index"]] == [(tiny.name, "READY")]
    assert "column 'departure' is absent" in found["refused"]
    for form in {"raw", "JSON"} & found.keys():
        answer = tiny.package.predictor(threads=1).predict(ROWS.head(len(found[form]["prediction"])))
        assert found[form]["prediction"] == list(answer.values)
        np.testing.assert_array_equal(np.array(found[form]["probability"], dtype=np.float32), answer.probabilities)
    assert len(found["raw"]["prediction"]) == len(ROWS)


def test_kserves_rest_client_asks_whether_it_is_live_and_ready(tiny: Served) -> None:
    async def ask(protocol: str) -> list[bool]:
        client = InferenceRESTClient(RESTConfig(protocol=protocol))
        try:
            found = [await client.is_model_ready(tiny.url, tiny.name)]
            if protocol == "v2":
                found += [await client.is_server_live(tiny.url), await client.is_server_ready(tiny.url)]
            return found
        finally:
            await client.close()

    assert asyncio.run(ask("v1")) == [True]
    assert asyncio.run(ask("v2")) == [True, True, True]


def test_kserves_rest_client_gets_v1_predictions(tiny: Served) -> None:
    async def ask() -> Any:
        client = InferenceRESTClient(RESTConfig(protocol="v1"))
        try:
            return await client.infer(tiny.url, {"instances": [[1.5, "AA", True, None]]}, model_name=tiny.name)
        finally:
            await client.close()

    assert asyncio.run(ask())["predictions"] == ["True"]


def test_kserves_grpc_client_asks_whether_it_is_live_and_ready(tiny: Served) -> None:
    async def ask() -> list[bool]:
        client = InferenceGRPCClient(url=f"127.0.0.1:{tiny.grpc_port}", channel_args=[("grpc.enable_http_proxy", 0)])
        try:
            return [
                await client.is_server_live(),
                await client.is_server_ready(),
                await client.is_model_ready(tiny.name),
            ]
        finally:
            await client.close()

    assert asyncio.run(ask()) == [True, True, True]
