"""The person that experiments are made on: their held-out photos, who judges, and generators made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final
from typing import Protocol as Interface

import numpy as np
import numpy.typing as npt

from mystyle_cli.analysis.judge import Judge
from mystyle_cli.analysis.metrics import describe_faces, lpips, nearest_distance
from mystyle_cli.experiments.cases import Photos
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.person.score import embed_pictures
from mystyle_cli.photos.pixels import to_pixels, to_unit
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore.task import default_settings
from mystyle_cli.restore.trials import comparison_settings

if TYPE_CHECKING:
    from mystyle_cli.analysis.outside import OutsideJudge
    from mystyle_cli.baselines.baseline import Baseline, Trained
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.settings import SpaceName
    from mystyle_cli.restore.task import Quality, RestoreSettings, TaskName
    from mystyle_cli.restore.trials import Answers

Floats = npt.NDArray[np.float32]
Column = npt.NDArray[np.float64]


Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Protocol:
    """How much of an experiment is done."""

    name: str  # "quick", "person" or "paper"
    photos: int  # held-out photos at most
    pairs: int  # of anchors that are interpolated
    points: int  # codes along a line or walk, both ends among them
    samples: int  # pictures that are drawn of a person
    repeats: int  # of what depends on chance, such as subsets of the photos
    sizes: tuple[int, ...]  # of subsets of the photos; larger ones than the set are left out
    passes: int | None  # of tuning on a subset; None takes the program's own
    walks: int  # random directions that are followed from anchors
    methods: tuple[str, ...] | None = None  # that are compared; None: all
    steps: int | None = None  # of searches; None takes each method's own
    seed: int = 0  # of everything that is drawn


ALWAYS: Final = ("MyStyle", "MyStyle, near")  # methods that every comparison has
OWN: Final = ("Domain prior", *ALWAYS)  # what is told of one's own profile
QUICK: Final = Protocol("quick", 4, 12, 5, 64, 1, (3, 8), 4, 8, OWN)
PERSON: Final = Protocol("person", 12, 60, 7, 256, 1, (3, 8, 20), None, 24, OWN)
PAPER: Final = Protocol("paper", 24, 1000, 9, 10_000, 5, (1, 3, 5, 8, 20, 50, 100, 200), None, 200)


def fraction(protocol: Protocol, share: float) -> Protocol:
    """Return a protocol with a share of its numbers: what a small machine does of it in an hour.

    Args:
        protocol: the whole.
        share: in (0, 1].
    """

    def part(count: int, least: int) -> int:
        return max(min(least, count), round(count * share))

    return replace(
        protocol,
        photos=part(protocol.photos, 8),
        pairs=part(protocol.pairs, 60),
        samples=part(protocol.samples, 256),
        repeats=part(protocol.repeats, 1),
        walks=part(protocol.walks, 24),
    )


class Shelf(Interface):
    """Where weights that took time to make are kept until a run is done."""

    def tensors(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a key, made by `make` unless they are there."""


