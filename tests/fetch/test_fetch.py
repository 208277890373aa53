"""`prior fetch`: from a manifest to a prior, through downloads, files brought by hand, and terms accepted."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from mystyle_cli.cli import cli
from mystyle_cli.errors import DownloadError, LicenceError, ModelError, MystyleError, UsageError
from mystyle_cli.fetch import assets, fetch
from mystyle_cli.fetch.assets import COMPANIONS, FFHQ, Asset, Recipe, Stranger
from mystyle_cli.fetch.download import DownloadSettings
from mystyle_cli.fetch.fetch import Plan, downloads, fetch_prior, make_plan, prior_is_there
from mystyle_cli.fetch.licences import LICENCES, Licence, accept_licences, ledger_path, read_ledger
from mystyle_cli.files.paths import priors_root
from mystyle_cli.nets.generator import Generator
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.progress import silent
from tests.support.checkpoints import write_nvidia_pickle
from tests.support.effort import HANGS
from tests.support.file_server import FileServer, Page, serve
from tests.support.journeys import journey

W_DIM = 8


def sha(data: bytes) -> str:
    """Return the digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="session")
def generator() -> Generator:
    """A small generator of the published kind."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        channels = {4: 8, 8: 8, 16: 8}
        return Generator(
            channels=channels, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=2, mapping_multiplier=0.01
        )


@pytest.fixture(scope="session")
def pickle(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The generator in a file as NVIDIA publishes them."""
    return write_nvidia_pickle(tmp_path_factory.mktemp("files") / "net.pkl", generator).read_bytes()


