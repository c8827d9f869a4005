"""What each image holds: this project as a distribution, the libraries of its components, caches; and how it starts."""

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kfp.dsl import Model

from kubeline import __version__
from kubeline.local.runner import LEAN
from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import ModelPackage
from kubeline.ports import free_ports
from tests.images.dockerfiles import IMAGES, ROOT, dockerfile, layers, stage, stages
from tests.images.environments import NOBODY, UV, Environment, another_user
from tests.images.reachable import implementations, imported_names
from tests.support.packages import write_tiny_package

# Imported by functions that no component of the image calls: what reads a table or asks a model in a step of training,
# the gRPC form of a request, a canary's metrics page, a plot of a report. deltalake and sigstore are in no image.
NEVER_CALLED = {
    "steps": {"deltalake", "prometheus_client", "sigstore"},
    "drift": {"duckdb", "sigstore"},
    "deploy": {"grpc", "joblib", "matplotlib", "onnxruntime", "pandas", "pyarrow", "sigstore"},
    "serving": {"joblib", "matplotlib", "pandas", "sigstore"},
}


@pytest.mark.parametrize("image", IMAGES)
def test_the_distribution_kubeline_is_installed_in_every_image(images: dict[str, Environment], image: str) -> None:
    asked = "import importlib.metadata as m, kubeline; print(m.version('kubeline'), kubeline.__version__)"
    done = images[image].run(["python3", "-c", asked])
    assert done.stdout.split() == [__version__, __version__], done.stderr


@pytest.mark.parametrize("image", ["steps", "drift", "deploy"])
def test_threads_and_memory_of_a_step_are_the_same_in_its_image_as_in_a_local_run(image: str) -> None:
    assert stages(dockerfile(image))[image].environment.items() >= LEAN.items()


@pytest.mark.parametrize("image", ["steps", "drift"])
def test_the_command_kubeline_runs_in_the_images_of_the_steps(images: dict[str, Environment], image: str) -> None:
    main = "from importlib.metadata import entry_points; entry_points(group='console_scripts')['kubeline'].load()()"
    done = images[image].run(["python3", "-c", main, "--version"])
    assert done.stdout == f"kubeline {__version__}\n", done.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_imports_all_that_its_components_import_at_any_time(
    images: dict[str, Environment], image: str
) -> None:
    """Nothing was stripped that is needed."""
    ours = {module for name, module in implementations() if name == image}
    ours |= {"kubeline_serving.__main__", "kubeline_serving.worker"} if image == "serving" else set()
    never = NEVER_CALLED.get(image, set())
    names = sorted(name for name in imported_names(ours) if name.partition(".")[0] not in never)
    assert len(names) > 100
    done = images[image].run(["python3", str(Path(__file__).with_name("importing.py")), *names])
    failures = json.loads(done.stdout)
    # a module of ours that imports what is never called there is not called either
    assert not {name: why for name, why in failures.items() if not any(each in why for each in never)}, done.stderr


