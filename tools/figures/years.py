"""People whose photos are decades apart: held-out photos answered with --year and without, and new pictures.

The people are rendered, from their youth to their age; photos carry the day on which they would have been
taken, as a camera writes it. What --year does was chosen on ada and marco, with photos all along the years;
of the others there are photos of two ages only. MYSTYLE_YEARS_NAMES lists whom to try.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ExifTags, Image

from mystyle_cli.analysis.metrics import lpips
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.experiments.bench import chosen
from mystyle_cli.experiments.cases import HIDDEN, SMALL, Case, Photos
from mystyle_cli.find.locate import Subject
from mystyle_cli.learn.learn import LearnSettings, learn
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import Pixels, grid, to_pixels, to_unit
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.report.report import Cell, Report, Table
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import TaskName, default_settings
from mystyle_cli.restore.trials import comparison_settings, lanczos, shrink
from mystyle_cli.sample.samples import draw
from tools.figures.common import OUT, report_progress, save_picture, spread, store
from tools.portraits import PRIOR
from tools.portraits.identity import Identity, Traits
from tools.portraits.people import PEOPLE, Person
from tools.portraits.render import render
from tools.portraits.scene import draw_scene, draw_state

Floats = np.ndarray
Judge = Callable[[Floats], Floats]

NAMES: Final = tuple(os.environ.get("MYSTYLE_YEARS_NAMES", "p1,p2").split(","))
PHOTOS: Final = int(os.environ.get("MYSTYLE_YEARS_PHOTOS", "10"))
SAMPLES: Final = 24
HELD_OUT_SHARE: Final = 0.25
SEEDS: Final = 905_000  # of people outside the population
GREY: Final = np.array([0.299, 0.587, 0.114])
GREY_SIDE: Final = 24  # pixels of a grey photo's crop
RIDGE: Final = 0.1  # of the judge of years, of the mean variance of what it looks at
WAYS: Final = ("without", "--year")
MEASURES: Final = ("ID to the truth", "ID to the nearest photo", "LPIPS", "years off")

FIRST, LAST = 1988, 2022
ALONG: Final = tuple(np.linspace(FIRST, LAST, 60).round().astype(int).tolist())
APART: Final = tuple(first + number % 5 for first in (FIRST, LAST - 4) for number in range(30))


def aged(identity: Identity, year: int) -> Identity:
    """Return somebody as they are in a year: young in the first, old in the last."""
    share = (year - FIRST) / (LAST - FIRST)
    return identity._replace(
        age=0.05 + 0.9 * share,
        hair_grey=max(0.0, share - 0.35) * 1.4,
        cheek_fullness=identity.cheek_fullness + 0.3 - 0.7 * share,
        lip_upper=identity.lip_upper - 0.4 * share,
        lip_lower=identity.lip_lower - 0.3 * share,
        brow_density=identity.brow_density * (1 - 0.3 * share),
        hair_volume=identity.hair_volume * (1 - 0.4 * share),
        hairline=identity.hairline + 0.5 * share,
    )


def write_album(person: Person, folder: Path, years: Sequence[int]) -> list[Path]:
    """Write a photo of a person for each year, dated; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number + 1:03d}.jpg" for number in range(len(years))]
    for number, (path, year) in enumerate(zip(paths, years, strict=True)):
        if path.exists():
            continue
        rng = np.random.default_rng([person.seed, number, 7])
        state = draw_state(rng, yaw=28.0)
        scene = draw_scene(rng, width=400, height=500, face=float(rng.uniform(88.0, 125.0)))
        pixels = render(aged(person.identity, year), state, scene, person.traits).pixels
        path.write_bytes(_dated(pixels, year))
    return paths


def _dated(pixels: np.ndarray, year: int) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{year}:06:15 12:00:00"
    Image.fromarray(pixels).save(stream, "JPEG", quality=92, exif=exif.tobytes())
    return stream.getvalue()


def make() -> Report:
    """Answer held-out photos of each person with their year and without, and draw new pictures."""
    answers: list[list[Cell]] = []
    drawn: list[list[Cell]] = []
    for name in NAMES:
        profile = _learned(name)
        held = _HeldOut.of(profile)
        own = np.abs(held.judge(profile.prior.encode(to_unit(held.crops))) - held.years)
        answers.append([name, "the truth itself", "", "", "", "", spread(own)])
        for case, (task, subjects) in held.cases().items():
            for way in WAYS:
                made = held.answered(task, subjects, dated=way == "--year")
                save_picture(f"years-{name}-{case}-{way.strip('-')}".replace(" ", "-"), grid(made, PHOTOS))
                answers.append([name, case, way, *held.scores(made)])
        drawn += _samples(profile, held.judge)
    return Report(
        "years",
        f"photos decades apart ({', '.join(NAMES)}; {PHOTOS} held-out photos each)",
        [
            Table("held-out photos", ["person", "case", "way", *MEASURES], answers),
            Table("new pictures", ["person", "--year", "ID to the nearest photo", "their year"], drawn),
        ],
        [],
        {
            "years": "told by a ridge regression on the prior's encoder, made of the reference set's photos",
            "photos": f"of {FIRST} to {FIRST + 4} and of {LAST - 4} to {LAST}",
        },
    )


