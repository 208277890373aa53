"""Results that are signed (C2PA), with a certificate that the tests make themselves."""

from __future__ import annotations

import sys
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.journeys import Run, document
from tests.support.tiny_store import picture

CERTIFICATE, KEY = "MYSTYLE_C2PA_CERTIFICATE", "MYSTYLE_C2PA_KEY"


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a signer's files, which the environment names."""
    pytest.importorskip("c2pa", reason="c2pa-python is not installed")
    folder = tmp_path / "signer"
    folder.mkdir()
    write_signer(folder)
    monkeypatch.setenv(CERTIFICATE, str(folder / "chain.pem"))
    monkeypatch.setenv(KEY, str(folder / "key.pem"))
    return folder


def write_signer(folder: Path, *, days: int = 2) -> None:
    """Write a private key and its certificates, valid for so many days from now."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(text: str) -> x509.Name:
        parts = {NameOID.COMMON_NAME: text, NameOID.ORGANIZATION_NAME: "Tests"}
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts.items()])

    def uses(**given: bool) -> x509.KeyUsage:
        names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
        every = dict.fromkeys(
            (*names.split(), "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False
        )
        return x509.KeyUsage(**{**every, **given})

    begin = datetime.now(UTC) - timedelta(days=10)
    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(
        subject: str, public: Any, extensions: list[tuple[Any, bool]], last: int
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(named("Root"), named(subject), public, x509.random_serial_number())
        builder = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=last))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(root, hashes.SHA256())

    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    chain = [
        certificate(
            "Ada Tester",
            own.public_key(),
            [
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (uses(digital_signature=True), True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
                (issuer, False),
            ],
            10 + days,
        ),
        certificate(
            "Root",
            root.public_key(),
            [
                (x509.BasicConstraints(ca=True, path_length=None), True),
                (uses(key_cert_sign=True, crl_sign=True), True),
                (x509.SubjectKeyIdentifier.from_public_key(root.public_key()), False),
                (issuer, False),
            ],
            30,
        ),
    ]
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(b"".join(one.public_bytes(pem) for one in chain))
    whole = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(own.private_bytes(pem, whole, serialization.NoEncryption()))


def renamed(data: bytes) -> bytes:
    """Return a result's file whose record names somebody else."""
    at = data.index(b'profile="ada"')
    changed = data[:at] + b'profile="eva"' + data[at + 13 :]
    if data.startswith(b"\x89PNG"):  # which has a sum over each chunk
        begin = data.rindex(b"iTXt", 0, at)
        end = begin + 4 + int.from_bytes(data[begin - 4 : begin], "big")
        changed = changed[:end] + zlib.crc32(changed[begin:end]).to_bytes(4, "big") + changed[end + 4 :]
    return changed


@pytest.mark.usefixtures("signer")
@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_signed_result_says_so_and_a_change_is_seen(run: Run, ending: str) -> None:
    """The same pixels and record as unsigned, and a signature that ends with the first changed byte."""
    Image.fromarray(picture(0, 32)).save("crop.png")
    commands = {
        "one": ("sample", "ada", "--seed", 7),
        "two": ("invert", "ada", "crop.png", "--aligned", "--steps", 1),
    }
    kinds = {"one": "trainedAlgorithmicMedia", "two": "compositeWithTrainedAlgorithmicMedia"}
    for name, words in commands.items():
        plain, path = Path(f"plain-{name}.{ending}"), Path(f"{name}.{ending}")
        assert run(*words, "-o", plain).exit_code == 0
        done = run(*words, "-o", path, "--mark", "c2pa")
        assert done.exit_code == 0, done.stderr
        np.testing.assert_array_equal(np.asarray(Image.open(plain)), np.asarray(Image.open(path)))
        found = document(run("--json", "inspect", path, plain))["results"]
        assert found[0]["signature"] == {
            "state": "intact",
            "signer": "Ada Tester",
            "issuer": "Tests",
            "source_type": kinds[name],
        }
        assert found[1]["signature"] is None
        assert found[0]["mystyle"] == found[1]["mystyle"]
        path.write_bytes(renamed(path.read_bytes()))
        assert document(run("--json", "inspect", path))["results"][0]["signature"]["state"] == "broken"
    assert run("verify", f"plain-one.{ending}").exit_code == 0
    assert "Ada Tester" not in run("inspect", path).stdout


def test_what_cannot_sign_is_refused_before_any_work(
    run: Run, signer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key, another's key, a certificate that has ended; nothing of a key is shown."""
    words = ("sample", "ada", "--seed", 7, "-o", "x.png", "--mark", "c2pa")
    (signer / "other").mkdir()
    write_signer(signer / "other")
    (signer / "old").mkdir()
    write_signer(signer / "old", days=-3)
    Path("text.pem").write_text("no key")
    for certificate, key, said in (
        ("", signer / "key.pem", "none is named"),
        (signer / "chain.pem", "", "none is named"),
        (signer / "chain.pem", "missing.pem", "missing.pem cannot be read"),
        (signer / "chain.pem", "text.pem", "no private key"),
        (signer / "chain.pem", signer / "other/key.pem", CERTIFICATE),
        (signer / "old/chain.pem", signer / "old/key.pem", CERTIFICATE),
        ("text.pem", signer / "key.pem", CERTIFICATE),
    ):
        monkeypatch.setenv(CERTIFICATE, str(certificate))
        monkeypatch.setenv(KEY, str(key))
        done = run(*words)
        assert done.exit_code == 2, (certificate, key, done.stderr)
        assert said in done.stderr
        assert "fault" not in done.stderr
        assert not Path("x.png").exists()


def test_without_the_library_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing is refused, and a signed picture is shown to be one."""
    monkeypatch.setitem(sys.modules, "c2pa", None)
    done = run("sample", "ada", "-o", "x.png", "--mark", "c2pa")
    assert done.exit_code == 2
    assert "pip install c2pa-python" in done.stderr
    Image.fromarray(picture(0, 32)).save("signed.jpg", comment=b"jumb c2pa")
    assert "pip install c2pa-python" in run("inspect", "signed.jpg").stdout