@dataclass(frozen=True)
class Unkept:
    """Keeps nothing."""

    def tensors(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Make them."""
        return make()


@dataclass(frozen=True)
class Bench:
    """One person and the means to measure."""

    profile: Profile  # the person, tuned, with their photos
    protocol: Protocol  # how much is done
    others: Sequence[Profile] = ()  # other people of the same prior, for experiments that need some
    progress: Progress = silent  # told of every loop
    shelf: Shelf = Unkept()  # where weights are kept
    outside: OutsideJudge | None = None  # a second judge

    @cached_property
    def judge(self) -> Judge:
        """The judge of the person."""
        return Judge(self.profile)

    @cached_property
    def photos(self) -> Photos:
        """Held-out photos, as many as the protocol takes, spread over all of them."""
        crops, records = to_pixels(self.profile.faces(HELD_OUT)), self.profile.photos(HELD_OUT)
        rows = chosen(len(crops), self.protocol.photos)
        return Photos(crops[rows], [records[row].file for row in rows])

    @property
    def held_out(self) -> Pixels:
        """Their crops, uint8 (B, R, R, 3)."""
        return self.photos.crops

    @cached_property
    def held_out_embeddings(self) -> Floats:
        """Identity embeddings (B, D) of the held-out photos, unit rows."""
        return embed_pictures(self.profile.prior, to_unit(self.held_out))

    @cached_property
    def outside_references(self) -> Column:
        """The outside judge's embeddings (N, D) of the reference set."""
        assert self.outside is not None
        return self.outside.describe(self.profile.faces(), self.profile.prior.crop)

    @property
    def measures(self) -> tuple[str, ...]:
        """What `judge_pictures` returns."""
        return MEASURES if self.outside is None else (*MEASURES, *OUTSIDE)

    @property
    def methods(self) -> list[Baseline]:
        """The methods that are compared: those of the protocol that the prior has the nets for."""
        from mystyle_cli.baselines.methods import BASELINES

        asked = [
            one for one in BASELINES if self.protocol.methods is None or one.name in self.protocol.methods
        ]
        return [one for one in asked if not one.lacking(self.profile)]

    def settings(
        self, task: TaskName, quality: Quality = "full", space: SpaceName | None = "p+"
    ) -> RestoreSettings:
        """Return how aligned crops of the person are searched; nobody is left out.

        Args:
            space: the paper's; None: the one that the command searches.
        """
        chosen = comparison_settings(task, default_settings(task, quality, space))
        steps = None if quality == "instant" else self.protocol.steps
        return replace(chosen, projection=replace(chosen.projection, steps=steps))

    def trained(self, method: Baseline) -> Trained:
        """Return what a method makes of the person, made once in a run."""
        seed = self.protocol.seed
        key = f"{method.name} {dict(method.settings)} {self.profile.manifest.digests()} {seed}"
        state = self.shelf.tensors(key, lambda: method.train(self.profile, seed, self.progress).state())
        return method.revive(self.profile, state)

    def score(self, made: Pixels) -> Mapping[str, Column]:
        """Judge pictures of the held-out photos; see `judge_pictures`."""
        return judge_pictures(self, made, self.truth)

    def judged(self, answers: Answers) -> Mapping[str, Column]:
        """Judge answers to the held-out photos; NaN where there is none."""
        return {name: answers.told(column) for name, column in self.score(answers.pixels).items()}

    @cached_property
    def truth(self) -> Truth:
        """What is true of the held-out photos."""
        return Truth.of(self.profile, self.held_out, self.outside)


def chosen(count: int, most: int) -> list[int]:
    """Return `most` numbers below `count`, evenly apart; all of them where there are fewer."""
    return (
        np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []
    )


MEASURES: Final = ("id", "held_out_id", "truth_id", "dlib", "dlib_truth", "lpips")
OUTSIDE: Final = ("judge", "judge_truth")  # what is measured besides where there is an outside judge


@dataclass(frozen=True)
class Truth:
    """What is true of photos that answers are compared with."""

    images: Floats  # (B, 3, R, R) in [-1, 1]
    embeddings: Column  # (B, D) by the prior's identity net
    descriptors: Column  # (B, 128), dlib's
    outside: Column | None = None  # (B, D), the outside judge's embeddings, where there is one

    @classmethod
    def of(cls, profile: Profile, crops: Pixels, outside: OutsideJudge | None = None) -> Truth:
        """Describe aligned crops uint8 (B, R, R, 3)."""
        images, crop = to_unit(crops), profile.prior.crop
        rows = embed_pictures(profile.prior, images).astype(np.float64)
        strange = None if outside is None else outside.describe(images, crop)
        return cls(images, rows, describe_faces(images, crop), strange)


def judge_pictures(bench: Bench, made: Pixels, truth: Truth) -> dict[str, Column]:
    """Judge made pictures against the person and against the true photos.

    Args:
        bench: of the person.
        made: uint8 (B, R, R, 3), one for each of the first truths.
        truth: of the same photos.

    Returns:
        id, to the nearest reference photo; held_out_id, to the nearest held-out photo but the true one (C.6);
        truth_id, to the true photo; dlib, distance to the nearest reference photo by dlib's descriptors,
        which had no part where the prior's identity net is another; dlib_truth, to the true photo; lpips;
        by an outside judge also judge and judge_truth, its cosines to the nearest reference and the truth.
    """
    profile, judge = bench.profile, bench.judge
    images = to_unit(made)
    rows = embed_pictures(profile.prior, images).astype(np.float64)  # (B, D)
    between = rows @ bench.held_out_embeddings.astype(np.float64).T  # (B, H)
    for row, one in enumerate(truth.embeddings):
        itself = (bench.held_out_embeddings @ one) > 1 - 1e-4
        between[row, itself] = -np.inf
    nearest = between.max(axis=1, initial=-np.inf)
    descriptors = describe_faces(images, profile.prior.crop)
    strange: dict[str, Column] = {}
    if bench.outside is not None and truth.outside is not None:
        seen = bench.outside.describe(images, profile.prior.crop)
        strange["judge"] = (seen @ bench.outside_references.T).max(axis=1)
        strange["judge_truth"] = (seen * truth.outside).sum(axis=1)
    return strange | {
        "id": (rows @ profile.reference_embeddings().astype(np.float64).T).max(axis=1),
        "held_out_id": np.where(np.isfinite(nearest), nearest, np.nan),
        "truth_id": (rows * truth.embeddings).sum(axis=1),
        "dlib": nearest_distance(descriptors, judge.descriptors),
        "dlib_truth": np.linalg.norm(descriptors - truth.descriptors, axis=1),
        "lpips": np.asarray(lpips(judge.perceptual, images, truth.images), np.float64),
    }
