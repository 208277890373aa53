"""What the page may ask for: the same core as the commands, in their words; bounded; nothing kept unasked."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mystyle_cli.cli import cli
from mystyle_cli.errors import UsageError
from mystyle_cli.instant import net
from mystyle_cli.learn import betas, stages
from mystyle_cli.nets.device import CPU
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.progress import Step, silent
from mystyle_cli.projection.settings import STEPS
from mystyle_cli.serve import routes
from mystyle_cli.serve.learning import Plan, School
from mystyle_cli.serve.tasks import CancelledError
from mystyle_cli.serve.uploads import open_uploads
from mystyle_cli.store.store import Store
from tests.support.albums import fake_curate, make_photos
from tests.support.pages import Client, page_of, until
from tests.support.portraits import clear
from tests.support.tiny_store import png


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Iterator[Path]:
    """A home of its own, with the tiny prior in it; learning is short."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny_prior, folder / "priors" / "tiny-32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYSTYLE_HOME", str(folder))
        patch.setattr(
            net,
            "InstantSettings",
            partial(net.InstantSettings, samples=8, views=1, width=4, steps=4, batch=4),
        )
        patch.setattr(betas, "STEPS", 1)
        patch.setitem(STEPS, "person", 1)
        patch.setattr(stages, "curate", fake_curate)
        yield folder