@dataclass(frozen=True)
class _HeldOut:
    """A person's held-out photos, of all ages, and what is true of them."""

    profile: Profile
    crops: Pixels
    years: Floats
    judge: Judge  # codes of the encoder (B, w_dim) -> years (B,)

    @classmethod
    def of(cls, profile: Profile) -> _HeldOut:
        records = profile.photos(HELD_OUT)
        order = np.argsort([record.year for record in records], kind="stable")
        rows = np.sort(order[chosen(len(records), PHOTOS)])
        codes = profile.prior.encode(profile.faces()).astype(np.float64)
        judge = _judge(codes, np.array([record.year for record in profile.photos()], np.float64))
        years = np.array([records[row].year for row in rows])
        return cls(profile, to_pixels(profile.faces(HELD_OUT)[rows]), years, judge)

    def cases(self) -> Mapping[str, tuple[TaskName, Sequence[Subject]]]:
        """Return by its name what is taken from the photos."""
        found: dict[str, tuple[TaskName, Sequence[Subject]]] = {}
        photos, crop = Photos(self.crops, [str(number) for number in range(len(self.crops))]), None
        crop = self.profile.prior.crop
        for case in (Case("enlarged 16 times", "upscale", times=16), SMALL, HIDDEN):
            found[case.name] = case.task, case.subjects(photos, crop)
        grey = np.repeat(np.rint(self.crops @ GREY).astype(np.uint8)[..., None], 3, axis=-1)
        small = lanczos(shrink(grey, GREY_SIDE), self.crops.shape[1])
        found["grey and blurred"] = "restore", [Subject(one, name=str(row)) for row, one in enumerate(small)]
        return found

    def answered(self, task: TaskName, subjects: Sequence[Subject], *, dated: bool) -> Pixels:
        """Return the answers to photos, in the year of each or with all photos alike."""
        chosen = comparison_settings(task, default_settings(task, space="p+"))
        settings, made = replace(chosen, keep_tone=False), [*self.crops]
        for year in sorted(set(self.years.tolist())) if dated else (None,):
            rows = [row for row in range(len(made)) if year in (None, self.years[row])]
            some = [subjects[row] for row in rows]
            told = restore(self.profile, some, task, replace(settings, year=year), report_progress)
            for row, one in zip(rows, told, strict=True):
                if one.error is not None:
                    raise one.error
                assert one.pixels is not None
                made[row] = one.pixels
        return np.stack(made)

    def scores(self, made: Pixels) -> list[Cell]:
        """Return the measures of answers."""
        prior, images, truths = self.profile.prior, to_unit(made), to_unit(self.crops)
        alike = (prior.embed(images) * prior.embed(truths)).sum(axis=1)
        off = np.abs(self.judge(prior.encode(images)) - self.years)
        near, far = self.profile.id_score(images), lpips(prior.perceptual(), images, truths)
        return [spread(alike), spread(near), spread(far), spread(off)]


def _judge(codes: Floats, years: Floats) -> Judge:
    """Return what tells the year of a photo by its code: a ridge regression."""
    middle, spokes = codes.mean(axis=0), codes - codes.mean(axis=0)
    gram = spokes @ spokes.T
    weight = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    slope = spokes.T @ np.linalg.solve(gram + weight, years - years.mean())
    return lambda given: np.asarray((given.astype(np.float64) - middle) @ slope + years.mean())


def _samples(profile: Profile, judge: Judge) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for year in (None, FIRST + 2, LAST - 2):
        drawn = draw(profile, range(SAMPLES), year=year)
        told = judge(profile.prior.encode(to_unit(drawn.pixels)))
        save_picture(f"years-{profile.name}-samples-{year or 'any'}", grid(drawn.pixels, 8))
        rows.append([profile.name, year or "any", spread(drawn.id_scores), spread(told)])
    return rows


def _learned(name: str) -> Profile:
    """Learn a person, or open what was learned before."""
    known = {person.name: person for person in PEOPLE}
    person = known.get(name) or Person(name, SEEDS + int(name.removeprefix("p")), Traits(), "")
    paths = write_album(person, OUT / "photos" / f"years-{name}", ALONG if name in known else APART)
    settings = LearnSettings(
        export=False,
        curation=CurateSettings(held_out=HELD_OUT_SHARE),
        reference=paths[len(paths) // 3 - 1],  # or the two ages may count as two people
        consent="rendered",
    )
    return learn(store(), f"years-{name}", paths, open_prior(PRIOR), settings, report_progress).profile
