"""A person's nets for use without torch: written into the next version, compared with torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli import __version__
from mystyle_cli.errors import ModelError
from mystyle_cli.instant.net import LOSS
from mystyle_cli.person.layout import ANCHORS, FOLDER, GENERATOR, HALF, PARITY, SYNTHESIS
from mystyle_cli.person.weights import LeftOut
from mystyle_cli.progress import Progress

if TYPE_CHECKING:
    from mystyle_cli.files.gaps import Weights
    from mystyle_cli.instant.examples import Material
    from mystyle_cli.instant.net import InstantSettings
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.manifest import Scalar
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.store.draft import Draft

FloatArray = NDArray[np.float32]

Write = Callable[[str, bytes], Path]  # writes a file whose name is given, and says where it lies
COPIED: Final = ("encoder", "identity", "matte")  # roles of the prior that are ONNX nets already
PARITY_LIMIT: Final = 1e-3  # largest difference that float32 weights may make, in images of [-1, 1]
HALF_LIMIT: Final = 5e-2  # the same for weights in half precision: a few steps of 8 bits
PROBES: Final = 4  # pictures that are compared


@dataclass(frozen=True)
class Net:
    """One exported net."""

    file: str
    largest_difference: float  # to torch, over the pictures compared; 0 for a copy of the prior's own file


def export_nets(
    prior: Prior,
    generator: Generator,
    anchors: FloatArray,
    write: Write,
    *,
    left_out: Weights | None = None,
    generator_sha256: str = "",
) -> list[Net]:
    """Write a person's nets, and the record of how near they are to torch.

    Args:
        generator: G_p, on any device.
        anchors: (N, w_dim), whose codes and mixtures are compared.
        write: takes the files, the record last.
        left_out: gives the weights that the profile has elsewhere; the generator in float32 is written alone,
            without them. None writes what others' programs need: it whole, half precision, the prior's nets.

    Raises:
        ModelError: an exported net answers otherwise than torch.
    """
    from mystyle_cli.files.gaps import without_weights
    from mystyle_cli.nets.export import synthesis_file

    file = synthesis_file(generator)
    path = write(SYNTHESIS, file if left_out is None else without_weights(file, left_out))
    nets = [_compare(path, generator, anchors, PARITY_LIMIT, left_out)]
    if left_out is None:
        half = write(HALF, synthesis_file(generator, half=True))
        nets.append(_compare(half, generator, anchors, HALF_LIMIT))
        for role in (role for role in COPIED if role in prior.roles):
            nets.append(Net(write(f"{role}.onnx", prior.file(role).read_bytes()).name, 0.0))
    write(PARITY, _record(prior, nets, generator_sha256))
    return nets


def export_inputs(prior_sha256: str, generator_sha256: str, everything: bool) -> str:
    """Return the digest of what an export depends on."""
    return sha256(repr(("export 1", prior_sha256, generator_sha256, everything)).encode()).hexdigest()


def export_stage(
    draft: Draft,
    prior: Prior,
    generator: tuple[Generator, str],
    anchors: FloatArray,
    everything: bool,
) -> tuple[dict[str, str], dict[str, Scalar], list[Net]]:
    """Export into a profile's next version.

    Args:
        generator: G_p and its file's sha256.
        anchors: (N, w_dim).
        everything: all that others' programs need, see `export_nets`.

    Returns:
        The digests of the files written, the facts that tell whether they are still true, and the nets.
    """
    files: dict[str, str] = {}

    def write(name: str, data: bytes) -> Path:
        files.update(draft.write(f"{FOLDER}/{name}", data))
        return draft.payload / FOLDER / name

    net, digest = generator
    left_out = None if everything else _left_out(draft, prior)
    nets = export_nets(prior, net, anchors, write, left_out=left_out, generator_sha256=digest)
    facts: dict[str, Scalar] = {"generator": digest, "prior": prior.digest, "everything": everything}
    return files, facts | {"largest_difference": nets[0].largest_difference}, nets


def _left_out(draft: Draft, prior: Prior) -> LeftOut:
    """Return what a profile's nets leave out, as its readers will have it."""
    return LeftOut(lambda: prior, lambda: draft.find(GENERATOR), prior.digest, draft.folder)


def _compare(
    path: Path, generator: Generator, anchors: FloatArray, limit: float, weights: Weights | None = None
) -> Net:
    """Render the same codes with the file and with torch."""
    from mystyle_cli.hull.sampling import sample_uniform
    from mystyle_cli.nets.exported import open_synthesis
    from mystyle_cli.person.score import synthesise

    shape = (PROBES, generator.num_ws)
    alpha = sample_uniform(len(anchors), 0.02, range(PROBES * generator.num_ws)).reshape(*shape, -1)
    alpha[0] = alpha[0, 0]  # one code of P_beta among those of P_beta+
    codes = (alpha @ anchors).astype(np.float32)
    net = open_synthesis(path, generator.w_dim, weights=weights)
    made = net.render_alpha(alpha.astype(np.float32), anchors)
    difference = float(np.abs(made - synthesise(generator, codes)).max())
    if not difference <= limit:  # and not `>`: NaN must fail, too
        raise ModelError(
            f"{path.name} differs from torch by {difference:.1e}, more than {limit:.0e}",
            "Use --backend torch, and report this.",
        )
    return Net(path.name, float(f"{difference:.3g}"))


def _record(prior: Prior, nets: Sequence[Net], generator_sha256: str) -> bytes:
    """Return parity.toml."""
    import tomli_w

    return tomli_w.dumps(
        {
            "format": 1,
            "made_by": __version__,
            "prior": {"name": prior.name, "sha256": prior.digest, "resolution": prior.resolution},
            "generator_sha256": generator_sha256,
            "pictures_compared": PROBES,
            "largest_difference": {net.file: net.largest_difference for net in nets},
        }
    ).encode()


def instant_stage(
    draft: Draft, material: Material, perceptual: Perceptual, settings: InstantSettings, progress: Progress
) -> tuple[dict[str, str], dict[str, Scalar]]:
    """Train and export into a profile's next version; export eq 1 and its gradient beside it.

    Returns:
        The digests of the files, and the facts that tell whether they are still true.

    Raises:
        ModelError: an exported net answers otherwise than torch.
    """
    from mystyle_cli.files.gaps import without_weights
    from mystyle_cli.instant.training import check_loss, make_instant
    from mystyle_cli.nets.loss import loss_file

    files: dict[str, str] = {}

    def write(name: str, data: bytes) -> Path:
        files.update(draft.write(name, data))
        return draft.find(name)

    prior, nets = material.prior, (material.generator, perceptual)
    made = make_instant(material, settings, write, progress)
    left_out = _left_out(draft, prior)
    loss = write(LOSS, without_weights(loss_file(*nets), left_out))
    difference = check_loss(loss, nets, material.anchors, left_out)
    digests = draft.digests()
    return files, {
        **asdict(settings),
        "generator": digests[GENERATOR],
        "anchors": digests[ANCHORS],
        "prior": prior.digest,
        "last_loss": round(made.loss, 6),
        "largest_difference": made.largest_difference,
        "gradient_difference": difference,
    }