@pytest.mark.parametrize("image", ["steps", "drift", "serving"])
def test_botocore_keeps_the_services_that_a_store_and_its_sign_in_need(
    images: dict[str, Environment], image: str
) -> None:
    asked = (
        "import botocore.session as s, sys; "
        "[s.get_session().create_client(name, region_name='eu-west-1') for name in sys.argv[1:]]"
    )
    done = images[image].run(["python3", "-c", asked, "s3", "sts", "sso", "sso-oidc"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("image", ["steps", "drift"])
def test_the_packages_of_an_image_need_nothing_that_is_missing(images: dict[str, Environment], image: str) -> None:
    python = str(images[image].packages / "bin" / "python")
    done = subprocess.run([UV, "pip", "check", "--python", python], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_images_share_lies_in_layers_that_they_have_in_common() -> None:
    assert {image: layers(image) for image in IMAGES} == {
        "deploy": ["common", "deploy"],
        "steps": ["common", "deploy", "model", "steps"],
        "drift": ["common", "deploy", "model", "drift"],
        "serving": ["common", "serving"],
    }
    # the instructions up to the layer are the same, so that one builder makes one layer of both
    texts = [dockerfile(image).read_text(encoding="utf-8") for image in ("steps", "serving")]
    beginning, end = "FROM ${BASE} AS whole\n", "install.sh kubeline\n"
    first, second = (text[text.index(beginning) : text.index(end)] for text in texts)
    assert first == second
    for layer, shared in {"common": IMAGES, "model": ("steps", "drift")}.items():
        lock = (ROOT / "images" / f"{layer}.lock").read_text(encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(ROOT / "images" / "shared.py"), *shared], capture_output=True, text=True, check=True
        )
        assert set(done.stdout.splitlines()) == set(lock.splitlines())


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_the_small_base_and_what_its_locks_add_and_nothing_is_installed_in_it(image: str) -> None:
    made = stages(dockerfile(image))
    assert stage(image).runs == ()
    assert stage(image).copies == ("whole", *(f"{layer}-packages" for layer in layers(image)), "wheel")
    for layer in layers(image):
        assert made[f"{layer}-packages"].runs[-1] == f"/bin/sh /build/images/install.sh packages {layer}"


def test_the_base_loses_what_no_process_reads_and_keeps_what_processes_and_scanners_do(tmp_path: Path) -> None:
    python = ["usr/lib/python3.11", "usr/local/lib/python3.11"]
    kept = [
        *(f"{folder}/{name}" for folder in python for name in ("json/__init__.py", "site-packages/testing.py")),
        *("etc/passwd", "etc/ssl/certs/ca-certificates.crt", "usr/bin/sh", "usr/local/bin/python3.11"),
        *("usr/share/zoneinfo/Europe/Berlin", "usr/share/doc/libc6/copyright", "usr/lib/os-release"),
        *("var/lib/dpkg/status", "var/lib/dpkg/info/libc6.list", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        *(
            "usr/sbin/ldconfig",
            "usr/sbin/update-ca-certificates",
            "usr/bin/setpriv",
            "usr/lib/x86_64-linux-gnu/libssl.so.3",
        ),
    ]
    lost = [
        *(
            f"{folder}/{name}"
            for folder in python
            for name in ("test/a.py", "idlelib/a.py", "config-3.11-x/libpython.a")
        ),
        *("usr/local/lib/python3.11/site-packages/pip/a.py", "usr/lib/python3/dist-packages/setuptools/a.py"),
        *("usr/bin/apt-get", "usr/bin/perl5", "usr/local/bin/pip3", "usr/lib/x86_64-linux-gnu/perl-base/a.pm"),
        *("usr/lib/x86_64-linux-gnu/gconv/a.so", "usr/share/locale/de/a.mo", "usr/share/man/man1/a.gz"),
        *("usr/share/doc/libc6/NEWS", "var/lib/apt/lists/a", "var/cache/apt/a.deb", "var/lib/dpkg/info/libc6.postinst"),
        *("usr/share/zoneinfo/right/UTC", "proc/1", "tmp/a", "build/a", "usr/sbin/mkfs.ext4", "usr/sbin/useradd"),
        *("usr/sbin/losetup", "usr/sbin/update-passwd", "usr/bin/su", "usr/bin/passwd", "usr/bin/mount"),
        *("usr/lib/x86_64-linux-gnu/libgnutls.so.30", "usr/lib/x86_64-linux-gnu/security/pam_unix.so"),
    ]
    for name in [*kept, *lost]:
        (tmp_path / "base" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "base" / name).touch()
    (tmp_path / "base" / "tmp").chmod(0o1777)
    variables = {**os.environ, "SYSTEM": str(tmp_path / "base"), "LAYER": str(tmp_path / "layer")}
    subprocess.run(["sh", str(ROOT / "images" / "install.sh"), "base"], env=variables, check=True)
    found = {
        path.relative_to(tmp_path / "layer").as_posix() for path in (tmp_path / "layer").rglob("*") if path.is_file()
    }
    assert found == set(kept)
    assert stat.S_IMODE((tmp_path / "layer" / "tmp").stat().st_mode) == 0o1777


@pytest.mark.parametrize("image", IMAGES)
def test_every_image_has_a_client_of_every_kind_of_store(images: dict[str, Environment], image: str) -> None:
    kinds = ["s3", "gs", "abfs", *(["https"] if image != "serving" else [])]
    asked = "import fsspec, sys; [fsspec.get_filesystem_class(kind) for kind in sys.argv[1:]]"
    done = images[image].run(["python3", "-c", asked, *kinds])
    assert (done.returncode, done.stderr) == (0, "")


_ROLLOUT = """
import importlib.util, json, sys
from pathlib import Path
from kubeline.model_package import ModelPackage
from kubeline.rollout.probes import shadow
from kubeline.rollout.probes.outcomes import Outcomes
from kubeline.rollout.spec import RolloutSpec

class Candidate:  # answers as the log does
    def prepare(self, part, rows): return part
    def send(self, request): return request
    def read(self, answer, part): return part.expected

folder, asked = Path(sys.argv[1]), {"source": sys.argv[1] + "/labels.csv", "payload_log": sys.argv[1] + "/log"}
package = ModelPackage.open(folder / "package")
plan = {"strategy": "shadow", "shadow": {"payload_log": asked["payload_log"]}, "outcomes": asked}
spec = RolloutSpec.model_validate(plan | {"rules": {"min_outcomes": 40}})
labels, _ = Outcomes(spec.outcomes, package.signature).compare("c" * 12, "s" * 12, 0.0)
found = shadow.compare(Candidate(), package, spec, "")
seen = [labels.problem, labels.canary.n, labels.stable.n, found.rows, found.alike, found.label_loss["outcome"]]
print(json.dumps([[name for name in ("pandas", "pyarrow") if importlib.util.find_spec(name)], *seen]))
"""


def test_a_rollout_reads_golden_rows_logs_and_labels_in_its_image_which_has_neither_pandas_nor_arrow(
    images: dict[str, Environment], place: Path
) -> None:
    folder = place / "rollout"
    folder.mkdir()
    package = write_tiny_package(folder / "package")
    golden = pd.concat([package.golden()] * 10, ignore_index=True)
    log = golden[package.signature.names].assign(
        **{
            "request.id": [f"r-{number}" for number in range(len(golden))],
            "request.time": pd.date_range("2026-01-01", periods=len(golden), freq="s", tz="UTC"),
            "request.row": 0,
            "model.version": np.where(np.arange(len(golden)) % 2, "s" * 12, "c" * 12),
            "output.prediction": golden["expected.prediction"],
            **{f"output.probability.{name}": golden[f"expected.probability.{name}"] for name in ("False", "True")},
        }
    )
    (folder / "log").mkdir()
    log.to_parquet(folder / "log" / "part-0.parquet", index=False)
    log[["request.id", "output.prediction"]].set_axis(["request.id", "late"], axis=1).to_csv(folder / "labels.csv")
    done = images["deploy"].run(["python3", "-c", _ROLLOUT, str(folder)])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], "", 20, 20, 40, 40, "pass"]


_WITHOUT_BYTECODE = """
import importlib.util, json, sys
from pathlib import Path
import fsspec
for kind in ("s3", "gs", "abfs", "https"):
    fsspec.get_filesystem_class(kind)
import kfp.dsl.executor_main, kubeline.deployment.step, kubeline.rollout.step, kubeline.rollout.probes.shadow
sys.pycache_prefix = None
origins = [getattr(getattr(module, "__spec__", None), "origin", None) or "" for module in list(sys.modules.values())]
files = [origin for origin in origins if "site-packages" in origin and origin.endswith(".py")]
print(json.dumps([len(files), [file for file in files if not Path(importlib.util.cache_from_source(file)).exists()]]))
"""


def test_a_step_that_deploys_compiles_hardly_anything_at_its_start(images: dict[str, Environment]) -> None:
    done = images["deploy"].run(["env", "_KFP_RUNTIME=true", "python3", "-c", _WITHOUT_BYTECODE])
    assert done.returncode == 0, done.stderr
    modules, compiled = json.loads(done.stdout)
    assert modules > 1_000
    assert len(compiled) < 10, compiled
    assert not [*images["deploy"].packages.glob("lib/python*/site-packages/pydantic/v1/**/*.pyc")]  # and no more


def test_any_user_may_read_the_project_whatever_the_umask_of_the_checkout(images: dict[str, Environment]) -> None:
    paths = [images["steps"].app, *images["steps"].app.rglob("*")]
    assert len(paths) > 100
    for path in paths:
        needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
        assert path.stat().st_mode & needed == needed, path


def test_the_tests_run_in_the_images_as_a_user_that_owns_nothing(images: dict[str, Environment]) -> None:
    done = images["steps"].run(["python3", "-c", "import os; print(os.getuid(), os.access('.', os.W_OK))"])
    assert done.stdout.split() == [NOBODY if f"--reuid={NOBODY}" in another_user() else str(os.getuid()), "False"]


@pytest.mark.parametrize("image", ["steps", "drift"])
def test_an_image_brings_the_font_cache_of_matplotlib(images: dict[str, Environment], image: str) -> None:
    asked = "import logging; logging.basicConfig(level='DEBUG'); import matplotlib.font_manager"
    done = images[image].run(["python3", "-c", asked])
    assert "Using fontManager instance from" in done.stderr
    assert "generated new fontManager" not in done.stderr


def test_no_module_is_taken_from_the_working_directory(images: dict[str, Environment], tmp_path: Path) -> None:
    (tmp_path / "orjson.py").write_text("raise SystemExit('planted')")
    server = ["python3", "-m", "kubeline_serving", "--help"]
    done = subprocess.run(server, env=images["serving"].variables, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_library_the_server_and_the_compiled_yaml_alone(
    images: dict[str, Environment], place: Path
) -> None:
    (wheel,) = (place / "wheels").glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    sources |= {path.relative_to(ROOT / "serving").as_posix() for path in (ROOT / "serving").rglob("*.py")}
    for room in ("components", "pipelines"):
        compiled = [path for path in (ROOT / room).rglob("*.yaml") if path.name != "metadata.yaml"]
        sources |= {f"kubeline/_{path.relative_to(ROOT).as_posix()}" for path in compiled}
    assert sources <= names
    kinds = {Path(name).suffix for name in names - sources}
    assert not [name for name in names if name.endswith(("/OWNERS", "/metadata.yaml"))]
    assert kinds <= {".jinja", ".proto", ".pyi", ".yaml", ".json", ".css", ".js", ".typed", ".in"}, sorted(
        names - sources
    )


@pytest.mark.parametrize("image", IMAGES)
def test_a_dockerfile_installs_with_the_script_of_the_tests(image: str) -> None:
    runs = " ".join(" ".join(each.runs) for each in stages(dockerfile(image)).values())
    assert f"/build/images/install.sh packages {image}" in runs
    assert "/build/images/install.sh kubeline" in runs
    assert "-m hatchling build --target wheel --directory /build/wheels" in runs
    installs = re.findall(r"pip install ([^&]*)", runs)
    assert all("--no-deps --require-hashes -r /build/images/build.lock" in each for each in installs)
    assert stage(image).user == "1000:1000"


def step_command(name: str) -> list[str]:
    """What a component's compiled YAML starts, with an empty input: it says what it misses, and ends."""
    text = (ROOT / "components" / name / "component.yaml").read_text(encoding="utf-8")
    (executor,) = yaml.safe_load(text)["deploymentSpec"]["executors"].values()
    return [*executor["container"]["command"], *executor["container"]["args"]]


def entrypoint(environment: Environment) -> list[str]:
    """The entry point of the serving image, with its path here."""
    return [environment.here(word) for word in stage("serving").entrypoint]


def test_the_serving_image_runs_the_command_that_docker_hands_to_its_entry_point(
    images: dict[str, Environment], place: Path
) -> None:
    place = place / "tmp" / "step"
    asked = {"inputs": {}, "outputs": {"outputFile": str(place / "executor_output.json")}}
    command = [word.replace("{{$}}", json.dumps(asked)) for word in step_command("infra_validate")]
    done = images["serving"].run([*entrypoint(images["serving"]), *command])
    assert "unrecognized arguments" not in done.stderr
    assert 'Loading KFP component "infra_validate"' in done.stdout  # the step itself began
    ended = images["serving"].run([*entrypoint(images["serving"]), "sh", "-ec", 'exit "$0"', "7"])
    assert ended.returncode == 7


def test_the_serving_image_serves_when_it_is_given_options_alone(
    images: dict[str, Environment], package: Model
) -> None:
    (port,) = free_ports(1)
    options = ["--model_name=flights", f"--model_dir={package.path}", f"--http_port={port}", "--enable_grpc=false"]
    serving = images["serving"]
    with subprocess.Popen([*entrypoint(serving), *options], env=serving.variables, cwd=serving.app) as server:
        address = f"http://127.0.0.1:{port}/v1/models/flights"
        for _ in range(600):
            time.sleep(0.1)
            try:
                with urllib.request.urlopen(address) as answer:
                    assert json.load(answer) == {"name": "flights", "ready": True}
                break
            except OSError:
                assert server.poll() is None
        row = GoldenRows.of(ModelPackage.open(package.path)).records[0]
        asked = http.client.HTTPConnection("127.0.0.1", port)
        asked.request("POST", "/v1/models/flights:explain", json.dumps({"instances": [row]}))
        (explanation,) = json.load(asked.getresponse())["explanations"]
        asked.close()
        assert set(explanation["contributions"]) == set(row)  # beside golden rows that are read without pandas
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_the_serving_image_without_options_is_a_server_too(images: dict[str, Environment]) -> None:
    done = images["serving"].run(entrypoint(images["serving"]))
    assert done.returncode == 2
    assert "/mnt/models" in done.stderr
