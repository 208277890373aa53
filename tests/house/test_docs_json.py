"""docs/json.md says what the commands' JSON documents hold, every field of every command."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
from PIL import Image

from mystyle_cli.cli import cli
from mystyle_cli.engines.runs import Runs
from mystyle_cli.fetch.licences import LICENCES, accept_licences
from tests.support.albums import learn_quickly, make_photos
from tests.support.clips import moving, write_clip
from tests.support.evaluations import measure_quickly
from tests.support.groups import place
from tests.support.journeys import Run
from tests.support.tiny_store import picture

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"

TYPES = {
    "text": (str,),
    "number": (int, float),
    "whole number": (int,),
    "true": (bool,),
    "false": (bool,),
    "null": (type(None),),
    "any": (str, int, float, bool, type(None)),
}

NAMED = {
    *("directions", "units", "strengths", "reached", "largest"),  # by directions
    *("problems", "hints"),  # by profiles
    "largest_difference",  # by files
}
"""What holds names of other things for keys; all other keys are the program's own."""

Keys = tuple[str, ...]
"""Keys from the outside in; "[]" for an entry of a list, "*" on the page for any key."""


class Field(NamedTuple):
    """One row of the page."""

    path: Keys
    types: tuple[type, ...]


def described() -> dict[tuple[str, ...], list[Field]]:
    """Return the page's fields by the commands of a heading, those of every document among them."""
    found: dict[tuple[str, ...], list[Field]] = {}
    every: list[Field] = []
    current = every
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            current = found.setdefault(tuple(re.findall(r"`([^`]+)`", line)), [*every])
        elif row := re.match(r"\| `([^`]+)` \| ([^|]+) \|", line):
            words = re.split(r", | or ", row[2].strip())
            keys = tuple(key for part in row[1].split(".") for key in re.findall(r"\[\]|[^\[\]]+", part))
            current.append(Field(keys, tuple(kind for word in words for kind in TYPES[word])))
    return found


