"""XGBoost and LightGBM by pods of a TrainJob, at an API server with a controller that runs them as processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import lightgbm
import pytest
import xgboost
import yaml

from kubeline.errors import PlatformError
from kubeline.kubernetes import Cluster
from kubeline.kubernetes.errors import NotInstalledError
from kubeline.preflight.services import check_workers
from kubeline.training.distributed.group import home, run
from kubeline.training.distributed.job import CHECKPOINT, GROUP
from kubeline.training.distributed.server import Served, serve
from kubeline.training.distributed.train_job import TrainJob, manifest
from kubeline.training.distributed.workers import Workers
from tests.support.trainer import SECRET, TRAIN_JOB, Trainer
from tests.support.training_tables import Train, for_task, mixed_table
from tests.support.waiting import wait_for
from tests.support.worker_processes import prepare

TWO = Workers(count=2, image="registry.example/kubeline-steps:1", cpu="500m", memory="1Gi")
MANIFESTS = Path(__file__).parents[2] / "manifests" / "trainer"
TEXT = {"type": "string", "minLength": 1}


def closed(required: tuple[str, ...] = (), /, **fields: Any) -> dict[str, Any]:
    """The schema of an object without any other field."""
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def listed(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


# What the TrainJob of Kubeflow Trainer 2.3 has of the fields that are sent, with the bounds of its definition; of a
# container of the pods, env is refused there where it is the trainer's own.
SECURITY = closed(runAsNonRoot={"type": "boolean"}, seccompProfile=closed(("type",), type={"enum": ["RuntimeDefault"]}))
CONTAINER = closed(
    ("name",),
    name={"const": "node"},
    securityContext=closed(allowPrivilegeEscalation={"const": False}, capabilities=closed(drop=listed(TEXT))),
)
POD = closed(securityContext=SECURITY, containers=listed(CONTAINER))
PATCH = closed(("name",), name={"const": "node"}, template=closed(spec=closed(template=closed(spec=POD))))
SIZES = closed(cpu=TEXT, memory=TEXT)
VARIABLE = closed(
    ("name",),
    name={"type": "string", "pattern": "^KUBELINE_"},  # those of the contract are the runtime's, and refused
    value={"type": "string"},
    valueFrom=closed(secretKeyRef=closed(("name", "key"), name=TEXT, key=TEXT)),
)
SPEC = closed(
    ("runtimeRef",),
    runtimeRef=closed(("name",), name={"type": "string", "minLength": 1, "maxLength": 253}),
    trainer=closed(
        image={"type": "string", "maxLength": 500},
        command={**listed(TEXT), "maxItems": 128},
        env={**listed(VARIABLE), "maxItems": 128},
        numNodes={"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        resourcesPerNode=closed(requests=SIZES, limits=SIZES),
    ),
    runtimePatches=listed(
        closed(
            ("manager",),
            manager={"type": "string", "minLength": 1, "maxLength": 253},
            trainingRuntimeSpec=closed(template=closed(spec=closed(replicatedJobs=listed(PATCH)))),
        )
    ),
)


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    folder = tmp_path / "pods"
    folder.mkdir()
    with Trainer(folder) as running:
        yield running
        assert running.store.every(TRAIN_JOB) == []
        assert running.store.every(SECRET) == []


def kubeconfig(trainer: Trainer, tmp_path: Path) -> str:
    return str(trainer.write_kubeconfig(tmp_path / "kubeconfig"))


def group(trainer: Trainer, tmp_path: Path, served: Served) -> TrainJob:
    made = TrainJob(Cluster.connect(kubeconfig(trainer, tmp_path)), "train-1", "default", TWO, served)
    made.pause = 0.2
    return made


def rights() -> set[tuple[str, str]]:
    """What the Role of the manifests allows, as resource and verb."""
    documents = yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text(encoding="utf-8"))
    [role] = [one for one in documents if one["kind"] == "Role"]
    return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


def test_every_manifest_of_the_folder_is_applied() -> None:
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8"))
    assert {*kustomization["resources"], "kustomization.yaml"} == {path.name for path in MANIFESTS.iterdir()}


def test_pods_make_the_package_that_processes_make_by_the_rights_of_the_role_and_what_trainer_takes(
    trainer: Trainer, tmp_path: Path, train: Train
) -> None:
    frame = for_task(mixed_table(1_000), "regression")
    pods = {
        "count": 2, "image": "registry.example/kubeline-steps:1", "host": "127.0.0.1",
        "cluster": kubeconfig(trainer, tmp_path),
    }  # fmt: skip
    with trainer.controlling():
        package = train(frame, estimator="xgboost", workers=pods)
    assert package.digest == train(frame, estimator="xgboost", workers={"count": 2}).digest
    assert package.manifest.metrics["r2"] > 0.3
    asked = {(one["resource"], one["verb"]) for one in trainer.faults.answer("GET", "requests", None)}
    assert asked == rights()
    [job] = trainer.seen
    jsonschema.validate(job["spec"], SPEC)
    assert job["spec"]["trainer"]["numNodes"] == 2
    assert list((tmp_path / "pods").iterdir()) == []


def test_a_failed_train_job_is_made_again_and_goes_on_from_the_last_checkpoint(
    trainer: Trainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kill() -> None:
        wait_for((folder / CHECKPOINT).exists)
        trainer.pods[1].kill()

    trainer.restarts = 0
    with home(tmp_path / "train job") as folder, serve(folder, 2, "127.0.0.1") as served, trainer.controlling():
        prepare(folder)
        killer = threading.Thread(target=kill)
        killer.start()
        survived = run(group(trainer, tmp_path, served), folder, 2)
        killer.join()
    assert xgboost.Booster(model_file=bytearray(survived)).num_boosted_rounds() == 60
    assert len(trainer.seen) == 2
    said = [record.message for record in caplog.records if "begin again" in record.message]
    assert said == [
        "TrainJob default/train-1 failed: job node-0 failed: BackoffLimitExceeded; all workers begin again from the "
        "last checkpoint"
    ]


def test_pods_of_lightgbm_begin_again_together_when_one_is_lost(trainer: Trainer, tmp_path: Path) -> None:
    with home(tmp_path / "train job") as folder, serve(folder, 2, "127.0.0.1") as served, trainer.controlling():
        prepare(folder, library="lightgbm")

        def kill() -> None:
            wait_for((folder / GROUP).exists)
            trainer.pods[1].kill()

        killer = threading.Thread(target=kill)
        killer.start()
        survived = run(group(trainer, tmp_path, served), folder, 2)
        killer.join()
    assert lightgbm.Booster(model_str=survived.decode()).num_trees() == 60
    assert len(trainer.seen) == 1  # the Job began both again; the one that was not killed would have read for ever


STEP = """
import sys
from pathlib import Path
from kubeline.training.distributed.group import home, run
from kubeline.training.distributed.server import serve
from kubeline.kubernetes import Cluster
from kubeline.training.distributed.train_job import TrainJob
from kubeline.training.distributed.workers import Workers
with home(Path(sys.argv[1])) as folder, serve(folder, 2, "127.0.0.1") as served:
    workers = Workers(count=2, image="registry.example/kubeline-steps:1")
    run(TrainJob(Cluster.connect(sys.argv[2]), "train-1", "default", workers, served), folder, 2)
