"""What an instant net is trained on: pictures of the hull and the person's own photos, degraded at random.

What is practised on is what photos suffer: made small, blurred, noisy, compressed, or a part hidden.

A reference photo's answer is its own anchor one time, and the next time the nearest code that the other
anchors have, which is what a photo that was never seen can hope for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.hull import hull
from mystyle_cli.instant.net import (
    LARGEST_BETA,
    InstantSettings,
    View,
    as_sharp,
    enlarged,
    features_of,
    hidden,
    whole,
    with_beta,
)
from mystyle_cli.nets.memory import at_once
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.progress import Progress, Step
from mystyle_cli.projection import jpeg
from mystyle_cli.projection.damage import Damage

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.person.reference import Pictures
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

SMALLEST: Final = 8  # side in pixels of the smallest photos that are practised on

# largest blur (standard deviation), in pixels of a crop of 512, and noise, of 255, and least quality of JPEG
# that are practised on. Source: the field's protocol, Severe (docs/evaluate.md)
BLUR: Final = 16.0
NOISE: Final = 20.0
QUALITY: Final = 30
BLUR_SIDE: Final = 512

# least and largest edge of the boxes that are hidden, in sides of the FFHQ square
HOLES: Final = (0.15, 0.55)

# largest edge of a box over that of the crop where a face is, so that something is left to go by
LARGEST_HOLE: Final = 0.8

MARGIN: Final = 0.05  # how near a box comes to that edge, over its length


@dataclass(frozen=True, eq=False)
class Material:
    """What an instant net is made of: a person's generator over their anchors, and their photos."""

    prior: Prior
    generator: Generator  # G_p, on the device to work on
    anchors: FloatArray  # (N, w_dim)
    faces: Pictures  # the reference set
    # rows of the anchors of each of several people, whose hulls are drawn from one by one; none of one person
    hulls: Sequence[NDArray[np.int64]] = ()


@dataclass(frozen=True)
class Examples:
    """What is trained on."""

    features: FloatArray  # (K, F), beta last and to be filled in
    codes: FloatArray  # (K, num_ws, w_dim), what the answer should be


def make_examples(material: Material, settings: InstantSettings, progress: Progress) -> Examples:
    """Draw codes, render them, and degrade them and the reference photos."""
    generator, anchors, hulls = material.generator, material.anchors, material.hulls
    random = np.random.default_rng(settings.seed)
    apart = [anchors[rows] for rows in hulls] or [anchors]
    parts = [draw_codes(own, generator.num_ws, settings.samples, random) for own in apart]
    drawn = np.concatenate(parts)
    photos, count, repeats = material.faces.pixels, len(drawn), 3 * settings.views
    numbers = [np.arange(count)] * settings.views + [count + np.arange(len(photos))] * repeats
    rows = np.concatenate(numbers)

    def tell(done: int) -> None:
        progress(Step("examples", done, count + len(rows)))

    own, others = np.array(anchors, np.float32), np.empty_like(anchors, np.float32)
    for rows_of_one in hulls or [np.arange(len(anchors))]:
        others[rows_of_one] = others_codes(anchors[rows_of_one])
    answers = [drawn] * settings.views
    for repeat in range(repeats):
        codes = (own, others)[repeat % 2]
        answers.append(np.repeat(codes[:, None], generator.num_ws, axis=1))
    pictures = np.concatenate([*_rendered(generator, drawn, tell), photos])
    features = _features(material.prior, pictures, rows, random, lambda done: tell(count + done))
    return Examples(np.concatenate(list(features)), np.concatenate(answers))


def draw_codes(anchors: FloatArray, num_ws: int, count: int, random: np.random.Generator) -> FloatArray:
    """Draw codes (count, num_ws, w_dim) of P_beta+, spread about the anchors' mean as the anchors are.

    Every layer is a little off a common one, as in what projections find.
    """
    n = len(anchors)

    def draw(shape: tuple[int, ...]) -> NDArray[np.float64]:
        noise = random.normal(size=(*shape, n)) / math.sqrt(n)  # so that codes spread as far as anchors do
        alpha = 1 / n + noise - noise.mean(axis=-1, keepdims=True)
        return np.asarray(hull.project_onto_hull(alpha, LARGEST_BETA), np.float64)

    share = random.uniform(0, 0.2, size=(count, 1, 1))
    # a mean of members of A_beta is one: (count, num_ws, N)
    alpha_plus = (1 - share) * draw((count, 1)) + share * draw((count, num_ws))
    return np.asarray(alpha_plus @ np.asarray(anchors, np.float64), np.float32)


