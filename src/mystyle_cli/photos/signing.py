"""Signed records (C2PA): results sealed with the user's own certificate, and the seals of pictures read back.

The library is `c2pa-python`, an extra. It is told to fetch nothing: no manifest from elsewhere, no list of
revoked certificates, no time from an authority.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mystyle_cli import __version__
from mystyle_cli.errors import MystyleError, UsageError, reason_of
from mystyle_cli.files.reading import open_file
from mystyle_cli.installing import install_command

if TYPE_CHECKING:
    from mystyle_cli.photos.marks import SourceType
    from mystyle_cli.photos.pixels import Format

# names the file of the signer's certificates, PEM, the signer's own first
CERTIFICATE: Final = "MYSTYLE_C2PA_CERTIFICATE"

KEY: Final = "MYSTYLE_C2PA_KEY"  # names the file of the signer's private key, PEM, not encrypted
LARGEST: Final = 1 << 20  # bytes of such a file
_CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_SETTINGS: Final = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}


@dataclass(frozen=True)
class Signature:
    """What a picture's seal says."""

    # "intact": nothing was changed since, whoever signed; "broken": it does not fit the picture, or is
    # damaged; "unread": it is there, and what reads it is not installed
    state: Literal["intact", "broken", "unread"]
    signer: str = ""  # as the certificate names them, "" where it is not known
    issuer: str = ""
    source_type: str = ""  # IPTC's term that was signed


@dataclass(frozen=True)
class Seal:
    """What signs results."""

    certificate: bytes
    key: bytes
    algorithm: str  # as C2PA calls it

    def sign(self, data: bytes, format: Format, source_type: SourceType) -> bytes:
        """Return a picture's file with a signed record in it; raises MystyleError."""
        import c2pa

        term = f"http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}"
        action = {"action": "c2pa.created", "digitalSourceType": term}
        manifest = {
            "claim_generator_info": [{"name": "mystyle", "version": __version__}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        signed = io.BytesIO()
        try:
            with _context() as context, c2pa.Builder(manifest, context=context) as builder:
                info = c2pa.C2paSignerInfo(self.algorithm, self.certificate, self.key, None)
                with c2pa.Signer.from_info(info) as signer:
                    builder.sign(signer, f"image/{format}", io.BytesIO(data), signed)
        except c2pa.C2paError as error:
            raise MystyleError(
                f"the result cannot be signed: {reason_of(error)}",
                f"See whether {CERTIFICATE} and {KEY} fit what C2PA asks of signers.",
            ) from error
        return signed.getvalue()


def open_seal() -> Seal:
    """Return what signs, tried once on a picture of its own.

    Raises:
        UsageError: the library is missing, no certificate or key is named, or they sign nothing that holds.
    """
    try:
        import c2pa  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--mark c2pa needs the optional c2pa-python", f"Install it with: {install_command('c2pa-python')}"
        ) from error
    certificate, key = _read(CERTIFICATE), _read(KEY)
    try:
        algorithm = _algorithm(key)
    except Exception as error:  # of several kinds, none of which may show the key
        raise UsageError(
            f"{KEY}: {os.environ[KEY]} holds no private key that signs",
            "Give one as PEM, not encrypted: of P-256, P-384, P-521, Ed25519 or RSA.",
        ) from error
    seal = Seal(certificate, key, algorithm)
    try:
        tried = _signature(seal.sign(_smallest(), "png", "trainedAlgorithmicMedia"))
    except MystyleError as error:
        raise UsageError(f"{CERTIFICATE} and {KEY}: {error.message}", error.hint) from error
    if tried is None or tried.state != "intact":
        raise UsageError(
            f"{CERTIFICATE} and {KEY}: what they sign does not hold",
            "See whether the certificate is the key's, valid today, and one for signing documents or mail.",
        )
    return seal


def read_signature(path: Path) -> Signature | None:
    """Return what a picture's seal says, None where it has none; raises DecodeError."""
    from mystyle_cli.photos.decode import read_file

    return _signature(read_file(path))


def _signature(data: bytes) -> Signature | None:
    if b"c2pa" not in data:  # so that the library is loaded where there is something to read
        return None
    try:
        import c2pa
    except ImportError:
        return Signature("unread")
    try:
        with _context() as context, c2pa.Reader(None, io.BytesIO(data), None, context) as reader:
            state, manifest = reader.get_validation_state(), reader.get_active_manifest() or {}
    except c2pa.C2paError.ManifestNotFound:
        return None
    except Exception:  # whatever the library makes of damaged files
        return Signature("broken")
    signer = manifest.get("signature_info") or {}
    return Signature(
        "intact" if state in ("Valid", "Trusted") else "broken",
        str(signer.get("common_name", "")),
        str(signer.get("issuer", "")),
        _source_type(manifest),
    )


def _source_type(manifest: dict[str, Any]) -> str:
    """Return the first source type that a manifest's actions name, "" where none does."""
    assertions = json.dumps(manifest.get("assertions", []))
    return assertions.partition("digitalsourcetype/")[2].partition('"')[0]


def _context() -> Any:
    import c2pa

    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _read(variable: str) -> bytes:
    """Return the content of the file that a variable names."""
    name = os.environ.get(variable)
    if not name:
        raise UsageError(
            "--mark c2pa signs with your own certificate, and none is named",
            f"Set {CERTIFICATE} and {KEY} to the files of your certificates and private key (PEM).",
        )
    try:
        with open_file(Path(name), LARGEST) as stream:
            return stream.read()
    except OSError as error:
        raise UsageError(f"{variable}: {name} cannot be read: {error.strerror or error}", "") from error


def _algorithm(pem: bytes) -> str:
    """Return what C2PA calls the algorithm of a private key; raises where it has none."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"  # PSS, the one kind of RSA that C2PA takes
    raise ValueError("C2PA knows no such key")


def _smallest() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "png")
    return buffer.getvalue()
