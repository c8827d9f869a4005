"""A package is signed by a certificate of the company's authority, as OpenSSF model signing does it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import signing, verifying

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.model_package.signing import check
from tests.model_package.signatures import bundle_of, chained, changed, statement_of, write
from tests.support.certificates import DAY, Authority, Signer, now, pem
from tests.support.packages import write_tiny_package
from tests.support.signing_keys import SigningKeys, signing_keys

ROOT = Authority("root of the company")
BELOW = Authority("models of the company", ROOT)
CI = x509.RFC822Name("ci@example.com")
SIGNER = BELOW.signer(CI, x509.UniformResourceIdentifier("spiffe://example.com/ns/ml/sa/pipeline-runner"))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Trusts the authority, for one name."""
    for name in ("SIGNING_KEY", "SIGNING_CERTIFICATE", "PUBLIC_KEY", "SIGNER_ISSUER"):
        monkeypatch.delenv(f"KUBELINE_{name}", raising=False)
    monkeypatch.setenv("KUBELINE_TRUSTED_ROOT", pem(ROOT.certificate))
    monkeypatch.setenv("KUBELINE_SIGNER", "cd@example.com ci@example.com")
    return monkeypatch


@pytest.fixture
def signed(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a package that was signed, where its signature is required."""
    environment.setenv("KUBELINE_SIGNING_KEY", SIGNER.private)
    environment.setenv("KUBELINE_SIGNING_CERTIFICATE", pem(*SIGNER.chain))
    check()
    return write_tiny_package(tmp_path / "package").path


def files(folder: Path, signer: Signer) -> dict[str, Path]:
    """What `model_signing` takes."""
    found = {"key": signer.private, "own": pem(signer.chain[0]), "above": pem(*signer.chain[1:])}
    found["root"] = pem(ROOT.certificate)
    for name, text in found.items():
        (folder / f"{name}.pem").write_text(text)
    return {name: folder / f"{name}.pem" for name in found}


def test_what_is_signed_by_a_certificate_opens_and_model_signing_verifies_it(signed: Path, tmp_path: Path) -> None:
    assert ModelPackage.open(signed).path == signed
    roots = [str(files(tmp_path, SIGNER)["root"])]
    config = verifying.Config()  # type: ignore[no-untyped-call]
    config.use_certificate_verifier(certificate_chain=roots).verify(signed, signed / "model.sig")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_model_signing_signs_by_a_certificate_opens(
    curve: ec.EllipticCurve, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TRUSTED_ROOT", "SIGNER"):
        environment.delenv(f"KUBELINE_{name}")
    package = write_tiny_package(tmp_path / "package").path
    signer = BELOW.signer(CI, curve=curve)
    paths = files(tmp_path, signer)
    config = signing.Config()  # type: ignore[no-untyped-call]
    config.use_certificate_signer(
        private_key=paths["key"], signing_certificate=paths["own"], certificate_chain=[paths["above"]]
    )
    config.sign(package, package / "model.sig")
    environment.setenv("KUBELINE_TRUSTED_ROOT", str(paths["root"]))
    environment.setenv("KUBELINE_SIGNER", "ci@example.com")
    assert ModelPackage.open(package).path == package


def test_a_signature_outlives_its_certificate_since_packages_do(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    past = BELOW.signer(CI, begins=now() - 30 * DAY, lasts=DAY)
    environment.setenv("KUBELINE_SIGNING_KEY", past.private)
    environment.setenv("KUBELINE_SIGNING_CERTIFICATE", pem(*past.chain))
    package = write_tiny_package(tmp_path / "package").path
    assert ModelPackage.open(package).path == package
    with pytest.raises(UserError, match=r"KUBELINE_SIGNING_CERTIFICATE ended on .* UTC; have a new one issued"):
        check()


def test_a_key_and_a_certificate_may_both_be_trusted_while_one_takes_the_place_of_the_other(
    signed: Path, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = signing_keys()
    environment.setenv("KUBELINE_PUBLIC_KEY", keys.public)
    assert ModelPackage.open(signed).path == signed
    environment.delenv("KUBELINE_SIGNING_CERTIFICATE")
    environment.setenv("KUBELINE_SIGNING_KEY", keys.private)
    check()
    assert ModelPackage.open(write_tiny_package(tmp_path / "other").path)
    for name in ("TRUSTED_ROOT", "SIGNER"):
        environment.delenv(f"KUBELINE_{name}")
    with pytest.raises(UserError, match="by a certificate, but KUBELINE_TRUSTED_ROOT has no certificate of an authori"):
        ModelPackage.open(signed)


def by(signer: Signer) -> Callable[[Path], None]:
    """Sign the right statement by another key and chain."""

    def resign(folder: Path) -> None:
        write(folder, bundle_of(statement_of(folder), SigningKeys(signer.private, ""), chained(*signer.chain)))

    return resign


OUTSIDE = Authority("somebody else")
EXPIRED = Authority("models of last year", ROOT, begins=now() - 300 * DAY, lasts=100 * DAY)
END = BELOW.signer(CI)
NO_AUTHORITY = Authority("")  # its certificate is that of a signer
NO_AUTHORITY.certificate = BELOW.issue(NO_AUTHORITY.key.public_key(), [CI], subject="a signer")
UNDER_AN_END = Signer(
    END.key, (NO_AUTHORITY.issue(END.key.public_key(), [CI]), NO_AUTHORITY.certificate, BELOW.certificate)
)
CHAIN = "is signed by a certificate that does not count: "
NO_ROOT = f"{CHAIN}its certificate does not lead to an authority of KUBELINE_TRUSTED_ROOT that could vouch for it"

REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "unsigned": (lambda folder: (folder / "model.sig").unlink(), "KUBELINE_SIGNER asks for the signature of cd@ex"),
    "another authority": (by(OUTSIDE.signer(CI)), NO_ROOT),
    "another authority of the same name": (by(Authority("models of the company", OUTSIDE).signer(CI)), NO_ROOT),
    "signed by itself": (by(Signer(OUTSIDE.key, (OUTSIDE.certificate,))), NO_ROOT),
    "without what is between": (by(Signer(SIGNER.key, SIGNER.chain[:1])), NO_ROOT),
    "an authority that had ended": (by(EXPIRED.signer(CI)), NO_ROOT),
    "below a certificate that is no authority": (by(UNDER_AN_END), NO_ROOT),
    "yet to begin": (by(BELOW.signer(CI, begins=now() + DAY)), f"{CHAIN}its certificate begins on .* is to come"),
    "another name": (
        by(BELOW.signer(x509.RFC822Name("ci@example.com.evil.net"))),
        f"{CHAIN}its certificate is that of ci@example.com.evil.net, and KUBELINE_SIGNER trusts cd@example.com, ci@",
    ),
    "a host of the same name": (
        by(BELOW.signer(x509.DNSName("example.com"))),
        f"{CHAIN}.* is that of example.com, and",
    ),
    "without a name": (by(BELOW.signer()), NO_ROOT),
    "a web server": (
        by(BELOW.signer(CI, uses=[x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])),
        f"{CHAIN}its certificate is not for signing",
    ),
    "the key of another certificate": (
        by(Signer(END.key, SIGNER.chain)),
        "was changed after it was signed: the key of its certificate did not sign this statement",
    ),
    "a statement changed later": (changed("dsseEnvelope.payload", "e30="), "was changed after it was signed"),
    "no chain": (
        changed("verificationMaterial", chained()),
        "is no signature that can be verified: ValueError a chain",
    ),
    "a chain that is none": (
        changed("verificationMaterial", {"x509CertificateChain": {"certificates": [{"rawBytes": "e30="}]}}),
        "is no signature that can be verified: ValueError",
    ),
    "a chain without end": (by(Signer(SIGNER.key, SIGNER.chain * 20)), f"{CHAIN}it has 40 certificates, and 1 to 10"),
    "a key": (
        lambda folder: write(folder, bundle_of(statement_of(folder), signing_keys())),
        "is signed by a key, but KUBELINE_SIGNER asks for the signature of cd@example.com, ci@example.com, by a cert",
    ),
    "without a key": (
        changed("verificationMaterial", {"certificate": {"rawBytes": ""}}),
        "is signed without a key, by Sigstore, but KUBELINE_TRUSTED_ROOT is not Sigstore's",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_package_by_a_certificate_that_does_not_count_is_refused_in_a_sentence(case: str, signed: Path) -> None:
    spoil, sentence = REFUSED[case]
    spoil(signed)
    with pytest.raises(UserError, match=sentence) as error:
        ModelPackage.open(signed)
    assert "\n" not in str(error.value)


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "no name": ({"SIGNER": " "}, "KUBELINE_SIGNER is not, so anyone whom that authority knows could sign"),
    "a name without a root": ({"TRUSTED_ROOT": ""}, "KUBELINE_SIGNER is set, but KUBELINE_TRUSTED_ROOT is not"),
    "no key": ({"SIGNING_KEY": ""}, "KUBELINE_SIGNING_CERTIFICATE is set, but KUBELINE_SIGNING_KEY is not"),
    "no such file": ({"TRUSTED_ROOT": "none.pem"}, "KUBELINE_TRUSTED_ROOT holds no root that can be used: .*no such f"),
    "no root": ({"TRUSTED_ROOT": signing_keys().public}, "KUBELINE_TRUSTED_ROOT holds no certificate that can be read"),
    "no certificate": ({"SIGNING_CERTIFICATE": SIGNER.private}, "KUBELINE_SIGNING_CERTIFICATE holds no certificate"),
    "that of another key": ({"SIGNING_CERTIFICATE": pem(*END.chain)}, "begins with a certificate of another key than"),
    "a key that nobody trusts": (
        {"SIGNING_CERTIFICATE": ""},
        r"signs as key \w{12}, but KUBELINE_PUBLIC_KEY trusts no",
    ),
    "a name that nobody trusts": (
        {"SIGNER": "cd@example.com"},
        "would sign what nobody here trusts: its certificate is",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_sign_or_be_trusted_is_refused_before_the_training(
    case: str, signed: Path, environment: pytest.MonkeyPatch
) -> None:
    given, sentence = WRONG[case]
    for name, value in given.items():
        environment.setenv(f"KUBELINE_{name}", value)
    with pytest.raises(UserError, match=sentence):
        check()