def others_codes(anchors: FloatArray) -> FloatArray:
    """Return for each anchor the nearest code (N, w_dim) that the others reach with the largest dilation.

    An only anchor is its own.
    """
    from mystyle_cli.hull.solve import nearest_alpha

    if len(anchors) == 1:
        return anchors.astype(np.float32)
    found = np.empty_like(anchors, dtype=np.float32)
    for row in range(len(anchors)):
        others = np.delete(anchors, row, axis=0)
        found[row] = nearest_alpha(anchors[row], others, LARGEST_BETA) @ others
    return found


def _rendered(
    generator: Generator, codes: FloatArray, tell: Callable[[int], None]
) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(codes), 16):
        images = synthesise(generator, codes[first : first + 16])
        yield np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
        tell(first + len(images))


def _features(
    prior: Prior,
    pictures: NDArray[np.uint8],
    rows: NDArray[np.int64],
    random: np.random.Generator,
    tell: Callable[[int], None],
) -> Iterator[FloatArray]:
    """Degrade pictures at random and yield what the net is told of them, beta still 0, a few at a time."""
    batch = at_once(pictures.shape[-1], 32)
    for first in range(0, len(rows), batch):
        images = pictures[rows[first : first + batch]].astype(np.float32) / np.float32(127.5) - np.float32(1)
        yield with_beta(features_of(prior, degrade_at_random(images, random, prior.crop)), 0.0)
        tell(first + len(images))


def degrade_at_random(images: FloatArray, random: np.random.Generator, crop: Crop) -> View:
    """Degrade each of some pictures (B, 3, R, R) of a crop.

    It is made small, and every second time blurred, noisy and compressed as well; or a box is hidden; or,
    seldom, nothing is done.
    """
    resolution = images.shape[-1]
    views = []
    for image in images:
        kind = random.random()
        if kind < 0.45:
            side = round(math.exp(random.uniform(math.log(min(SMALLEST, resolution)), math.log(resolution))))
            damage = Damage(side) if kind < 0.225 else _damage(side, resolution, random)
            small = _damaged(image, damage, random)
            views.append(enlarged([as_sharp(small, damage, resolution)], resolution))
        elif kind < 0.9:
            views.append(hidden(image[None], _hole(resolution, random, crop)[None]))
        else:
            views.append(whole(image[None]))
    return View(
        np.concatenate([view.images for view in views]),
        np.concatenate([view.known for view in views]),
        np.concatenate([view.sides for view in views]),
    )


def _damage(side: int, resolution: int, random: np.random.Generator) -> Damage:
    """Draw what a photo suffers besides being made small."""
    variance = (random.uniform(0, BLUR) * resolution / BLUR_SIDE) ** 2
    quality = int(random.integers(QUALITY, 101))
    return Damage(side, (variance, 0.0, variance), float(random.uniform(0, NOISE)), quality)


def _damaged(image: FloatArray, damage: Damage, random: np.random.Generator) -> FloatArray:
    """Return a picture (3, R, R) as it is after all that, (3, s, s)."""
    made = damage.done_to(image)
    if damage.clean:
        return made.astype(np.float32)
    made = made + damage.noise / 127.5 * random.standard_normal(made.shape)
    pixels = np.rint((made.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    return to_unit(jpeg.coded(pixels, damage.quality or 100))


def _hole(resolution: int, random: np.random.Generator, crop: Crop) -> FloatArray:
    """Return a box (R, R) somewhere on the face, 1 inside; on a face it is as large in any crop."""
    (left, top), (right, bottom) = crop.from_ffhq(np.array([[0.0, 0.0], [1.0, 1.0]])).clip(0, 1).tolist()
    extent = random.uniform(*HOLES, size=2) / crop.scale
    height, width = np.minimum(extent, LARGEST_HOLE * np.array([bottom - top, right - left])).tolist()
    above, before = MARGIN * (bottom - top), MARGIN * (right - left)
    low = random.uniform(top + above, bottom - above - height)
    first = random.uniform(left + before, right - before - width)
    hole = np.zeros((resolution, resolution), np.float32)
    edges = [round(edge * resolution) for edge in (low, low + height, first, first + width)]
    hole[edges[0] : edges[1], edges[2] : edges[3]] = 1
    return hole
