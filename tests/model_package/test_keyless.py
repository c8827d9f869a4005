"""A package is signed without a key, as Sigstore does it: by an identity, at a proven time; no network verifies it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_signing import signing

from kubeline.errors import PlatformError, UserError
from kubeline.model_package import ModelPackage
from kubeline.model_package.signing import check
from tests.model_package.signatures import bundle_of, changed, statement_of, write
from tests.support.json_servers import served
from tests.support.packages import write_tiny_package
from tests.support.signing_keys import signing_keys
from tests.support.sigstore_server import SigstoreServer

SIGNER, ISSUER = "ci@example.com", "https://accounts.example.com"


def sign(package: Path, server: SigstoreServer, subject: str = SIGNER, issuer: str = ISSUER) -> str:
    """The bundle that `model_signing sign sigstore` makes of a package."""
    config, signature = package.parent / "trust_config.json", package.parent / "keyless.sig"
    (package / "model.sig").unlink(missing_ok=True)  # it would be one of the files
    with served(server) as server.url:
        server.shown.clear()
        config.write_text(json.dumps(server.trust_config()))
        signer = signing.Config()  # type: ignore[no-untyped-call]
        signer.use_sigstore_signer(
            identity_token=server.token(subject, issuer), use_ambient_credentials=False, trust_config=config
        ).sign(package, signature)
    assert server.refused == []
    return signature.read_text()


@pytest.fixture(scope="module")
def server() -> SigstoreServer:
    return SigstoreServer()


@pytest.fixture(scope="module")
def once(server: SigstoreServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A package, and its signature."""
    package = write_tiny_package(tmp_path_factory.mktemp("once") / "package").path
    return package, sign(package, server)