@pytest.fixture(scope="session")
def smile() -> bytes:
    """A direction as others publish them."""
    buffer = io.BytesIO()
    torch.save(torch.nn.functional.normalize(torch.ones(1, W_DIM)), buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of its own for every test."""
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MYSTYLE_OFFLINE", raising=False)
    return tmp_path / "home"


@pytest.fixture
def server(pickle: bytes, smile: bytes) -> Iterator[FileServer]:
    """A server with the files."""
    with serve() as running:
        running.pages["/net.pkl"], running.pages["/smile.pt"] = Page(pickle), Page(smile)
        yield running


@pytest.fixture
def recipe(server: FileServer, pickle: bytes, smile: bytes, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A manifest like the real one: a generator, an encoder that only Drive has, a direction as an extra."""
    monkeypatch.setattr(assets, "DRIVE_FILE", server.url + "/drive?{}")
    made = Recipe(
        "small-16",
        (
            Asset(
                "net.pkl",
                "generator",
                "LicenseRef-NVIDIA-StyleGAN2-ADA",
                (f"{server.url}/net.pkl",),
                len(pickle),
                sha(pickle),
            ),
            Asset(
                "w.pt",
                "encoder",
                "LicenseRef-encoder-with-NVIDIA-generator",
                size=9,
                sha256=sha(b"9"),
                drive="W",
            ),
            Asset(
                "smile.pt",
                "directions",
                "LicenseRef-FFHQ-directions",
                (f"{server.url}/smile.pt",),
                len(smile),
                sha(smile),
                title="smile",
                extra=True,
            ),
        ),
        (Stranger(4, sha(b"tf!!"), "it is for TensorFlow"),),
    )
    monkeypatch.setattr(assets, "RECIPES", {made.name: made})
    return made


class Heard:
    """Settings that note what was said and never wait."""

    def __init__(self, *trusted: str) -> None:
        self.said: list[str] = []
        self.settings = DownloadSettings(frozenset(trusted), silent, self.said.append, lambda seconds: None)


@pytest.fixture
def heard() -> Heard:
    """Settings without trusted digests."""
    return Heard()


def accepted_plan(
    recipe: Recipe, heard: Heard, given: Path | None = None, without: Sequence[str] = ()
) -> Plan:
    """A plan whose terms are accepted."""
    plan = make_plan(recipe, recipe.choose(without=without), given, heard.settings)
    accept_licences(recipe.name, plan.licences, lambda new: True)
    return plan


def test_from_the_net_to_a_prior(
    recipe: Recipe, heard: Heard, generator: Generator, server: FileServer
) -> None:
    """What is downloaded becomes a sound prior of the same weights, with terms, origin and digest noted."""
    folder = fetch_prior(accepted_plan(recipe, heard, without=["encoder"]), heard.settings)
    assert folder == priors_root() / "small-16" == prior_is_there("small-16")
    prior = open_prior("small-16")
    assert prior.verify() == []
    for name, value in prior.generator().state_dict().items():
        assert torch.equal(value, generator.state_dict()[name])
    entry = prior.metadata["roles"]["generator"]
    assert entry["licence"] == "LicenseRef-NVIDIA-StyleGAN2-ADA"
    assert entry["source"] == f"{server.url}/net.pkl"
    assert entry["source_sha256"] == recipe.assets[0].sha256
    assert list(prior.directions()) == ["smile"]
    assert sorted(path.name for path in downloads().iterdir() if path.name[0] != ".") == [
        "net.pkl",
        "smile.pt",
    ]


def test_damaged_prior_is_made_again_from_what_is_here(
    recipe: Recipe, heard: Heard, server: FileServer
) -> None:
    """A fetched prior that was damaged counts as absent, and is made again without a connection."""
    folder = fetch_prior(accepted_plan(recipe, heard, without=["encoder"]), heard.settings)
    (folder / "generator.safetensors").write_bytes(b"x")
    assert prior_is_there("small-16") is None
    server.asked.clear()
    fetch_prior(accepted_plan(recipe, heard, without=["encoder"]), heard.settings, offline=True)
    assert prior_is_there("small-16")
    assert server.asked == []


def test_terms_come_first(recipe: Recipe, heard: Heard, server: FileServer, home: Path) -> None:
    """Without acceptance nothing is asked for and nothing written; accepted terms are not asked for again."""
    plan = make_plan(recipe, recipe.choose(), None, heard.settings)
    with pytest.raises(LicenceError, match=r"net\.pkl, w\.pt, smile\.pt"):
        fetch_prior(plan, heard.settings)
    assert server.asked == []
    assert not home.exists()
    shown: list[str] = []

    def accept(new: Sequence[Licence]) -> bool:
        shown.extend(licence.id for licence in new)
        return True

    accept_licences("small-16", plan.licences, accept)
    accept_licences("small-16", plan.licences, accept)
    accept_licences("other", {"x.pkl": plan.licences["net.pkl"]}, accept)
    assert shown == list(dict.fromkeys(plan.licences.values()))
    noted = [(entry.licence, entry.prior, entry.files) for entry in read_ledger()]
    assert len(noted) == 4
    assert noted[-1] == ("LicenseRef-NVIDIA-StyleGAN2-ADA", "other", ("x.pkl",))


def test_changed_terms_are_asked_for_again(
    recipe: Recipe, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acceptance holds for the text that was shown, not for the name of the licence."""
    accepted_plan(recipe, heard)
    changed = {key: replace(licence, summary="New terms.") for key, licence in LICENCES.items()}
    monkeypatch.setattr("mystyle_cli.fetch.licences.LICENCES", changed)
    plan = make_plan(recipe, recipe.choose(), None, heard.settings)
    with pytest.raises(LicenceError):
        fetch_prior(plan, heard.settings)


def test_damaged_ledger_is_not_overwritten(recipe: Recipe, heard: Heard, home: Path) -> None:
    """A ledger that cannot be read is an error naming it, and stays as it is."""
    home.mkdir()
    ledger_path().write_text("{")
    with pytest.raises(LicenceError, match=r"licences\.json"):
        accepted_plan(recipe, heard)
    assert ledger_path().read_text() == "{"


def test_all_that_is_missing_is_told_at_once(recipe: Recipe, heard: Heard, server: FileServer) -> None:
    """What Drive does not give is told with its page and how to go on; the rest is kept."""
    server.pages["/drive?W"] = Page(b"<html>Too many users</html>", kind="text/html")
    with pytest.raises(DownloadError, match=r"w\.pt.*web page") as failure:
        fetch_prior(accepted_plan(recipe, heard), heard.settings)
    for text in ("https://drive.google.com/file/d/W/view", "--from", "--without encoder"):
        assert text in failure.value.hint
    assert sorted(path.name for path in downloads().iterdir() if path.name[0] != ".") == [
        "net.pkl",
        "smile.pt",
    ]
    assert not priors_root().exists()


def test_wrong_digest_makes_no_prior(recipe: Recipe, heard: Heard, server: FileServer, pickle: bytes) -> None:
    """A file with another digest is never converted, and nothing of it is kept."""
    server.pages["/net.pkl"] = Page(bytes(len(pickle)))
    with pytest.raises(ModelError, match="sha256"):
        fetch_prior(accepted_plan(recipe, heard, without=["encoder"]), heard.settings)
    assert [path.name for path in downloads().iterdir() if path.name[0] != "."] == ["smile.pt"]
    assert not priors_root().exists()


def test_extra_that_is_gone_is_left_out(recipe: Recipe, heard: Heard, server: FileServer) -> None:
    """A direction that no place has any more does not stop the prior, and is told."""
    del server.pages["/smile.pt"]
    fetch_prior(accepted_plan(recipe, heard, without=["encoder"]), heard.settings)
    assert open_prior("small-16").directions() == {}
    assert any("smile.pt" in text and "without it" in text for text in heard.said)


def test_offline_makes_no_connection(recipe: Recipe, heard: Heard, server: FileServer) -> None:
    """Offline, files that are missing are named, and no server is asked."""
    with pytest.raises(DownloadError, match=r"net\.pkl"):
        fetch_prior(accepted_plan(recipe, heard), heard.settings, offline=True)
    assert server.asked == []


def test_damaged_download_is_replaced(recipe: Recipe, heard: Heard, server: FileServer) -> None:
    """A file in the downloads that was damaged later is noticed and downloaded again."""
    downloads().mkdir(parents=True)
    (downloads() / "net.pkl").write_bytes(b"x")
    fetch_prior(accepted_plan(recipe, heard, without=["encoder"]), heard.settings)
    assert prior_is_there("small-16")
    assert "again" in heard.said[0]


def test_a_note_that_a_killed_download_left_beside_its_whole_file_goes(
    recipe: Recipe, heard: Heard, smile: bytes
) -> None:
    """Killed between the file's name and the end of its note, the next fetch takes the file and clears up."""
    downloads().mkdir(parents=True)
    (downloads() / "smile.pt").write_bytes(smile)
    (downloads() / "smile.pt.part.json").write_text("{}")
    fetch_prior(accepted_plan(recipe, heard, without=["encoder"]), heard.settings)
    left = sorted(path.name for path in downloads().iterdir() if path.name[0] != ".")
    assert left == ["net.pkl", "smile.pt"]


def test_files_brought_by_hand(
    recipe: Recipe, heard: Heard, tmp_path: Path, pickle: bytes, server: FileServer
) -> None:
    """By digest a file is found under any name; by name and size with a warning; others are explained."""
    hand = tmp_path / "hand"
    hand.mkdir()
    (hand / "net (1).pkl").write_bytes(pickle)
    (hand / "w.pt").write_bytes(b"123456789")
    (hand / "model.pkl").write_bytes(b"tf!!")
    (hand / "smile.pt").write_bytes(b"short")
    (hand / "holiday.jpg").write_bytes(b"123456789")
    plan = make_plan(recipe, recipe.choose(), hand, heard.settings)
    assert [(item.asset.file, item.state) for item in plan.items] == [
        ("net.pkl", "given"),
        ("w.pt", "given"),
        ("smile.pt", "missing"),
    ]
    told = {path.name: text for path in hand.iterdir() for text in heard.said if path.name in text}
    assert "TensorFlow" in told["model.pkl"]
    assert sha(b"123456789") in told["w.pt"]
    assert "5 bytes" in told["smile.pt"]
    assert set(told) == {"model.pkl", "w.pt", "smile.pt"}
    assert server.asked == []


def test_name_is_not_enough_where_authors_vouch(recipe: Recipe, heard: Heard, tmp_path: Path) -> None:
    """A file whose authors published its digest is never taken by name, unless the user vouches for it."""
    strict = replace(recipe, assets=tuple(replace(asset, digest_of="authors") for asset in recipe.assets))
    (tmp_path / "w.pt").write_bytes(b"123456789")
    assert make_plan(strict, strict.choose(), tmp_path, heard.settings).items[1].state == "missing"
    trusting = Heard(sha(b"123456789"))
    assert make_plan(strict, strict.choose(), tmp_path, trusting.settings).items[1].state == "given"


def test_archive_gives_its_member(recipe: Recipe, heard: Heard, server: FileServer, pickle: bytes) -> None:
    """From an archive the one file that is used is taken, after comparing its own digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("models/other.pkl", b"x")
        archive.writestr("models/net.pkl", pickle)
    data = buffer.getvalue()
    server.pages["/all.zip"] = Page(data)
    packed = replace(
        recipe.assets[0],
        file="all.zip",
        urls=(f"{server.url}/all.zip",),
        size=len(data),
        sha256=sha(data),
        member="net.pkl",
        member_sha256=sha(pickle),
    )
    fetch_prior(accepted_plan(Recipe("small-16", (packed,)), heard), heard.settings)
    assert open_prior("small-16").verify() == []
    wrong = Recipe("small-16", (replace(packed, member_sha256=sha(b"x")),))
    with pytest.raises(ModelError, match=sha(pickle)):
        fetch_prior(accepted_plan(wrong, heard), heard.settings)


def test_room_is_seen_to_before_starting(
    recipe: Recipe, heard: Heard, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With too little room on the disk nothing is begun."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: usage(9, 9, 100))
    with pytest.raises(MystyleError, match="GB are free"):
        fetch_prior(accepted_plan(recipe, heard), heard.settings)
    assert server.asked == []


def test_second_fetch_waits_its_turn(recipe: Recipe, heard: Heard, server: FileServer) -> None:
    """While one fetch is under way another is refused, and the first ends well."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(position: int) -> None:
        begun.set()
        go_on.wait(HANGS)

    server.pages["/net.pkl"].before_chunk = hold
    plan = accepted_plan(recipe, heard, without=["encoder"])
    first = threading.Thread(target=fetch_prior, args=(plan, heard.settings))
    first.start()
    assert begun.wait(HANGS)
    with pytest.raises(MystyleError, match="another command"):
        fetch_prior(plan, Heard().settings)
    go_on.set()
    first.join()
    assert prior_is_there("small-16")
    assert len(server.asked) == 2


def test_choice_of_files() -> None:
    """A file that is asked for takes the place of its role's default; a role can be left out."""
    names = {asset.file for asset in FFHQ.choose()}
    assert {"ffhq.pkl", "faces_w_encoder.pt", "model_ir_se50.pth", "alexnet-owt-7be5be79.pth"} <= names
    changed = {asset.file for asset in FFHQ.choose(["e4e_ffhq_encode.pt"], ["identity"])}
    assert names - changed == {"faces_w_encoder.pt", "model_ir_se50.pth"}
    assert changed - names == {"e4e_ffhq_encode.pt"}
    extra = "boundary_stylegan2-ffhq-config-f.pt"
    assert {asset.file for asset in FFHQ.choose([extra])} == names | {extra}
    for use, without in (
        [["x"], []],
        [[], ["generator"]],
        [["e4e_ffhq_encode.pt", "psp_ffhq_encode.pt"], []],
    ):
        with pytest.raises(UsageError):
            FFHQ.choose(use, without)


def test_manifest_is_consistent() -> None:
    """Every published file has terms, a place, and either an exact size and digest or a rough size."""
    assert len({asset.file for asset in FFHQ.assets}) == len(FFHQ.assets)
    for asset in FFHQ.assets:
        assert asset.licence in LICENCES
        assert asset.addresses
        assert all(re.match("https://", address) for address in asset.addresses)
        assert asset.planned > 0
        assert bool(asset.sha256) == (asset.digest_of != "nobody")
        assert bool(asset.member) == bool(asset.member_sha256)
        for digest in (asset.sha256, asset.member_sha256):
            assert re.fullmatch("([0-9a-f]{64})?", digest)
    assert all(companion.licence in LICENCES for companion in COMPANIONS)


def run(*words: object) -> Result:
    """Run the program."""
    return CliRunner().invoke(cli, list(map(str, words)))


@journey("prior fetch", "--dry-run")
def test_dry_run_writes_nothing(recipe: Recipe, home: Path, server: FileServer, pickle: bytes) -> None:
    """`--dry-run` says what would be downloaded, from where and under what terms; no server is asked."""
    done = run("prior", "fetch", "small-16", "--dry-run")
    assert done.exit_code == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("net.pkl"))
    assert "generator" in line
    assert line.endswith("NO")
    found = json.loads(run("--json", "prior", "fetch", "small-16", "--dry-run").stdout)
    assert found["to_download"] == sum(asset.size or 0 for asset in recipe.assets)
    assert [file["state"] for file in found["files"]] == ["missing"] * 3
    assert found["files"][0]["sha256"] == sha(pickle)
    assert server.asked == []
    assert not home.exists()


@journey("prior fetch", "--without", "--accept-licence")
def test_command(recipe: Recipe) -> None:
    """`prior fetch` shows the terms, insists on them, makes the prior, and then says that it is there."""
    words = ("prior", "fetch", "small-16", "--without", "encoder")
    refused = run(*words)
    assert refused.exit_code == 1
    assert "NO commercial use" in refused.stderr
    assert "--accept-licence" in refused.stderr
    done = run(*words, "--accept-licence")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(priors_root() / "small-16")
    again = run("prior", "fetch", "small-16", "--json")
    assert json.loads(again.stdout)["folder"] == str(priors_root() / "small-16")
    assert "already" in again.stderr
    accepted = json.loads(run("--json", "licences").stdout)
    assert [entry["files"] for entry in accepted["accepted"]] == [["net.pkl"], ["smile.pt"]]
    of_prior = {file["file"]: file for file in accepted["files"] if file["place"] == "prior small-16"}
    assert of_prior["generator.safetensors"]["commercial"] is False
    assert run("prior", "fetch", "nobody").exit_code == 2


@journey("prior fetch", "--from", "--use", "--trust-digest", "--offline")
def test_what_lies_in_a_folder_is_taken_without_a_connection(
    recipe: Recipe, server: FileServer, tmp_path: Path, pickle: bytes, smile: bytes
) -> None:
    """--from gives files, --use names one to take; one of another digest counts where that is vouched for."""
    hand = tmp_path / "hand"
    hand.mkdir()
    (hand / "net.pkl").write_bytes(pickle)
    buffer = io.BytesIO()
    torch.save(-torch.load(io.BytesIO(smile), weights_only=True), buffer)
    (hand / "smile.pt").write_bytes(buffer.getvalue())
    words = ("prior", "fetch", "small-16", "--without", "encoder", "--from", hand, "--accept-licence")
    vouched = ("--use", "smile.pt", "--trust-digest", sha(buffer.getvalue()), "--offline")
    done = run(*words, *vouched)
    assert done.exit_code == 0, done.stderr
    assert server.asked == []
    assert (open_prior("small-16").directions()["smile"].vector < 0).all()


def test_offline_by_environment(recipe: Recipe, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """MYSTYLE_OFFLINE=1 is --offline."""
    monkeypatch.setenv("MYSTYLE_OFFLINE", "1")
    done = run("prior", "fetch", "small-16", "--accept-licence")
    assert done.exit_code == 1
    assert "--offline" in done.stderr
    assert server.asked == []


def test_licences_of_what_is_bundled() -> None:
    """`licences` names the terms of every file that comes along; none forbids commercial use."""
    found = json.loads(run("--json", "licences").stdout)
    files = {file["file"]: file for file in found["files"]}
    assert files["generator.safetensors"]["commercial"] is True
    assert files["faces/nets/mesh.onnx"]["licence"] == "Apache-2.0"
    assert all(file["commercial"] for file in found["files"])
    assert {file["licence"] for file in found["files"]} <= {licence["id"] for licence in found["licences"]}
    assert "no terms had to be accepted yet" in run("licences").stdout