@pytest.fixture(scope="module")
def store(made_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store that is served, and learned into."""
    folder = tmp_path_factory.mktemp("served") / "store"
    shutil.copytree(made_store, folder)
    return Store(folder)


@pytest.fixture(scope="module")
def client(home: Path, store: Store) -> Iterator[Client]:
    """A browser that is in."""
    with page_of(store) as client:
        yield client.enter()


def content(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder, locks left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


def given(client: Client, photo: Path) -> int:
    """Upload a photo; returns its number."""
    answer = client.ask("POST", f"photos?name={photo.name}", photo.read_bytes())
    assert answer.status == 200, answer.body
    return int(answer.json["photo"])


def repaired(client: Client, number: int, **wanted: object) -> dict[str, object]:
    """Ask for a photo to be worked on; returns what became of it."""
    answer = client.post("repairs", **{"photo": number, "name": "ada", "quality": "full", **wanted})
    assert answer.status == 200, answer.body
    return client.outcome(answer.json["task"])


def test_a_result_is_what_the_command_writes(client: Client, store: Store, tmp_path: Path) -> None:
    """To the byte, marks included; and so is what is said of it."""
    photo = clear("ada")
    before = content(store.root.parent)
    done = repaired(client, given(client, photo), task="inpaint", beta=0.05, parts=["mouth"])
    assert done["state"] == "done", done["error"]
    assert content(store.root.parent) == before
    outcome = done["outcome"]
    assert isinstance(outcome, dict)
    data = client.ask("GET", f"results/{outcome['result']}/0").body
    words = [
        "inpaint",
        "ada",
        str(photo),
        "-o",
        str(tmp_path / "out.png"),
        "--beta",
        "0.05",
        "--part",
        "mouth",
    ]
    said = CliRunner().invoke(cli, ["--store", *map(str, [store.root, *words])])
    assert said.exit_code == 0, said.stderr
    assert data == (tmp_path / "out.png").read_bytes()
    assert outcome["summary"] in said.stderr.replace(str(photo), photo.name)
    marks = read_marks(tmp_path / "out.png")
    assert marks is not None
    assert marks.command == "inpaint"
    for warning in outcome["warnings"]:
        assert warning in said.stderr


def test_answers_are_the_command_s(client: Client, store: Store, tmp_path: Path) -> None:
    """Each of several to the byte, and the map of where they differ; how like the person each is."""
    photo = clear("ada")
    done = repaired(client, given(client, photo), task="inpaint", beta=0.05, parts=["mouth"], variants=3)
    assert done["state"] == "done", done["error"]
    outcome = done["outcome"]
    how = "--beta 0.05 --part mouth --variants 3 --seed 0 --batch 1"  # variants differ with their company
    words = f"inpaint ada {photo} {how} -o {tmp_path / 'out.png'}"
    said = CliRunner().invoke(cli, ["--store", str(store.root), *words.split()])
    assert said.exit_code == 0, said.stderr
    written = sorted(path.name for path in tmp_path.glob("out*.png"))
    assert outcome["pictures"] == len(written) == len(outcome["likenesses"]) + 1
    for place, name in enumerate(written):  # -1, -2 ... and -open
        data = client.ask("GET", f"results/{outcome['result']}/{place}").body
        assert data == (tmp_path / name).read_bytes(), name


def test_what_was_uploaded_goes_with_its_answer(client: Client) -> None:
    """A photo is in memory until it is answered, a result until it was fetched or others came."""
    number = given(client, clear("ada"))
    assert client.ask("GET", f"photos/{number}").headers["content-type"] == "image/jpeg"
    done = repaired(client, number, task="restore", colours="keep")
    assert done["state"] == "done", done["error"]
    assert client.ask("GET", f"photos/{number}").status == 410
    kept = f"results/{done['outcome']['result']}"
    assert [client.ask("GET", f"{kept}/{place}").status for place in (0, 1)] == [200, 404]
    assert client.ask("DELETE", kept).status == 204
    assert client.ask("GET", f"{kept}/0").status == 404
    numbers = [given(client, clear("ada")) for _ in range(routes.MOST_KEPT + 1)]
    assert [client.ask("GET", f"photos/{one}").status for one in numbers] == [410, *[200] * routes.MOST_KEPT]


def test_a_painted_mask_is_filled_and_nothing_else(client: Client) -> None:
    """It is painted on a smaller picture than the photo, and counts in the photo's size."""
    photo = clear("ada")
    number = given(client, photo)
    with Image.open(photo) as image:
        pixels = np.array(image.convert("RGB"))
    height, width = pixels.shape[:2]
    mask = np.zeros((height // 2, width // 2, 3), np.uint8)
    top, left = height // 5, width // 5
    mask[top : top + 20, left : left + 20] = 255
    assert client.ask("PUT", f"photos/{number}/mask", png(mask)).status == 204
    done = repaired(client, number, task="inpaint", force=1)
    assert done["state"] == "done", done["error"]
    with Image.open(io.BytesIO(client.ask("GET", f"results/{done['outcome']['result']}/0").body)) as image:
        changed = (np.array(image) != pixels).any(axis=2)
    assert changed[2 * top + 4 : 2 * top + 36, 2 * left + 4 : 2 * left + 36].mean() > 0.9
    changed[2 * top - 3 : 2 * top + 43, 2 * left - 3 : 2 * left + 43] = False
    assert not changed.any()
    number = given(client, photo)
    refused = client.ask("PUT", f"photos/{number}/mask", png(np.full((10, 90, 3), 255, np.uint8)))
    assert refused.json["message"] == "the mask has another shape than the photo"


def test_errors_are_the_commands(client: Client) -> None:
    """A file that is no picture, nothing to fill, nobody of that name."""
    answer = client.ask("POST", "photos?name=letter.jpg", b"Dear Adele,")
    assert answer.status == 400
    assert answer.json["message"] == "letter.jpg: is not a picture in a known format"
    number = given(client, clear("ada"))
    failed = repaired(client, number, task="inpaint")
    assert failed["error"]["message"].endswith("nothing says what is to be filled")
    failed = repaired(client, number, task="restore", name="nobody")
    assert failed["error"]["message"].startswith("there is no profile 'nobody'")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("repairs", b"{"),
        ("repairs", b'{"photo": 1}'),
        ("repairs", b'{"photo": 1, "name": "ada", "task": "edit", "quality": "full"}'),
        ("repairs", b'{"photo": 1, "name": "ada", "task": "restore", "quality": "full", "beta": -1}'),
        ("repairs", b'{"photo": 1, "name": "ada", "task": "inpaint", "quality": "full", "parts": ["/"]}'),
        ("people", b'{"name": "../../etc"}'),
        ("people", b'{"name": "new", "passes": 1e9}'),
        ("people", b'{"name": "new", "until": "2999-01-01"}'),
        ("people", b'{"name": "new", "until": "soon", "consent": "yes"}'),
        ("people", b'{"name": "ada"}'),
        ("people/new/verdicts", b'{"keep": ["../x"]}'),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, store: Store, path: str, body: bytes) -> None:
    """Before any work, with a message; nothing changes."""
    before = content(store.root)
    answer = client.ask("POST", path, body)
    assert answer.status == 400
    assert answer.json["message"]
    assert content(store.root) == before


def test_sizes_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What says that it is larger is not read, and what is larger than it says neither."""
    monkeypatch.setattr(routes, "MOST_BYTES", 1000)
    for path in ("photos?name=a.jpg", "album?name=a.jpg"):
        assert client.ask("POST", path, bytes(1001)).status == 400
        chunked = b"".join(b"64\r\n%b\r\n" % bytes(100) for _ in range(11)) + b"0\r\n\r\n"
        answer = client.ask("POST", path, chunked, Transfer_Encoding="chunked", Content_Length=None)
        assert answer.status == 400
        assert "MB" in answer.json["message"]
    monkeypatch.setattr(routes, "MOST_JSON", 1000)
    assert client.ask("POST", "people", b'{"name": "%s"}' % (b"a" * 1000)).status == 400


def album(client: Client, photos: list[Path]) -> None:
    """Upload an album."""
    assert client.ask("DELETE", "album").status == 204
    for photo in photos:
        assert client.ask("POST", f"album?name={photo.name}", photo.read_bytes()).status == 200


def looked_at(client: Client, name: str, photos: list[Path]) -> dict[str, object]:
    """Upload an album and let it be looked at; returns what is told of it."""
    album(client, photos)
    answer = client.post("people", name=name, consent="by letter", prior="tiny-32", passes=1)
    assert answer.status == 200, answer.body
    done = client.outcome(answer.json["task"])
    assert done["state"] == "done", done["error"]
    return dict(done["outcome"])


def test_an_album_becomes_a_profile_when_that_is_asked_for(
    client: Client, store: Store, home: Path, tmp_path: Path
) -> None:
    """It is looked at first, verdicts of one's own count, and the photos are gone when it is learned."""
    told = looked_at(client, "new", make_photos(tmp_path / "photos", 9))
    photos = {one["file"]: one for one in told["photos"]}
    assert len(photos) == 9
    assert "Tuning takes about" in told["how_long"]
    assert store.entry("new").state == "untuned"
    assert (
        client.ask("GET", f"album/{photos['00-good.png']['sha256']}").headers["content-type"] == "image/jpeg"
    )
    answer = client.post("people/new/verdicts", leave=[photos["00-good.png"]["sha256"]])
    done = client.outcome(answer.json["task"])
    assert done["state"] == "done", done["error"]
    entry = store.entry("new")
    assert entry.state == "ready"
    assert entry.manifest is not None
    assert entry.manifest.consent == "by letter"
    assert entry.manifest.counts["photos"] == 8
    assert not [path for path in (home / "page").rglob("*") if path.suffix == ".png"]
    assert client.ask("GET", f"album/{photos['00-good.png']['sha256']}").status == 404
    assert client.post("people", name="new").status == 400  # there is one of that name now
    store.delete("new")


def test_a_profile_that_nobody_asked_for_is_thrown_away(client: Client, store: Store, tmp_path: Path) -> None:
    """Looking makes one that is not tuned; without a word more it is not kept."""
    before = content(store.root)
    looked_at(client, "new", make_photos(tmp_path / "photos", 5))
    assert "new" in store.names()
    assert client.ask("DELETE", "album/profile").status == 204
    assert content(store.root) == before


def test_a_profile_that_others_changed_stays(client: Client, store: Store, tmp_path: Path) -> None:
    """What was made by looking is nobody else's only as long as it is as looking left it."""
    looked_at(client, "new", make_photos(tmp_path / "photos", 5))
    store.note_consent("new", "somebody else's word")
    before = content(store.root)
    answer = client.post("people/new/verdicts", leave=["0" * 64])
    refused = client.outcome(answer.json["task"])
    assert refused["state"] == "failed"
    assert "is not as it was" in refused["error"]["message"]
    assert client.ask("DELETE", "album/profile").status == 204
    assert content(store.root) == before
    store.delete("new")


def test_a_profile_that_was_made_meanwhile_stays(store: Store, home: Path, tmp_path: Path) -> None:
    """A name may be taken while looking waits for its turn: nothing of that profile is touched then."""
    before = content(store.root)
    with open_uploads() as uploads:
        school = School(store, CPU, uploads)
        for photo in make_photos(tmp_path / "photos", 5):
            school.add(photo.name, photo.read_bytes())
        with pytest.raises(UsageError, match="there is a profile 'ada'"):
            school.look(Plan("ada", "by letter", "", "tiny-32", 3), silent)
        school.forget()
    assert content(store.root) == before


def test_learning_that_was_ended_goes_on_or_is_thrown_away(store: Store, home: Path, tmp_path: Path) -> None:
    """With the verdicts of one's own that it was begun with; it stays where others are learned instead."""
    before = content(store.root)

    def ending(step: Step) -> None:
        if step.stage == "tune":
            raise CancelledError

    with open_uploads() as uploads:
        school = School(store, CPU, uploads)
        for photo in make_photos(tmp_path / "photos", 6):
            school.add(photo.name, photo.read_bytes())
        school.look(Plan("new", "by letter", "", "tiny-32", 3), silent)
        left = next(iter(school.files))
        for _ in range(2):  # the second goes on from the first
            with pytest.raises(CancelledError):
                school.finish((), (left,), ending)
            assert store.entry("new").state == "untuned"
            assert left not in {record.sha256 for record in store.open("new").records}
        school.throw_away()
        assert content(store.root) == before
        for name in ("new", "other"):  # one that was asked for, and one that was not
            for photo in make_photos(tmp_path / "photos", 6):
                school.add(photo.name, photo.read_bytes())
            school.look(Plan(name, "by letter", "", "tiny-32", 3), silent)
            if name == "new":
                with pytest.raises(CancelledError):
                    school.finish((), (), ending)
        school.forget()
        assert "other" not in store.names()
        assert store.entry("new").state == "untuned"
    store.delete("new")
    assert content(store.root) == before


def test_photos_that_are_all_refused_leave_nothing(client: Client, store: Store, tmp_path: Path) -> None:
    """As in the command, and in its words."""
    before = content(store.root)
    album(client, [path for path in make_photos(tmp_path / "photos", 6) if "bad" in path.name])
    done = client.outcome(client.post("people", name="new", prior="tiny-32").json["task"])
    assert done["state"] == "failed"
    assert "no photo of 1 can be learned from" in done["error"]["message"]
    assert content(store.root) == before


def test_when_the_page_is_gone_so_is_what_it_gave(
    client: Client, store: Store, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens: work ends, photos are let go of, and a profile that was only looked at is removed."""
    monkeypatch.setattr(routes, "GRACE", 1000.0)
    before = content(store.root)
    looked_at(client, "new", make_photos(tmp_path / "photos", 5))
    number = given(client, clear("ada"))
    monkeypatch.setattr(routes, "GRACE", 0.0)
    until(lambda: client.ask("GET", f"photos/{number}").status == 410)
    until(lambda: "new" not in store.names())
    until(lambda: not list((home / "page").rglob("*.png")))
    assert content(store.root) == before


def test_nothing_is_left_when_the_server_ends(made_store: Path, home: Path, tmp_path: Path) -> None:
    """Of an album that was looked at, and not learned from."""
    shutil.copytree(made_store, tmp_path / "store")
    store = Store(tmp_path / "store")
    before, folders = content(store.root), set((home / "page").iterdir())
    with page_of(store) as client:
        looked_at(client.enter(), "new", make_photos(tmp_path / "photos", 5))
        assert set((home / "page").iterdir()) != folders
    assert content(store.root) == before
    assert set((home / "page").iterdir()) == folders