@pytest.fixture
def signed(server: SigstoreServer, once: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package that was signed, where its signature is required. Nothing of Sigstore can be reached."""
    for name in ("SIGNING_KEY", "SIGNING_CERTIFICATE", "PUBLIC_KEY"):
        monkeypatch.delenv(f"KUBELINE_{name}", raising=False)
    package = write_tiny_package(tmp_path / "package").path
    write(package, once[1])
    monkeypatch.setenv("KUBELINE_TRUSTED_ROOT", json.dumps(server.trusted_root()))
    monkeypatch.setenv("KUBELINE_SIGNER", SIGNER)
    monkeypatch.setenv("KUBELINE_SIGNER_ISSUER", ISSUER)
    server.lag = 0
    return package


def test_what_model_signing_signs_without_a_key_opens(signed: Path) -> None:
    check()
    assert ModelPackage.open(signed).path == signed


def test_the_file_that_a_signer_is_given_serves_as_the_root_too_and_several_may_sign(
    signed: Path, server: SigstoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trust_config.json").write_text(json.dumps(server.trust_config()))
    monkeypatch.setenv("KUBELINE_TRUSTED_ROOT", str(tmp_path / "trust_config.json"))
    monkeypatch.setenv("KUBELINE_SIGNER", f"cd@example.com\n{SIGNER}")
    assert ModelPackage.open(signed).path == signed


def without(*parts: str) -> Callable[[Path, SigstoreServer], None]:
    """Take a part of the log's entry away."""

    def take(folder: Path, server: SigstoreServer) -> None:
        bundle = json.loads((folder / "model.sig").read_text())
        for part in parts:
            del bundle["verificationMaterial"]["tlogEntries"][0][part]
        write(folder, json.dumps(bundle))

    return take


def anew(subject: str = SIGNER, issuer: str = ISSUER, lag: int = 0) -> Callable[[Path, SigstoreServer], None]:
    """Let another one sign, or at another time."""

    def resign(folder: Path, server: SigstoreServer) -> None:
        server.lag = lag
        write(folder, sign(folder, server, subject, issuer))

    return resign


def by_another_sigstore(folder: Path, server: SigstoreServer) -> None:
    write(folder, sign(folder, SigstoreServer()))


def with_the_entry_of_another(folder: Path, server: SigstoreServer) -> None:
    bundle = json.loads((folder / "model.sig").read_text())
    other = json.loads(sign(folder, server))
    bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    write(folder, json.dumps(bundle))


def spoilt(part: str, to: Any) -> Callable[[Path, SigstoreServer], None]:
    return lambda folder, server: changed(part, to)(folder)


REFUSED: dict[str, tuple[Callable[[Path, SigstoreServer], None], str]] = {
    "another identity": (
        anew(subject="evil@example.com"),
        "its certificate is that of evil@example.com, and KUBELINE_SIGNER trusts ci@example.com",
    ),
    "another issuer": (
        anew(issuer="https://accounts.evil.com"),
        "ci@example.com is known to another issuer than https://accounts.example.com, which KUBELINE_SIGNER_ISSUER",
    ),
    "another Sigstore": (by_another_sigstore, "failed to build timestamp certificate chain"),
    "signed after the certificate had ended": (anew(lag=3600), "failed to build timestamp certificate chain"),
    "signed before the certificate began": (anew(lag=-3600), "failed to build timestamp certificate chain"),
    "no promise of the log, so no time": (
        without("inclusionPromise"),
        "must contain an inclusion promise or signed timestamp",
    ),
    "no proof of the log": (without("inclusionProof"), r"tlogEntries.0.inclusionProof Field required\)"),
    "neither": (without("inclusionPromise", "inclusionProof"), "tlogEntries.0.inclusionProof Field required"),
    "no entry of the log": (spoilt("verificationMaterial.tlogEntries", []), "expected exactly one log entry"),
    "an entry of another signature": (with_the_entry_of_another, "log entry signatures do not match bundle"),
    "a statement changed later": (spoilt("dsseEnvelope.payload", "e30="), "DSSE: invalid signature"),
    "no certificate": (spoilt("verificationMaterial.certificate", {"rawBytes": ""}), "Sigstore refuses it"),
    "no material": (spoilt("verificationMaterial", {}), "Sigstore refuses it"),
    "a key": (
        lambda folder, server: write(folder, bundle_of(statement_of(folder), signing_keys())),
        "is signed by a key, but KUBELINE_SIGNER asks for the signature of ci@example.com, by a certificate",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_keyless_signature_that_does_not_count_is_refused_in_a_sentence(
    case: str, signed: Path, server: SigstoreServer
) -> None:
    spoil, sentence = REFUSED[case]
    spoil(signed, server)
    with pytest.raises(UserError, match=sentence) as error:
        ModelPackage.open(signed)
    assert "\n" not in str(error.value)


ROOTS = {
    "tlogs": "invalid log entry: ",
    "ctlogs": "failed to verify SCT on signing certificate",
    "certificateAuthorities": "failed to build timestamp certificate chain",
}


@pytest.mark.parametrize("part", ROOTS)
def test_each_part_of_the_root_counts(
    part: str, signed: Path, server: SigstoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = server.trusted_root() | {part: SigstoreServer().trusted_root()[part]}
    monkeypatch.setenv("KUBELINE_TRUSTED_ROOT", json.dumps(root))
    with pytest.raises(UserError, match=f"is signed without a key, and that does not count: .*{ROOTS[part]}"):
        ModelPackage.open(signed)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SIGNER_ISSUER", "", "that of Sigstore, but KUBELINE_SIGNER_ISSUER is not set"),
        ("SIGNER", "", "KUBELINE_SIGNER is not, so anyone whom that authority knows could sign"),
        ("TRUSTED_ROOT", "{}", "holds no root of Sigstore that can be used .*; give a trusted_root.json"),
        ("TRUSTED_ROOT", "{", "holds no root of Sigstore that can be used .*; give a trusted_root.json"),
    ],
)
def test_what_cannot_be_trusted_is_refused_before_anything_is_opened(
    name: str, value: str, sentence: str, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"KUBELINE_{name}", value)
    for use in (check, lambda: ModelPackage.open(signed)):
        with pytest.raises(UserError, match=sentence):
            use()


def test_an_image_without_the_client_says_which_extra_it_needs(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)
    for use in (check, lambda: ModelPackage.open(signed)):
        with pytest.raises(PlatformError, match=r"the package sigstore is missing here; use an image with kubeline\[s"):
            use()
