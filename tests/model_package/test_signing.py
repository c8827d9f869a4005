"""A package is signed as OpenSSF model signing does it; where a public key is configured, no other is opened."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_private
from model_signing import signing, verifying

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.model_package.signing import check
from kubeline.secrets import Secrets
from tests.model_package.signatures import bundle_of, changed, statement_of, write
from tests.support.packages import write_tiny_package
from tests.support.signing_keys import signing_keys

KEYS, OTHERS = signing_keys(), signing_keys()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without keys."""
    for name in ("KUBELINE_SIGNING_KEY", "KUBELINE_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def signed(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a package that was signed, where its signature is required."""
    environment.setenv("KUBELINE_SIGNING_KEY", KEYS.private)
    environment.setenv("KUBELINE_PUBLIC_KEY", KEYS.public)
    return write_tiny_package(tmp_path / "package").path


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_openssf_accepts_our_signature_and_we_accept_that_of_openssf(
    curve: ec.EllipticCurve, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = signing_keys(curve)
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_text(keys.private)
    public.write_text(keys.public)
    environment.setenv("KUBELINE_SIGNING_KEY", str(private))
    package = write_tiny_package(tmp_path / "package")
    verifier = verifying.Config()  # type: ignore[no-untyped-call]
    verifier.use_elliptic_key_verifier(public_key=public)
    verifier.verify(package.path, package.path / "model.sig")

    (package.path / "model.sig").unlink()
    signer = signing.Config()  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=private).sign(package.path, package.path / "model.sig")
    environment.setenv("KUBELINE_PUBLIC_KEY", str(public))
    assert ModelPackage.open(package.path).digest == package.digest


def test_the_same_package_and_key_give_the_same_signature_and_the_digest_is_that_of_the_package_without(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = write_tiny_package(tmp_path / "plain")
    assert not (plain.path / "model.sig").exists()
    environment.setenv("KUBELINE_SIGNING_KEY", KEYS.private)
    one, two = (write_tiny_package(tmp_path / name) for name in ("one", "two"))
    assert plain.digest == one.digest
    assert (one.path / "model.sig").read_bytes() == (two.path / "model.sig").read_bytes()


def test_without_a_public_key_a_package_opens_whoever_signed_it(signed: Path, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("KUBELINE_PUBLIC_KEY")
    for content in ("no signature at all", None):
        if content is None:
            (signed / "model.sig").unlink()
        else:
            (signed / "model.sig").write_text(content)
        assert ModelPackage.open(signed).path == signed


def test_of_several_public_keys_any_may_have_signed(signed: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KUBELINE_PUBLIC_KEY", OTHERS.public + KEYS.public)
    assert ModelPackage.open(signed).path == signed
    bundle = json.loads((signed / "model.sig").read_text())
    bundle["verificationMaterial"]["publicKey"] = {}  # as the first version of the library wrote it
    (signed / "model.sig").write_text(json.dumps(bundle))
    assert ModelPackage.open(signed).path == signed


def unsigned(folder: Path) -> None:
    (folder / "model.sig").unlink()


def stated(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Let the right key sign another statement."""

    def restate(folder: Path) -> None:
        statement = statement_of(folder)
        change(statement)
        resources = statement["predicate"]["resources"]
        if statement["subject"][0]["digest"]["sha256"] != "0" * 64:
            whole = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
            statement["subject"][0]["digest"]["sha256"] = whole
        write(folder, bundle_of(statement, KEYS))

    return restate


def of_another_package(folder: Path) -> None:
    other = write_tiny_package(folder.parent / "other", wrong_by=0.25)
    write(folder, (other.path / "model.sig").read_text())


def rewritten(folder: Path) -> None:
    """Another golden file, and a manifest that agrees with it: every digest is right, but nobody signed them."""
    (folder / "golden.json").write_bytes(b"forged")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["golden.json"] = hashlib.sha256(b"forged").hexdigest()
    manifest["sizes"]["golden.json"] = len(b"forged")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def linked(folder: Path) -> None:
    (folder / "model.sig").rename(folder.parent / "elsewhere")
    (folder / "model.sig").symlink_to(folder.parent / "elsewhere")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "unsigned": (unsigned, r"is not signed, but KUBELINE_PUBLIC_KEY asks for the signature of key \w{12}"),
    "no JSON": (lambda folder: write(folder, "{"), "is no signature that can be verified: JSONDecodeError"),
    "empty": (lambda folder: write(folder, "{}"), "is no signature that can be verified: KeyError"),
    "a list": (lambda folder: write(folder, "[]"), "is no signature that can be verified: TypeError"),
    "nested without end": (lambda folder: write(folder, "[" * 100_000), "is no signature .*: RecursionError"),
    "more than a signature has": (lambda folder: write(folder, " " * 2**21), "has 2,097,152 bytes, but at most"),
    "a link": (linked, "model.sig of the model package at .* is a link"),
    "another media type": (changed("mediaType", "text/plain"), "its media type is text/plain"),
    "keyless": (
        changed("verificationMaterial", {"certificate": {"rawBytes": ""}}),
        "is signed without a key, by Sigstore, but KUBELINE_TRUSTED_ROOT is not Sigstore's; do not use it",
    ),
    "two signatures": (changed("dsseEnvelope.signatures", [{"sig": ""}, {"sig": ""}]), "is no signature .*ValueError"),
    "another payload": (changed("dsseEnvelope.payloadType", "text/plain"), "its payload is text/plain"),
    "a statement changed later": (changed("dsseEnvelope.payload", "e30="), "was changed after it was signed"),
    "a foreign key": (
        lambda folder: write(folder, bundle_of(statement_of(folder), OTHERS)),
        r"was changed after it was signed: key \w{12} did not sign this statement",
    ),
    "a foreign key that says so": (
        lambda folder: write(
            folder,
            bundle_of(
                statement_of(folder),
                OTHERS,
                {"publicKey": {"hint": hashlib.sha256(OTHERS.public.encode()).hexdigest()}},
            ),
        ),
        r"is signed by key \w{12}, but KUBELINE_PUBLIC_KEY trusts key \w{12}; do not use it",
    ),
    "the signature of another package": (of_another_package, r"is not of this package: it signs a manifest\.json of"),
    "a manifest made anew": (rewritten, r"is not of this package: it signs a manifest\.json of SHA-256 \w{12}, but"),
    "a file less": (
        stated(lambda statement: statement["predicate"]["resources"].pop()),
        r"signs \S+ as absent, the manifest names it as \w{12}",
    ),
    "a file more": (
        stated(
            lambda statement: statement["predicate"]["resources"].append(
                {"name": "run.sh", "algorithm": "sha256", "digest": "0" * 64}
            )
        ),
        "signs run.sh as 000000000000, the manifest names it as absent",
    ),
    "nothing": (
        stated(lambda statement: statement["predicate"]["resources"].clear()),
        r"it signs a manifest\.json of SHA-256 none",
    ),
    "a file twice": (
        stated(lambda statement: statement["predicate"]["resources"].append(statement["predicate"]["resources"][0])),
        "its files do not add up to the digest that it states",
    ),
    "another root": (
        stated(lambda statement: statement["subject"][0]["digest"].update(sha256="0" * 64)),
        "its files do not add up to the digest that it states",
    ),
    "shards": (
        stated(lambda statement: statement["predicate"]["serialization"].update(method="shards")),
        "it signs shards, or by another hash than SHA-256",
    ),
    "another predicate": (
        stated(lambda statement: statement.update(predicateType="https://slsa.dev/provenance/v1")),
        "it states https://slsa.dev/provenance/v1, not https://model_signing",
    ),
    "no statement": (
        lambda folder: write(folder, bundle_of(b"[1]", KEYS)),
        "is no signature that can be verified: TypeError",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_package_that_no_trusted_key_vouches_for_is_refused_in_a_sentence(case: str, signed: Path) -> None:
    spoil, sentence = REFUSED[case]
    spoil(signed)
    with pytest.raises(UserError, match=sentence) as error:
        ModelPackage.open(signed)
    assert "\n" not in str(error.value)


def test_a_file_changed_after_it_was_signed_is_refused_by_name(signed: Path) -> None:
    (signed / "schema.json").write_text((signed / "schema.json").read_text() + " ")
    with pytest.raises(UserError, match=r"schema\.json of the model package at .* was changed after training"):
        ModelPackage.open(signed)


PASSWORD = (
    load_private(KEYS.private.encode(), None)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    .decode()
)
UNUSABLE = {
    "no-such-file.pem": "there is no such file as it names",
    "-----BEGIN": "there is no PEM block in it",
    "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----": "it cannot be read",
    signing_keys(ec.SECP256K1()).public: "it is not of one of these curves|it cannot be read",
    signing_keys(ec.SECP256K1()).private: "it is not of one of these curves|it cannot be read",
    PASSWORD: "a password protects it|it cannot be read",
}


@pytest.mark.parametrize("given", UNUSABLE, ids=range(len(UNUSABLE)))
def test_what_is_no_key_is_refused_before_anything_is_signed_or_opened(
    given: str, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = write_tiny_package(tmp_path / "package")
    sentence = f"holds no .* key that can be used: .*({UNUSABLE[given]}).*; give a .* key of P-256, P-384 or P-521"
    environment.setenv("KUBELINE_PUBLIC_KEY", given)
    with pytest.raises(UserError, match=f"KUBELINE_PUBLIC_KEY {sentence}"):
        ModelPackage.open(package.path)
    environment.delenv("KUBELINE_PUBLIC_KEY")
    environment.setenv("KUBELINE_SIGNING_KEY", given)
    for use in (check, lambda: write_tiny_package(tmp_path / "other")):
        with pytest.raises(UserError, match=f"KUBELINE_SIGNING_KEY {sentence}"):
            use()


def test_a_key_whose_signature_nobody_trusts_is_refused_before_the_training(environment: pytest.MonkeyPatch) -> None:
    check()
    environment.setenv("KUBELINE_SIGNING_KEY", KEYS.private)
    environment.setenv("KUBELINE_PUBLIC_KEY", OTHERS.public + KEYS.public)
    check()
    environment.setenv("KUBELINE_PUBLIC_KEY", OTHERS.public)
    with pytest.raises(UserError, match=r"signs as key \w{12}, but KUBELINE_PUBLIC_KEY trusts key \w{12}"):
        check()


def test_no_line_of_a_private_key_is_shown_whatever_its_variable_is_called() -> None:
    hidden = Secrets({}, {"SOME_KEY": KEYS.private}).hidden(f"PRIVATE KEY of {KEYS.private}")
    assert hidden.startswith("PRIVATE KEY of -----BEGIN PRIVATE KEY-----")
    assert [line for line in KEYS.private.splitlines()[1:-1] if line in hidden] == []
