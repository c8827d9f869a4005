"""Files that DVC tracks: in a repository as DVC 3 leaves it, at revisions, from its cache and its default remote."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from kubeline.data.dataset import open_dataset
from kubeline.errors import PlatformError, UserError
from tests.support.file_servers import S3, serving_files
from tests.support.loading import Load

OLD, NEW = b"a,b\n1,x\n", b"a,b\n1,x\n2,y\n"
PARTS = {"carrier=UA/x.csv": b"a\n1\n", "carrier=B6/y.csv": b"a\n2\n"}


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def cached(root: Path, content: bytes, ending: str = "", layout: str = "files/md5") -> str:
    """Keep content in the cache; its digest."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
    path = root / ".dvc" / "cache" / layout / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return digest


def track(root: Path, path: str, digest: str) -> None:
    """What `dvc add` writes beside a path."""
    out = {"md5": digest, "hash": "md5", "path": Path(path).name}
    file = root / f"{path}.dvc"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"outs": [out]}))


def folder(root: Path, files: Mapping[str, bytes]) -> str:
    """Keep a folder in the cache; its digest."""
    listing = [{"md5": cached(root, body), "relpath": path} for path, body in sorted(files.items())]
    return cached(root, json.dumps(listing).encode(), ".dir")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A file with two revisions (the first is v1), a folder, and the output of a stage."""
    root = tmp_path / "a repository"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / ".gitignore").write_text("/cache\n")
    (root / ".dvc" / "config").write_text(
        "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../remote\n"
    )
    track(root, "data/t.csv", cached(root, OLD))
    track(root, "data/parts", folder(root, PARTS))
    made = {"outs": [{"path": "out/r.csv", "hash": "md5", "md5": cached(root, OLD)}]}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"make": {"cmd": "x", **made}}}))
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    git(root, "tag", "v1")
    track(root, "data/t.csv", cached(root, NEW))
    return root


def test_a_file_is_read_as_it_is_tracked_now_and_at_a_revision(repository: Path, load: Load) -> None:
    assert load(f"dvc://{repository}/data/t.csv").frame["a"].tolist() == [1, 2]
    at_v1 = load(f"dvc://{repository}/data/t.csv@v1")
    assert at_v1.frame["a"].tolist() == [1]
    assert at_v1.metadata["source"] == f"dvc://{repository}/data/t.csv@{git(repository, 'rev-parse', 'v1')}"
    assert load(at_v1.metadata["source"]).metadata["fingerprint"] == at_v1.metadata["fingerprint"]


def test_a_tracked_folder_its_files_and_the_output_of_a_stage_are_read(repository: Path, load: Load) -> None:
    rows = [{"a": 2, "carrier": "B6"}, {"a": 1, "carrier": "UA"}]
    assert open_dataset(load(f"dvc://{repository}/data/parts@v1").path).to_table().to_pylist() == rows
    assert load(f"dvc://{repository}/data/parts/carrier=UA/x.csv").frame["a"].tolist() == [1]
    assert load(f"dvc://{repository}/out/r.csv@v1").frame["a"].tolist() == [1]


def test_what_is_not_in_the_cache_is_read_from_the_default_remote(
    repository: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = repository / ".dvc" / "cache"
    objects = {
        f"bucket/dvc/{path.relative_to(cache)}": path.read_bytes() for path in cache.rglob("*") if path.is_file()
    }
    cache.rename(repository.parent / "remote")
    assert load(f"dvc://{repository}/data/parts@v1").frame["a"].tolist() == [2, 1]
    shutil.rmtree(repository.parent / "remote")
    with pytest.raises(PlatformError, match=r"'data/t.csv' is neither in the cache .* nor in the remote 'storage' "):
        load(f"dvc://{repository}/data/t.csv")
    config = (repository / ".dvc" / "config").read_text().replace("../../remote", "s3://bucket/dvc")
    (repository / ".dvc" / "config.local").write_text(config)
    with serving_files(S3, objects) as address:
        for name, value in (("ENDPOINT_URL", address), ("ACCESS_KEY_ID", "k"), ("SECRET_ACCESS_KEY", "s")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert load(f"dvc://{repository}/data/parts@v1").frame["a"].tolist() == [2, 1]


def test_the_layout_of_dvc_before_3_is_read(repository: Path, load: Load) -> None:
    out = {"md5": cached(repository, OLD, layout="."), "path": "old.csv"}
    (repository / "data" / "old.csv.dvc").write_text(yaml.safe_dump({"outs": [out]}))
    shutil.rmtree(repository / ".dvc" / "cache" / "files")
    assert load(f"dvc://{repository}/data/old.csv").frame["a"].tolist() == [1]


def test_content_that_is_not_what_is_tracked_is_refused(repository: Path, load: Load) -> None:
    for path in (repository / ".dvc" / "cache").rglob("*"):
        if path.is_file() and path.read_bytes() == NEW:
            path.write_bytes(b"a,b\n9,z\n")
    with pytest.raises(PlatformError, match=r"content of 'data/t.csv' is not what DVC tracks; run dvc fetch"):
        load(f"dvc://{repository}/data/t.csv")


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("data/none.csv@v1", r"DVC tracks no 'data/none.csv' in '.*' at revision v1; see its .dvc files"),
        ("data/t.csv@v7", r"git finds no such revision in '.*' \(.*\); give a commit, tag or branch"),
        ("data/t.csv@--help", "git finds no such revision"),
        ("../t.csv", "is not below a DVC repository; expected dvc:///repository/path@revision"),
        ("data/bad.csv", r"'data/bad.csv.dvc' in '.*' is no file of DVC"),
        ("data/far.csv", r"'data/far.csv.dvc' names '../../x', which is no MD5 of DVC"),
        ("data/out", r"DVC tracks 'data/out/../../secret.csv', which is outside of its repository"),
    ],
)
def test_what_cannot_be_read_is_reported(place: str, sentence: str, repository: Path, load: Load) -> None:
    (repository / "data" / "bad.csv.dvc").write_text("outs: 7\n")
    track(repository, "data/far.csv", "../../x")
    track(repository, "data/out", folder(repository, {"../../secret.csv": OLD}))
    with pytest.raises(UserError, match=sentence):
        load(f"dvc://{repository}/{place}")
