"""Every option of every command does something, or is refused where it would do nothing.

`CASES` has a line for each option: a command without it and with it come to different ends. An option that
is in no line fails the first test, so that none can be added without an effect. `REFUSED` are combinations
in which an option would do nothing, and `MODES` are tried with every option of a search.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import ExifTags, Image

from mystyle_cli.cli import cli
from mystyle_cli.engines.runs import Runs
from mystyle_cli.errors import MystyleError
from mystyle_cli.fetch.assets import find_recipe
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.learn.learn import Learned, export, merge
from mystyle_cli.store.store import Store
from tests.support.albums import QUICK
from tests.support.evaluations import measure_quickly
from tests.support.journeys import EVERYWHERE as ALL
from tests.support.journeys import all_options, commands, long_name, own_options
from tests.support.tiny_store import add_instant, date_photos, looking_like, make_store, picture

FEW = InstantSettings(samples=16, views=1, width=8, steps=10, batch=8)
ARTIST = b"Ada Artist"
OURS = b"urn:mystyle"
CODE = b"mystyle:code="
Outcome = tuple[object, ...]
Try = Callable[..., Outcome]
THERE = ["there.html", "there.mystyle", "there.png"]  # in every folder that a command runs in

UPSCALE = "upscale ada {w}/small.png --aligned -o out.png"
INVERT = "invert ada {w}/crop.png --aligned -o out.png"
RESTORE = "restore ada {w}/crop.png --aligned -o out.png --blur 2 --noise 9"
INPAINT = "inpaint ada {w}/crop.png --mask {w}/hole.png --aligned -o out.png"
BESIDE = "inpaint ada {w}/large.png --mask {w}/masks/large.png --landmarks {w}/large.txt -o out.png"
EDIT = "edit ada {w}/crop.png --aligned -o out.png -d smile -s 40"
CODES = "edit ada {w}/crop.png --codes {w}/codes -o out.png -d smile -s 1"
VERIFY = "verify {w}/x.png"
SAMPLE = "sample ada --seed 1 -o out.png"
STUDY = "study make ada -o out"
CREATE = "profile create eva {w}/album --prior {w}/tiny-32"
EACH = "profile create --each {w}/people --prior {w}/tiny-32"
INGEST = "ingest ada {w}/album"
MERGE = "profile merge duo ada eve"
TUNE = "tune ada"
IMPORT = "prior import mine --generator {w}/small.png"
FETCH = "prior fetch ffhq-1024 --accept-licence"


def of_batches(command: str, rest: str = "--aligned --steps 1") -> dict[str, tuple[str, str]]:
    """Return the cases of the options of every command with many inputs; `rest` makes one work."""
    one, many = f"{command} {{w}}/crop.png {rest}", f"{command} {{w}}/album {rest}"
    if command.startswith("upscale"):
        one, many = f"{command} {{w}}/small.png {rest}", f"{command} {{w}}/smalls {rest}"
    return {
        "--output": (f"{one} -o out.png", "-o other.png"),
        "--format": (f"{many} -o out", "--format webp"),
        "--jpeg-quality": (f"{one} -o out.jpg", "--jpeg-quality 5"),
        "--overwrite": (f"{one} -o there.png", "--overwrite"),
        "--skip-existing": (f"{one} -o there.png", "--skip-existing"),
        "--recursive": (f"{many} -o out", "--recursive"),
        "--batch": (f"{many} -o out", "--batch 1"),
        "--keep-metadata": (f"{one} -o out.png", "--keep-metadata"),
        "--name": (f"{many} -o out", "--name {{stem}}-new{{ext}}"),
        "--on": (f"{many} -o out", "--on local:1"),
        "--dry-run": (f"{many} -o out", "--dry-run"),
        **of_marks(f"{one} -o out.png"),
    }


def of_marks(one: str) -> dict[str, tuple[str, str]]:
    """Return the cases of the options that say what a result says of itself."""
    return {"--mark": (one, "--mark visible"), "--no-mark": (one, "--no-mark")}


def of_searches(one: str) -> dict[str, tuple[str, str]]:
    """Return the cases of the options of every search; `one` is a command that works on one aligned crop."""
    short, apart = f"{one} --steps 2", one.replace(" --aligned", "") + " --steps 1"
    return {
        "--beta": (short, "--beta 0.3"),
        "--steps": (f"{one} --steps 1", "--steps 2"),
        "--seed": (f"{short} --start random --seed 1", "--seed 2"),
        "--space": (short, "--space w"),
        "--start": (short, "--start encoder"),
        "--aligned": (apart, "--aligned"),
        "--landmarks": (apart, "--landmarks {w}/points.txt"),
        "--force": (f"{short} --store {{w}}/strict", "--force"),
        "--person": (f"{short.replace(' ada ', ' duo ')} --force --store {{w}}/both", "--person ben"),
        "--year": (f"{short} --store {{w}}/dated", "--year 1990"),
    }


def of_tuning(command: str) -> dict[str, tuple[str, str]]:
    """Return the cases of the options of every command that tunes."""
    return {
        "--passes": (command, "--passes 3"),
        "--batch": (command, "--batch 2"),
        "--learning-rate": (command, "--learning-rate 0.5"),
        "--precision": (command, "--precision bfloat16"),
        "--seed": (command, "--seed 5"),
        "--no-export": (command, "--no-export"),
        "--no-instant": (command, "--no-instant"),
        "--whole": (command, "--whole"),
    }


def of_quality(one: str) -> dict[str, tuple[str, str]]:
    """Return the cases of the options that say how much is done."""
    return {
        "--quality": (one, "--quality instant"),
        "--instant": (one, "--instant"),
        "--variants": (f"{one} --steps 2", "--variants 2 --seed 1"),
    }


EVALUATE = "evaluate ada --only walks -o out"

CASES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "upscale": {
        **of_batches("upscale ada"),
        **of_searches(UPSCALE),
        **of_quality(UPSCALE),
        "--watch": (f"{UPSCALE} --steps 1", "--watch"),
        "--who": (UPSCALE.replace(" --aligned", ""), "--who all"),
        "--force": (f"{UPSCALE.replace('small', 'middle')} --steps 2 --store {{w}}/strict", "--force"),
        "--save-codes": (f"{UPSCALE} --steps 1", "--save-codes kept"),
        "--keep-code": (f"{UPSCALE} --steps 1", "--keep-code"),
    },
    "inpaint": {
        **of_batches("inpaint ada --mask {w}/hole.png"),
        **of_searches(INPAINT),
        **of_quality(INPAINT),
        "--who": (INPAINT.replace(" --aligned", ""), "--who all"),
        "--force": (f"{BESIDE} --steps 2 --store {{w}}/strict", "--force"),
        "--mask": (f"{INPAINT} --steps 1", "--mask {w}/masks/crop.png"),
        "--part": (f"{INPAINT} --steps 1", "--part face"),
        "--except": (f"{INPAINT} --part face --steps 1", "--except mouth"),
        "--box": (f"{INPAINT} --steps 1", "--box 2,2,9,9"),
        "--save-codes": (f"{INPAINT} --steps 1", "--save-codes kept"),
        "--keep-code": (f"{INPAINT} --steps 1", "--keep-code"),
    },
    "restore": {
        **of_batches("restore ada --blur 2 --noise 9"),
        **of_searches(RESTORE),
        **of_quality(RESTORE),
        "--watch": (f"{RESTORE} --steps 1", "--watch"),
        "--who": (RESTORE.replace(" --aligned", ""), "--who all"),
        "--force": (f"{RESTORE} --blur 0 --scale 1 --steps 2 --store {{w}}/strict", "--force"),
        "--save-codes": (f"{RESTORE} --steps 1", "--save-codes kept"),
        "--mask": (f"{RESTORE} --steps 1", "--mask {w}/hole.png"),
        "--blur": (f"{RESTORE} --steps 1", "--blur 4"),
        "--noise": (f"{RESTORE} --steps 1", "--noise 30"),
        "--jpeg": (f"{RESTORE} --steps 1", "--jpeg 20"),
        "--scale": (f"{RESTORE} --steps 1", "--scale 3"),
        "--keep-tone": (f"{RESTORE.replace('crop', 'grey')} --steps 1", "--keep-tone"),
        "--grain": (f"{RESTORE} --steps 1", "--grain keep"),
        "--scratches": (
            f"{RESTORE.replace('crop', 'lined')} --steps 1 --blur 0 --noise 0 --jpeg 0 --scale 1",
            "--scratches none",
        ),
    },
    "invert": {
        **of_batches("invert ada"),
        **of_searches(INVERT),
        "--save-codes": (f"{INVERT} --steps 1", "--save-codes kept"),
        "--keep-code": (f"{INVERT} --steps 1", "--keep-code"),
    },
    "edit": {
        **of_batches("edit ada -d smile -s 1"),
        **of_searches(EDIT),
        "--space": (f"{EDIT} --steps 2", "--space p"),
        "--direction": (f"{EDIT} --steps 1 -s 2", "-d yaw"),
        "--strength": (f"{EDIT} --steps 1 -d yaw", "-s 2"),
        "--sweep": (f"{EDIT} --steps 1 -d yaw", "--sweep=-1:1:2"),
        "--at-limit": (f"{EDIT} --steps 1", "--at-limit continue"),
        "--codes": ("edit ada {w}/crop.png -o out.png -d smile -s 1", "--codes {w}/codes"),
        "--refine": (f"{EDIT} --steps 1", "--refine"),
        "--keep-code": (CODES, "--keep-code"),
        "--backend": (CODES, "--backend torch"),
    },
    "sample": {
        "--count": ("sample ada --seed 1 -o out", "-n 2"),
        "--output": (SAMPLE, "-o other.png"),
        "--grid": (SAMPLE, "--grid grid.png"),
        "--sampler": (SAMPLE, "--sampler uniform"),
        "--anchors": (SAMPLE, "--anchors 1"),
        "--beta": (f"{SAMPLE} --sampler uniform", "--beta 0.3"),
        "--seed": (SAMPLE, "--seed 2"),
        "--format": ("sample ada --seed 1 -o out", "--format webp"),
        "--jpeg-quality": ("sample ada --seed 1 -o out.jpg", "--jpeg-quality 5"),
        "--overwrite": ("sample ada --seed 1 -o there.png", "--overwrite"),
        "--backend": (SAMPLE, "--backend torch"),
        "--person": (SAMPLE.replace(" ada ", " duo ") + " --store {w}/both --person ada", "--person ben"),
        "--year": (SAMPLE + " --store {w}/dated", "--year 1990"),
        **of_marks(SAMPLE),
    },
    "verify": {
        "--profile": ("verify {w}/drawn.png", "--profile eve"),
        "--code": (f"{VERIFY} --photo {{w}}/crop.png", "--code {w}/codes/crop.safetensors"),
        "--photo": (f"{VERIFY} --code {{w}}/codes/crop.safetensors", "--photo {w}/crop.png"),
        "--mask": ("verify {w}/filled.png --photo {w}/crop.png", "--mask {w}/hole.png"),
        "--backend": ("verify {w}/drawn.png", "--backend torch"),
    },
    "evaluate": {
        "--paper": (EVALUATE, "--paper"),
        "--quick": (EVALUATE, "--quick"),
        "--share": (f"{EVALUATE} --paper", "--share 0.1"),
        "--compare": ("evaluate ada eve --quick", "--compare"),
        "--only": (EVALUATE, "--only reconstruction"),
        "--output": (EVALUATE, "-o other"),
        "--seed": (EVALUATE, "--seed 2"),
        "--on": (EVALUATE, "--on local:1"),
        "--against": ("evaluate ada --quick --only synthesis -o out", "--against GLO"),
        "--judge": ("evaluate ada --quick --only synthesis -o out", "--judge {w}/tiny-32/identity.onnx"),
    },
    "profile advise": {
        "--page": ("profile advise ada", "--page advice.html"),
        "--overwrite": ("profile advise ada --page there.html", "--overwrite"),
    },
    "study make": {
        "--output": (STUDY, "-o other"),
        "--against": (STUDY, "--against {w}/rivals"),
        "--photos": (STUDY, "--photos 1"),
        "--seed": (STUDY, "--seed 2"),
    },
    "study score": {"--key": ("study score {w}/answers.json --key {w}/key.json", "--key {w}/other-key.json")},
    "profile create": {
        **of_tuning(CREATE),
        "--recursive": (CREATE, "--recursive"),
        "--from-tags": (CREATE, "--from-tags Ada"),
        "--dates": (CREATE, "--dates {w}/years.csv"),
        "--reference": (CREATE, "--reference {w}/crop.png"),
        "--keep": (CREATE, "--keep {w}/album/a.png"),
        "--held-out": (CREATE, "--held-out 0.5"),
        "--no-tune": (CREATE, "--no-tune"),
        "--prior": (CREATE, "--prior {w}/other"),
        "--consent": (CREATE, "--consent asked"),
        "--until": (f"{CREATE} --consent asked", "--until 2999-01-01"),
        "--replace": (CREATE, "--replace"),
        "--dry-run": (CREATE, "--dry-run"),
        "--each": (CREATE, "--each {w}/album"),
        "--on": (EACH, "--on local:1"),
    },
    "profile merge": {
        **of_tuning(MERGE),
        "--no-tune": (MERGE, "--no-tune"),
        "--replace": (MERGE, "--replace"),
    },
    "ingest": {
        **of_tuning(INGEST),
        "--recursive": (INGEST, "--recursive"),
        "--from-tags": (INGEST, "--from-tags Ada"),
        "--dates": (INGEST, "--dates {w}/years.csv"),
        "--no-tune": (INGEST, "--no-tune"),
    },
    "tune": {
        **of_tuning(TUNE),
        "--dry-run": (TUNE, "--dry-run"),
        "--on": (TUNE, "--on local:1"),
    },
    "export": {"--output": ("export ada -o out", "-o other")},
    "serve": {"--port": ("serve", "--port 8765"), "--no-open": ("serve", "--no-open")},
    "profile consent": {"--until": ("profile consent ada asked", "--until 2999-01-01")},
    "profile export": {
        "--without-photos": ("profile export ada out.mystyle", "--without-photos"),
        "--overwrite": ("profile export ada there.mystyle", "--overwrite"),
    },
    "profile import": {"--prior": ("profile import {w}/ada.mystyle eva", "--prior {w}/tiny-32")},
    "profile delete": {"--yes": ("profile delete ada", "--yes")},
    "jobs remove": {"--yes": ("jobs remove {run}", "--yes")},
    "prior import": {
        "--generator": (IMPORT, "--generator {w}/crop.png"),
        "--encoder": (IMPORT, "--encoder {w}/crop.png"),
        "--identity": (IMPORT, "--identity {w}/crop.png"),
        "--perceptual": (IMPORT, "--perceptual {w}/crop.png"),
        "--mapping": (IMPORT, "--mapping faces"),
        "--direction": (IMPORT, "--direction smile={w}/crop.png"),
        "--crop": (IMPORT, "--crop 0.5,0.1"),
        "--licence": (IMPORT, "--licence CC0"),
        "--overwrite": (IMPORT, "--overwrite"),
    },
    "prior remove": {
        "--yes": ("prior remove spare", "--yes"),
        "--force": ("prior remove used --yes", "--force"),
    },
    "prior fetch": {
        "--dry-run": (FETCH, "--dry-run"),
        "--from": (FETCH, "--from {w}/given"),
        "--use": (FETCH, "--use {other_encoder}"),
        "--without": (FETCH, "--without encoder"),
        "--accept-licence": ("prior fetch ffhq-1024", "--accept-licence"),
        "--trust-digest": (FETCH, f"--trust-digest {'0' * 64}"),
        "--offline": (FETCH, "--offline"),
    },
}
"""For each command and option: the words of a command, and the option with a value that changes its end."""

EVERYWHERE: Mapping[str, tuple[str, str]] = {
    "--store": ("profile list", "--store {w}/none"),
    "--device": (SAMPLE, "--device cuda:99"),
    "--threads": (f"{UPSCALE} --steps 1", "--threads 2"),
    "--json": ("profile list", "--json"),
    "--verbose": (INGEST, "--verbose"),
    "--quiet": (SAMPLE, "--quiet"),
    "--no-progress": (SAMPLE, "--no-progress"),
    "--debug": ("profile show nobody", "--debug"),
}

REFUSED = (
    (UPSCALE, "--seed 2", "--seed"),
    (UPSCALE, "--space w --beta 0.1", "--beta"),
    (UPSCALE, "--space w --variants 2 --seed 1", "--space"),
    (UPSCALE, "--instant --variants 2 --seed 1", "--quality"),
    (UPSCALE.replace("out.png", "-"), "--variants 2 --seed 1", "-o"),
    (UPSCALE, "--landmarks {w}/points.txt", "--landmarks"),
    (UPSCALE, "--who all", "--aligned"),
    (f"{RESTORE} --steps 1", "--mask {w}/hole.png --scratches find", "--scratches"),
    (UPSCALE, "--format webp", "--format"),
    (UPSCALE, "--jpeg-quality 5", "--jpeg-quality"),
    (UPSCALE, "--instant --steps 2", "--steps"),
    (UPSCALE, "--instant --quality full", "--instant"),
    (UPSCALE, "--overwrite --skip-existing", "--overwrite"),
    (f"{EDIT} --steps 1", "--beta none --at-limit stop", "--at-limit"),
    (f"{EDIT} --steps 1", "--backend onnx", "torch"),
    (CODES, "--steps 2", "--steps"),
    (CODES, "--start random --seed 2", "--seed"),
    (CODES, "--space p", "--space"),
    (CODES, "--start centre", "--start"),
    (CODES, "--aligned", "--aligned"),
    (CODES, "--force", "--force"),
    (CODES, "--landmarks {w}/points.txt", "--landmarks"),
    (CODES, "--keep-code --no-mark", "--keep-code"),
    (CODES, "--keep-code --refine", "--keep-code"),
    (CODES, "--backend onnx --refine", "torch"),
    (UPSCALE, "--keep-code --space w", "p+"),
    (f"{EDIT} --steps 1".replace(" -s 40", ""), "--sweep=0:1:2 --keep-code", "--keep-code"),
    ("verify {w}/drawn.png", "--photo {w}/crop.png", "--photo"),
    (f"{VERIFY} --photo {{w}}/crop.png", "--mask {w}/hole.png", "--mask"),
    (SAMPLE, "--sampler uniform --anchors 2", "--anchors"),
    (SAMPLE, "--beta 0.1", "--beta"),
    (SAMPLE, "--format webp", "--format"),
    (SAMPLE, "--jpeg-quality 5", "--jpeg-quality"),
    ("sample ada --grid grid.png", "--format jpg", "--format"),
    (CREATE, "--no-tune --passes 3", "--passes"),
    (CREATE, "--no-tune --dry-run", "--dry-run"),
    (CODES, "--person ada", "--person"),
    (f"{UPSCALE} --steps 1", "--person ada", "ada"),
    (SAMPLE, "--person ada", "ada"),
    (MERGE, "--no-tune --passes 3", "--passes"),
    (INGEST, "--no-tune --whole", "--whole"),
    (INGEST, "--no-tune --seed 3", "--seed"),
    (UPSCALE, "--space w --year 1990", "--year"),
    (CODES, "--year 1990", "--year"),
    ("ingest ada --dates {w}/years.csv", "--passes 3", "--passes"),
    ("ingest ada", "--no-tune", "photos"),
    ("profile create eva", "--no-tune", "photos"),
)
"""Words of a command, options that contradict it or each other, and what the refusal names."""

MODES = (
    "--instant",
    "--quality fast",
    "--start random --seed 1",
    "--start encoder",
    "--space w+",
    "--space p",
    "--space w+ --start random --seed 1",
)
"""Ways of searching, in each of which every option of a search changes the result or is refused."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Path:
    """A folder with photos, masks, points, codes, priors and stores; only read."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(tiny_prior, folder / "tiny-32")
    shutil.copytree(tiny_prior, folder / "other")
    manifest = folder / "other/prior.toml"
    manifest.write_text(manifest.read_text().replace('name = "tiny-32"', 'name = "other"'))
    store = make_store(folder / "store", folder / "tiny-32")
    add_instant(store, "ada", FEW)
    export(store, "ada")
    for name in ("spare", "used"):
        shutil.copytree(tiny_prior, folder / "home/priors" / name)
    make_store(folder / "store", folder / "home/priors/used", "eve")
    manifest = folder / "store/eve/profile.toml"
    manifest.write_text(manifest.read_text().replace(str(folder / "home/priors/used"), "used"))
    both = make_store(folder / "both", folder / "tiny-32")
    make_store(folder / "both", folder / "tiny-32", "ben", looking_like(1), seed=2)
    merge(both, "duo", ["ada", "ben"], dataclasses.replace(QUICK, instant=None))
    (folder / "given").mkdir()
    (folder / "given" / find_recipe("ffhq-1024").choose()[0].file).write_bytes(b"half of it")
    shutil.copytree(folder / "store", folder / "strict")
    shutil.copytree(folder / "store", folder / "dated")
    date_photos(Store(folder / "dated"), "ada")
    (folder / "years.csv").write_text("0.jpg,1990\n")
    strict = folder / "strict/ada/profile.toml"
    strict.write_text(strict.read_text().replace("threshold = -1.0", "threshold = 1.1"))
    for name, side in (
        ("small", 8),
        ("middle", 20),
        ("large", 96),
        ("smalls/a", 8),
        ("smalls/b", 10),
        ("smalls/below/c", 12),
    ):
        save(folder / f"{name}.png", picture(1, side))
    for number, name in enumerate(("crop", "album/a", "album/b", "album/below/c", "people/eva/a")):
        save(folder / f"{name}.png", picture(number, 32))
    for name, rows in (("hole", slice(10, 20)), ("masks/crop", slice(4, 12))):
        hole = np.zeros((32, 32), np.uint8)
        hole[rows, 8:24] = 255
        save(folder / f"{name}.png", hole)
    save(folder / "masks/large.png", np.pad(hole, ((64, 0), (64, 0))))
    for number in (7, 8):
        save(folder / f"rivals/{number:04}.png", picture(number + 40, 32))
    study = {"format": 1, "study": "s"}
    for name, shows in (("key", "photo"), ("other-key", "personal prior")):
        questions = {"q001": {"kind": "real", "shows": [shows]}}
        key = {"mystyle": "study key", **study, "questions": questions}
        (folder / f"{name}.json").write_text(json.dumps(key))
    answered = {"mystyle": "study answers", **study, "answers": {"q001": "first"}}
    (folder / "answers.json").write_text(json.dumps(answered))
    points = np.full((68, 2), 4.0)
    points[36:42], points[42:48], points[48:55] = (3, 3), (5, 3), (4, 5.5)
    np.savetxt(folder / "points.txt", points)
    Image.open(folder / "crop.png").convert("L").save(folder / "grey.png")
    lined = Image.new("RGB", Image.open(folder / "crop.png").size, (90, 90, 90))
    lined.paste("black", (0, lined.height // 2, lined.width, lined.height // 2 + 2))
    lined.save(folder / "lined.png")
    np.savetxt(folder / "large.txt", 4 * points)
    words = [
        "invert",
        "ada",
        folder / "crop.png",
        "--aligned",
        "--steps",
        1,
        "--save-codes",
        folder / "codes",
    ]
    given = (
        [*words, "-o", folder / "x.png"],
        ["sample", "ada", "--seed", 7, "-o", folder / "drawn.png"],
        shlex.split(
            f"{INPAINT} --steps 1 --keep-code --overwrite".format(w=folder).replace("out", f"{folder}/filled")
        ),
        ["profile", "export", "ada", folder / "ada.mystyle"],
        [*words, "-o", folder / "kept.png", "--overwrite", "--on", "local:1"],
    )
    for one in given:
        done = CliRunner().invoke(cli, ["--store", str(folder / "store"), *map(str, one)])
        assert done.exit_code == 0, done.stderr
    (kept,) = Runs(folder / "store").all()
    (folder / "run").write_text(kept.name)
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    """Write a picture that says who made it; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = ARTIST.decode()
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.fixture
def spies(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """Let what takes long, or needs the network, only say what it was asked for."""
    ada = Store(world / "store").open("ada")

    def learn(*given: Any) -> Learned:
        told = [
            *(one for one in given if isinstance(one, list)),
            *(getattr(one, "name", "") for one in given),
        ]
        settings = next(one for one in given if type(one).__name__ == "LearnSettings")
        return Learned(ada, (), (f"asked for {told}, {settings}",), {})

    for name in ("learn", "ingest", "merge", "retune"):
        monkeypatch.setattr(f"mystyle_cli.learn.learn.{name}", learn)

    def asked(*given: Any, **named: Any) -> Any:
        named.pop("progress", None)
        raise MystyleError(f"asked for {given} {named}")

    monkeypatch.setattr("mystyle_cli.foreign.importing.import_prior", asked)

    def fetched(plan: Any, settings: Any, *, offline: bool) -> Any:
        items = [(item.asset.file, item.state) for item in plan.items]
        raise MystyleError(f"asked for {items}, {sorted(settings.trusted)}, {offline}")

    monkeypatch.setattr("mystyle_cli.fetch.fetch.fetch_prior", fetched)

    def served(store: Store, device: Any, port: int, say: Any, *, show: bool) -> None:
        raise MystyleError(f"asked for {port}, {show}")

    monkeypatch.setattr("mystyle_cli.serve.serve.serve", served)
    measure_quickly(monkeypatch.setattr)


@pytest.fixture
def attempt(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spies: None) -> Try:
    """Run a command in a folder of its own and return how it ended: what it wrote and said."""
    recipe = find_recipe("ffhq-1024")
    taken = {asset.file for asset in recipe.choose()}
    other = next(one.file for one in recipe.assets if one.role == "encoder" and one.file not in taken)

    def run(words: str) -> Outcome:
        place = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        place.mkdir()
        changing = words.startswith(
            (
                *("profile delete", "profile import", "profile consent", "prior remove", "prior fetch"),
                *("export", "jobs remove"),
            )
        )
        home = shutil.copytree(world / "home", place / ".home") if changing else world / "home"
        store = shutil.copytree(world / "store", place / ".store") if changing else world / "store"
        monkeypatch.setenv("MYSTYLE_HOME", str(home))
        monkeypatch.chdir(place)
        for name in THERE:
            (place / name).write_bytes(b"here before")
        kept = (world / "run").read_text()
        spelled = shlex.split(words.format(w=world, other_encoder=other, run=kept))
        given = [*([] if "--store" in spelled else ["--store", str(store)]), *spelled]
        return outcome(CliRunner().invoke(cli, given), place)

    return run


@pytest.fixture(scope="module")
def ends() -> dict[str, Outcome]:
    """How commands ended that were run: many options are added to the same one."""
    return {}


@pytest.fixture
def plainly(attempt: Try, ends: dict[str, Outcome]) -> Try:
    """Return how a command ends, which is run if it was not before."""

    def run(words: str) -> Outcome:
        if words not in ends:
            ends[words] = attempt(words)
        return ends[words]

    return run


def outcome(done: Result, place: Path) -> Outcome:
    """Return exit code, files and words of a command, without times and the folder that it ran in."""
    files = []
    for path in sorted(one for one in place.rglob("*") if one.is_file() and ".onnx" not in one.name):
        picture = path.suffix in (".png", ".jpg", ".webp") and path.stat().st_size > 11
        pixels = np.asarray(Image.open(path)).tobytes() if picture else b""
        pixels = path.read_bytes() if path.suffix == ".html" else pixels
        said_of_it = tuple(word in path.read_bytes() for word in (ARTIST, OURS, CODE)) if picture else ()
        files.append((path.relative_to(place).as_posix(), pixels, said_of_it))
    said = [
        re.sub(r"\(\d+ s[^)]*\)", "", text.replace(str(place), "")) for text in (done.stdout, done.stderr)
    ]
    return done.exit_code, files, *said


def results(end: Outcome) -> Outcome:
    """Return exit code and files alone: what a search is for."""
    return end[:2]


LONGEST = {("evaluate", "--compare")}  # two profiles are evaluated, twice


def test_every_option_has_a_case() -> None:
    """No option without a case, and no case without an option."""
    cases = {(name, option) for name, cases in CASES.items() for option in cases}
    assert cases | {(ALL, option) for option in EVERYWHERE} == all_options()


@pytest.mark.parametrize(
    ("command", "option"),
    [
        pytest.param(command, option, marks=[pytest.mark.slow] if (command, option) in LONGEST else [])
        for command, cases in CASES.items()
        for option in cases
    ],
)
def test_an_option_changes_the_end(attempt: Try, plainly: Try, command: str, option: str) -> None:
    """A command with the option comes to another end than without, and both end in a way that is meant."""
    words, given = CASES[command][option]
    assert words.startswith(command)
    without, with_it = plainly(words), attempt(f"{words} {given}")
    for end in (without, with_it):
        assert "fault in mystyle" not in str(end[3]), end[3]
    assert "does nothing" not in str(with_it[3]), with_it[3]
    searched = command in ("upscale", "inpaint", "restore", "invert", "edit")
    in_pixels = searched and option not in ("--batch", "--backend", "--skip-existing", "--on")
    assert (results(without) != results(with_it)) if in_pixels else (without != with_it)


@pytest.mark.parametrize("option", EVERYWHERE)
def test_an_option_of_every_command_changes_the_end(attempt: Try, plainly: Try, option: str) -> None:
    """Before the command's name and after it, alike."""
    words, given = EVERYWHERE[option]
    without, after, before = plainly(words), attempt(f"{words} {given}"), attempt(f"{given} {words}")
    assert without != after
    assert after[:3] == before[:3]


@pytest.mark.parametrize(("words", "given", "named"), REFUSED)
def test_what_would_do_nothing_is_refused(attempt: Try, words: str, given: str, named: str) -> None:
    """With exit code 2, by name, before anything is written."""
    code, files, _, said = attempt(f"{words} {given}")
    assert code == 2, said
    assert named in str(said)
    assert [name for name, *_ in files if not name.startswith(".")] == THERE


@pytest.mark.parametrize("mode", MODES)
def test_in_every_way_of_searching_an_option_counts_or_is_refused(attempt: Try, mode: str) -> None:
    """Of upscale's options of a search none is passed over in silence, whatever the way of searching is."""
    longer = "" if mode == "--instant" else " --steps 2"
    plain = results(attempt(f"{UPSCALE} {mode}{longer}"))
    assert plain[0] == 0
    start = "--start centre" if "encoder" in mode else "--start encoder"
    for given in ("--beta 0.3", "--steps 1", "--seed 2", "--space w", start, "--landmarks {w}/points.txt"):
        end = attempt(f"{UPSCALE} {mode}{longer} {given}")
        assert end[0] == 2 or results(end) != plain, (given, end[3])
        assert "fault in mystyle" not in str(end[3])


def test_options_that_take_numbers_take_numbers_only() -> None:
    """Whatever takes a fraction refuses nan and infinity; what takes a seed refuses one that is too large."""
    seen = 0
    for name, command in commands():
        for option in own_options(command):
            try:
                is_number = isinstance(option.type.convert("0.25", option, None), float)
            except click.BadParameter:
                is_number = False
            values = ["nan", "inf", "-inf"] if is_number else []
            values += ["nan:1:2", "0:inf:2", "0:1:1000000"] if option.name == "sweep" else []
            values += ["nan,0", "1,inf"] if option.name == "crop" else []
            values += [str(2**32)] if option.name == "seed" else []
            for value in values:
                seen += 1
                taken = True
                try:
                    option.type.convert(value, option, None)
                except click.BadParameter:
                    taken = False
                assert not taken, f"{name} {long_name(option)} takes {value}"
    assert seen > 20


def test_what_is_typed_wins_over_the_environment(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    """MYSTYLE_DEVICE counts where no --device is typed, whether before the command's name or after it."""
    monkeypatch.setenv("MYSTYLE_DEVICE", "cuda:99")
    assert "cuda:99" in str(attempt(SAMPLE)[3])
    for words in (f"--device cpu {SAMPLE}", f"{SAMPLE} --device cpu", f"--device auto {SAMPLE}"):
        end = attempt(words)
        assert end[0] == 0, end[3]


def test_no_seed_is_recorded_where_nothing_is_drawn(attempt: Try, tmp_path: Path) -> None:
    """The JSON has none, and with a random start the one that was drawn and printed, in W+, too."""
    [plain] = json.loads(str(attempt(f"--json {INVERT} --steps 1")[2]))["results"]
    assert plain["seed"] is None
    for space in ("p+", "w+"):
        end = attempt(f"--json {INVERT} --steps 1 --start random --space {space}")
        [drawn] = json.loads(str(end[2]))["results"]
        assert f"seed {drawn['seed']}\n" in str(end[3])


def test_the_strength_told_is_that_of_the_picture(attempt: Try) -> None:
    """Where an edit is projected back, what is told is what was reached, not what was asked for."""
    end = attempt(f"--json {EDIT} --steps 1")
    [edited] = json.loads(str(end[2]))["results"][0]["edits"]
    assert edited["projected"]
    assert 0 < edited["reached"]["smile"] < 39
    told = re.search(r"projected back, reached smile ([\d.]+):", str(end[3]))
    assert told is not None
    assert float(told[1]) == pytest.approx(edited["reached"]["smile"], rel=5e-3)
    assert "reached" not in str(attempt(f"{CODES}")[3])


def test_hints_name_options_that_there_are() -> None:
    """What the hint about a missing role says can be typed."""
    from mystyle_cli.prior.registry import IMPORTED, ROLES

    [importing] = [command for name, command in commands() if name == "prior import"]
    there = {long_name(option) for option in own_options(importing)}
    assert {f"--{role}" for role in ROLES} & there == {f"--{role}" for role in IMPORTED}


def test_recursion_is_not_advised_twice(attempt: Try, world: Path) -> None:
    """A folder without pictures: --recursive is advised once, and never where it was given."""
    os.makedirs(world / "empty", exist_ok=True)
    assert "--recursive" in str(attempt("invert ada {w}/empty -o out")[3])
    assert "--recursive" not in str(attempt("invert ada {w}/empty -o out --recursive")[3])


def test_a_prior_that_is_there_is_not_taken_for_another(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`prior fetch` of one that is there is done at once, but not where other files of it are wanted."""
    shutil.copytree(world / "tiny-32", tmp_path / "priors/ffhq-1024")
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path))
    assert CliRunner().invoke(cli, ["prior", "fetch", "ffhq-1024"]).exit_code == 0
    done = CliRunner().invoke(cli, ["prior", "fetch", "ffhq-1024", "--without", "encoder"])
    assert done.exit_code == 2
    assert "mystyle prior remove ffhq-1024" in done.stderr


CLOSED = """
import sys
from mystyle_cli.cli import main
main()
"""

HARMLESS = (
    f"{UPSCALE} -o {{w}}/small.png",
    "upscale ada {w}/small.png --aligned -o there.png",
    "upscale ada {w}/small.png {w}/middle.png --aligned -o out.png",
    "upscale ada {w}/nowhere.png --aligned -o out.png",
    "upscale nobody {w}/small.png --aligned -o out.png",
    "invert ada {w}/empty -o out",
    "invert ada - -o out.png",  # which is closed
    "inpaint ada {w}/album --mask {w}/hole.png --aligned -o out/a.png",
    "inpaint ada {w}/crop.png --mask {w}/nowhere.png -o out.png",
    f"{EDIT} -d nowhere -s 1",
    f"{EDIT} -s 3",
    "edit ada {w}/crop.png --codes {w}/codes -o there.png -d smile -s 1",
    "sample ada -n 2 -o out.png",
    "sample ada -o there.png",
    "sample nobody -o out.png",
    "verify {w}/nowhere.png",
    "verify {w}/crop.png",
    "verify {w}/drawn.png --profile nobody",
    "inspect {w}/nowhere.png",
    "export nobody",
    "tune nobody",
    "tune ../ada",
    "ingest nobody {w}/album",
    "ingest ada {w}/empty",
    "profile create eva {w}/empty",
    "profile create eva {w}/album --prior nowhere",
    "profile create ../eva {w}/album",
    "profile create eva {w}/album --until 2999-01-01",
    "profile show nobody",
    "profile verify nobody",
    "profile rename nobody eva",
    "profile delete ada",
    "profile consent nobody yes",
    "profile export ada there.mystyle",
    "profile export ada {w}/out.zip",
    "profile import {w}/crop.png eva",
    "profile import {w}/nowhere.mystyle",
    "prior show nowhere",
    "prior verify nowhere",
    "prior remove spare",
    "prior import faces --generator {w}/small.png",
    "prior fetch nowhere",
    "prior fetch ffhq-1024 --offline",
)
"""What can be refused without any net: names, places and files that do not fit what is asked for."""

LIGHT = """
import json, sys
from mystyle_cli.cli import main

for line in json.load(sys.stdin):
    sys.argv[1:], sys.stdin, code = line, None, 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    print(json.dumps([code, sorted({"torch", "dlib"} & set(sys.modules))]))
"""


@pytest.mark.parametrize(
    ("words", "streams", "said"),
    [
        ("invert ada - -o out.png", "<&-", "standard input is closed"),
        ("sample ada -o -", ">&-", "standard output is closed"),
        ("profile delete ada", "<&-", "--yes"),
        ("profile show nobody", "2>&-", ""),
    ],
)
def test_closed_streams_are_no_fault(
    world: Path, tmp_path: Path, words: str, streams: str, said: str
) -> None:
    """A stream that is closed is said where it is needed, and no file takes its number."""
    command = [sys.executable, "-c", CLOSED, "--store", str(world / "store"), *words.split()]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {streams}', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == (5 if streams == "2>&-" else 2), done.stderr
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_refused_loads_no_nets(world: Path, tmp_path: Path) -> None:
    """Whatever is wrong with what was typed is said before a library is loaded that takes seconds."""
    (world / "empty").mkdir(exist_ok=True)
    for name in THERE:
        (tmp_path / name).write_bytes(b"here before")
    refused = [f"{words} {given}" for words, given, _ in REFUSED]
    lines = [shlex.split(line.format(w=world)) for line in (*HARMLESS, *refused)]
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        input=json.dumps([["--store", str(world / "store"), *line] for line in lines]),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "MYSTYLE_HOME": str(world / "home")},
    )
    ends = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    for line, (code, loaded) in zip(lines, ends, strict=True):
        assert code, f"{line} is not refused"
        assert not loaded, f"{line} loads {loaded}"
    assert {path.name for path in tmp_path.iterdir()} == set(THERE)