"""


def test_a_step_that_is_asked_to_end_removes_its_train_job_and_one_killed_is_tidied_up_by_the_next(
    trainer: Trainer, tmp_path: Path
) -> None:
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", STEP, str(tmp_path / "files"), kubeconfig(trainer, tmp_path)]

    def step() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})

    with step() as killed:
        [left] = wait_for(lambda: trainer.store.every(SECRET) and trainer.store.every(TRAIN_JOB))
        killed.kill()
    with step() as asked:
        uid = left["metadata"]["uid"]
        wait_for(lambda: any(one["metadata"]["uid"] != uid for one in trainer.store.every(TRAIN_JOB)))
        wait_for(lambda: trainer.store.every(SECRET))
        asked.terminate()
        assert asked.wait(240) == 128 + signal.SIGTERM
    assert not (tmp_path / "files").exists()


def test_a_train_job_that_someone_deletes_is_named(trainer: Trainer, tmp_path: Path) -> None:
    with home(tmp_path / "files") as folder, serve(folder, 2, "127.0.0.1") as served:
        one = group(trainer, tmp_path, served)
        one.start()
        assert one.failure() == ""
        trainer.store.delete(TRAIN_JOB, "default", "train-1")
        assert one.failure() == "TrainJob default/train-1 was deleted by someone else"


def test_a_cluster_without_trainer_is_named(trainer: Trainer, tmp_path: Path) -> None:
    trainer.store.kinds = ()
    sentence = r"does not know TrainJob \(trainer.kubeflow.org/v1alpha1\); install"
    with serve(tmp_path, 2, "127.0.0.1") as served, pytest.raises(NotInstalledError, match=sentence):
        group(trainer, tmp_path, served).start()
    with pytest.raises(NotInstalledError, match=sentence):
        check_workers({"count": 2, "image": "steps:1", "cluster": kubeconfig(trainer, tmp_path)})


def test_rights_that_are_missing_are_named_before_a_run(trainer: Trainer, tmp_path: Path) -> None:
    pods = {"count": 2, "image": "steps:1", "cluster": kubeconfig(trainer, tmp_path)}
    assert check_workers(pods) is None
    trainer.faults.answer("POST", "faults", {"action": "deny", "verb": "delete", "resource": "trainjobs", "times": 0})
    trainer.faults.answer("POST", "faults", {"action": "deny", "verb": "create", "resource": "secrets", "times": 0})
    sentence = (
        r"may not delete trainjobs.trainer.kubeflow.org, create secrets in namespace 'default'; apply the Role of "
        r"manifests/trainer there$"
    )
    with pytest.raises(PlatformError, match=sentence):
        check_workers(pods)
    assert check_workers({"count": 2}) == "the workers are processes of the step"


def test_the_token_is_in_the_secret_alone_and_the_pods_belong_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served("https://10.0.0.1:1", "very secret", "-----BEGIN CERTIFICATE-----")
    assert "very secret" not in str(manifest("train-1", "team", TWO, served, "token-1"))
    assert "ownerReferences" not in manifest("train-1", "team", TWO, served, "token-1")["metadata"]
    for name, value in (("KFP_POD_NAME", "step"), ("KFP_POD_UID", "1-2"), ("KFP_NAMESPACE", "team")):
        monkeypatch.setenv(name, value)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "1-2"}
    assert manifest("train-1", "team", TWO, served, "token-1")["metadata"]["ownerReferences"] == [owner]
    assert "ownerReferences" not in manifest("train-1", "elsewhere", TWO, served, "token-1")["metadata"]
