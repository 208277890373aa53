"""How well a generator shows its person, and the gate for others. Source: sec. 4.1, app. C.3, C.6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.nets.memory import at_once
from mystyle_cli.person.score import (
    BATCH,
    embed_pictures,
    id_scores,
    peak_signal_to_noise,
    perceptual_distances,
    synthesise,
)

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.reference import Pictures
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

STRANGERS: Final = 64  # random people drawn from the domain prior, to learn how alike a stranger can look

# how many standard deviations below the person's own mean a photo may score and still be theirs
SPREADS: Final = 3.0


def reconstruction_figures(
    generator: Generator,
    prior: Prior,
    perceptual: Perceptual,
    reference: tuple[FloatArray, FloatArray | Pictures],
    held_out: tuple[FloatArray, FloatArray | Pictures],
) -> dict[str, float]:
    """Measure how a generator gives back the reference set and photos that it was not tuned on.

    Args:
        generator: G_d or G_p.
        reference: anchors (N, w_dim) and photos (N, 3, R, R) of the reference set.
        held_out: the encoder's codes and photos of the held-out set; may be empty.

    Returns:
        id, lpips and psnr, one to one with the photos; held_out_id to the nearest reference, held_out_lpips.

    Source: app. C.3 and, for the held-out photos, C.6.
    """
    references = embed_pictures(prior, reference[1])
    made, lpips, psnr = _given_back(generator, prior, perceptual, *reference)
    same = np.sum(made * references, axis=1)
    figures = {
        "id": float(same.mean()),
        "id_spread": float(same.std()),
        "lpips": float(lpips.mean()),
        "psnr": float(psnr.mean()),
    }
    if len(held_out[0]):
        made, lpips, _ = _given_back(generator, prior, perceptual, *held_out)
        figures["held_out_id"] = float(id_scores(made, references).mean())
        figures["held_out_lpips"] = float(lpips.mean())
    return {name: round(value, 4) for name, value in figures.items()}


def _given_back(
    generator: Generator,
    prior: Prior,
    perceptual: Perceptual,
    codes: FloatArray,
    photos: FloatArray | Pictures,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return embeddings (N, D) of what is made of codes, and its LPIPS and PSNR (N,) to the photos."""
    batch = at_once(generator.resolution, BATCH)
    measured = []
    for start in range(0, len(codes), batch):
        made, truth = synthesise(generator, codes[start : start + batch]), photos[start : start + batch]
        distances = perceptual_distances(perceptual, made, truth)
        measured.append((prior.embed(made), distances, peak_signal_to_noise(made, truth)))
    embeddings, lpips, psnr = (np.concatenate(parts) for parts in zip(*measured, strict=True))
    return embeddings, lpips, psnr


def identity_statistics(
    prior: Prior, reference: FloatArray | Pictures, held_out: FloatArray | Pictures, seed: int
) -> dict[str, float]:
    """Learn how this person's photos score against their own reference set, and how strangers do.

    The threshold of the gate is what the prior states for so many photos. Where it states nothing, it lies
    below what the person's own photos reach, each reference photo against the others and the held-out photos,
    and the prior's samples are the strangers.

    Args:
        reference: (N, 3, R, R) in [-1, 1].
        held_out: (M, 3, R, R), M may be 0.

    Returns:
        own_mean, own_spread, own_lowest (of more than one photo), held_out_mean (when there are any),
        stranger_mean and stranger_highest (when the prior states no threshold and can draw people),
        threshold.

    Source: sec. 4.1, app. C.6.
    """
    references = embed_pictures(prior, reference)
    own = []
    if len(reference) > 1:
        own.append(id_scores(references, references, [[row] for row in range(len(reference))]))
    statistics: dict[str, float] = {}
    if len(held_out):
        scores = id_scores(embed_pictures(prior, held_out), references)
        statistics["held_out_mean"] = float(scores.mean())
        own.append(scores)
    mine = np.concatenate([*own, np.zeros(0, np.float32)])  # one photo alone: nothing is known
    if own:
        statistics |= {
            "own_mean": float(mine.mean()),
            "own_spread": float(mine.std()),
            "own_lowest": float(mine.min()),
        }
    if prior.identity_limits is not None:
        statistics["threshold"] = prior.identity_limits.threshold(len(references))
    else:
        strangers = _stranger_scores(prior, references, seed)
        if len(strangers):
            statistics["stranger_mean"] = float(strangers.mean())
            statistics["stranger_highest"] = float(strangers.max())
        statistics["threshold"] = gate_threshold(mine, strangers)
    return {name: round(value, 4) for name, value in statistics.items()}


def gate_threshold(own: FloatArray, strangers: FloatArray) -> float:
    """Return the ID score under which a photo counts as not this person's; either's scores may be none."""
    if not len(own):
        return float(strangers.max(initial=-1.0))  # liker than any of them is all that can be asked
    lenient = float(min(own.mean() - SPREADS * own.std(), own.min()))
    if not len(strangers):
        return lenient
    stranger = float(np.quantile(strangers, 0.95))
    # where the two overlap nothing separates them, and to refuse the person's own photos is the worse error
    return lenient if stranger >= lenient else 0.5 * (lenient + stranger)


def _stranger_scores(prior: Prior, references: FloatArray, seed: int) -> FloatArray:
    """Return the ID scores of random people from G_d; none where it has no mapping to draw them from."""
    import torch

    generator = prior.generator()
    if not generator.z_dim:
        return np.zeros(0, np.float32)
    z = np.random.default_rng(seed).standard_normal((STRANGERS, generator.z_dim), np.float32)
    with torch.no_grad():
        codes = generator.mapping(torch.from_numpy(z).to(generator.device)).float().cpu().numpy()
    batch = at_once(prior.resolution, BATCH)
    parts = (synthesise(generator, codes[start : start + batch]) for start in range(0, STRANGERS, batch))
    return id_scores(np.concatenate([prior.embed(part.clip(-1, 1)) for part in parts]), references)