def leaves(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield every value that holds no others, with the keys that lead to it; empty containers, too."""
    if isinstance(value, dict | list) and value:
        inner = value.items() if isinstance(value, dict) else (("[]", entry) for entry in value)
        for key, entry in inner:
            yield from leaves(entry, (*path, key))
    else:
        yield path, value


def fits(path: Keys, field: Keys) -> bool:
    """Tell whether a path is one that a row of the page, or the beginning of a row, describes."""
    return len(path) <= len(field) and all(
        wanted in ("*", key) for key, wanted in zip(path, field, strict=False)
    )


def commands(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the names of all commands that are no groups."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name))


def test_every_command_has_its_fields() -> None:
    """The page has a heading for each command, and for none that is not there."""
    named = [
        name for heading in described() for name in heading if not name.endswith((" --dry-run", " --each"))
    ]
    assert sorted(named) == sorted(["error", *commands(cli)])


LINES = (
    "profile list",
    "profile show ada",
    "profile path ada",
    "profile consent ada agreed --until 2099-01-01",
    "profile show ada",
    "profile verify",
    "tune ada --dry-run --passes 1",
    "ingest ada --dates years.csv",
    "profile create --each people --prior {prior} --passes 1 --no-instant --no-export --on local:1",
    "profile create --each people --prior {prior} --passes 1 --no-instant --no-export --on local:1",
    "profile create --each people --prior {prior} --passes 1 --no-instant --no-export --dry-run",
    *(f"{name} ada in.png --aligned --dry-run -o out.png" for name in ("invert", "inpaint", "restore")),
    "upscale ada small.png --aligned --force --steps 1 -o run.png --on local:1",
    "upscale ada small.png --aligned --force --steps 1 -o run.png --on local:1 --dry-run",
    "edit ada in.png -d smile -s 9 --aligned -o out.png --dry-run",
    "jobs list",
    "jobs show {run}",
    "invert ada in.png moving.gif bad.png --aligned --force --steps 1 --save-codes codes -o inverted",
    "invert ada in.png --aligned --steps 1 --save-codes codes -o inverted --skip-existing",
    "upscale ada small.png --aligned --force --steps 1 -o large.png",
    "restore ada in.png --aligned --force --steps 1 --jpeg 50 -o restored.png",
    "restore ada in.mp4 --steps 1 -o out.mp4",
    "restore --who all in.png --force --steps 1 --jpeg 50 -o known.png",
    "inpaint ada in.png --box 2,2,60,60 --aligned --steps 20 --variants 3 --seed 1 -o many.png",
    "inpaint ada in.png --mask hole.png --aligned --steps 1 --start random --beta none -o filled.png",
    "edit ada in.png bad.png -d smile -s 9 --codes codes -o edited",
    "edit ada in.png -d yaw --sweep=-1:1:2 --codes codes -o strip.png --beta none",
    "edit ada in.png -d yaw -s 1 --aligned --steps 1 --refine -o refined.png",
    "edit ada moving.gif -d yaw -s 1 --aligned --steps 1 -o moved.png",
    "edit ada moving.gif -d yaw -s 1 --codes codes -o moved.png --skip-existing",
    "sample ada -n 2 -o samples --seed 1 --grid grid.png",
    "inspect samples/ada.sample-1.png grid.png filled.png in.png bad.png",
    "evaluate ada --quick --only reconstruction --only wrong -o evaluated",
    "profile advise ada",
    "profile advise ada --page advice.html",
    "study make ada -o study",
    "study score answers.json bad.png --key study/key.json",
    "verify samples/ada.sample-1.png",
    "export ada",
    "profile show ada",
    "profile export ada ada.mystyle",
    "profile import ada.mystyle eve --prior {prior}",
    "profile merge duo ada eve --passes 1 --no-instant --no-export",
    "profile show duo",
    "prior list",
    "prior show faces",
    "prior verify {prior}",
    "prior fetch ffhq-1024 --dry-run",
    "prior import ffhq-1024 --generator {prior}/generator.safetensors",
    "prior fetch ffhq-1024",
    "prior show ffhq-1024",
    "prior verify ffhq-1024",
    "tune ada --passes 1 --no-instant --no-export",
    "licences",
    "doctor",
    "completion bash",
    "serve --no-open",
    "profile rename ada bob",
)


AFTER_DAMAGE = (
    "profile verify",
    "upscale --who all small.png --force --steps 1 -o others.png",
    "profile list",
    "prior verify ffhq-1024",
    "prior list",
    "prior remove ffhq-1024 --yes",
    "profile delete bob --yes",
    "profile show bob",
)

TAKING_LONG = {"profile create", "profile create --dry-run", "jobs retry"}
"""Commands that look through photos: what they write is what `tune` writes, by the same function; and the
command that runs others again."""

UNSEEN = {
    *(("results", "[]", "signature", key) for key in ("state", "signer", "issuer", "source_type")),
    ("photos", "[]", "scores", "*"),
    ("advice", "[]"),
    ("results", "[]", "advice", "[]"),
    ("left_out", "[]"),
}
"""What only signed pictures have, photos looked through or failed, and machines with too little memory."""


@pytest.mark.slow
def test_documents_hold_what_the_page_says(
    run: Run, tmp_path: Path, tiny_prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field that a command writes is on the page with its type, and each on the page is written."""
    home = tmp_path / "home"
    monkeypatch.setenv("MYSTYLE_HOME", str(home))
    measure_quickly(monkeypatch.setattr)
    monkeypatch.setattr(
        "mystyle_cli.serve.serve.serve", lambda *given, **named: given[-1]("http://127.0.0.1:1/")
    )
    monkeypatch.setattr(
        "mystyle_cli.group.group.find_places",
        lambda pixels, tiny: [place(1, (len(pixels) / 2, len(pixels) / 2), len(pixels))],
    )
    learn_quickly(monkeypatch.setattr)
    make_photos(Path("people/eva"), 6)
    Path("people/none").mkdir()
    Path("people/none/0.jpg").write_bytes(b"no picture")
    Image.fromarray(picture(3, 64)).save("in.png")
    Image.fromarray(picture(3, 16)).save("small.png")
    write_clip(Path("in.mp4"), moving(frames=3))
    both = [Image.fromarray(picture(number, 64)) for number in (4, 5)]
    both[0].save("moving.gif", save_all=True, append_images=both[1:])
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save("hole.png")
    Path("bad.png").write_bytes(b"no picture")
    Path("years.csv").write_text("0.jpg,1998\n")
    accept_licences("ffhq-1024", {"ffhq.pkl": next(iter(LICENCES))}, lambda licences: True)
    answers = {"mystyle": "study answers", "format": 1, "study": "", "answers": {"q001": "first"}}
    page = described()
    fields = {name: page[heading] for heading in page for name in heading}
    written: dict[str, set[Keys]] = {name: set() for name in fields}

    names: list[str] = []  # of the run that was kept last

    def read(line: str) -> None:
        done = run("--json", *line.format(prior=tiny_prior, run="".join(names)).split())
        document = json.loads(done.stdout)
        assert document["ok"] == (done.exit_code == 0), line
        names[:] = [document["run"]] if "run" in document else names
        command = document["command"]
        command += " --dry-run" if document.get("dry_run") and f"{command} --dry-run" in fields else ""
        assert command == "error" or line.startswith(command.removesuffix(" --dry-run")), done.stderr
        for path, value in leaves(document):
            for before, key in zip(("", *path), path, strict=False):
                assert before in NAMED or re.fullmatch(r"\[\]|[a-z][a-z0-9_]*", key), f"{line}: {path}"
            rows = [field for field in fields[command] if fits(path, field.path)]
            assert rows, f"{line}: docs/json.md does not say what {path} is"
            if not isinstance(value, dict | list):
                kinds = {kind for field in rows if len(field.path) == len(path) for kind in field.types}
                assert type(value) in kinds, f"{line}: {path} is {value!r}, and should be one of {kinds}"
            written[command].add(path)

    for line in LINES:
        if line.startswith("study score"):
            answers["study"] = json.loads(Path("study/key.json").read_text())["study"]
            Path("answers.json").write_text(json.dumps(answers))
        read(line)
    kept = Runs(tmp_path / "store").find(names[0])
    with kept.driven():
        read("jobs cancel {run}")
    (kept.folder / "mine.txt").write_text("mine")
    read("jobs remove {run} --yes")
    (tmp_path / "store/bob/anchors.safetensors").write_bytes(b"")
    shutil.copytree(tmp_path / "store/eve", tmp_path / "store/torn")
    (tmp_path / "store/torn/profile.toml").write_text("format = 2")
    (tmp_path / "store/bob/mine.txt").write_text("mine")
    (home / "priors/ffhq-1024/generator.safetensors").write_bytes(b"")
    (home / "priors/ffhq-1024/mine.txt").write_text("mine")
    (home / "priors/spoilt").mkdir()
    (home / "priors/spoilt/prior.toml").write_text("format = 1")
    for line in AFTER_DAMAGE:
        read(line)
    assert {name for name, paths in written.items() if not paths} == TAKING_LONG
    missing = [
        (heading, ".".join(field.path))
        for heading, rows in page.items()
        for field in rows
        if field.path not in UNSEEN
        and not any(
            len(path) == len(field.path) and fits(path, field.path)
            for name in heading
            for path in written[name]
        )
    ]
    assert missing == []
