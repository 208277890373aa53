"""A prior made of public files: which are there, which are to be downloaded, and the prior from them."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mystyle_cli.errors import DownloadError, ModelError, MystyleError, UsageError
from mystyle_cli.fetch.assets import Asset, Recipe
from mystyle_cli.fetch.download import DownloadSettings, download, forget_part, how_by_hand, verify
from mystyle_cli.fetch.licences import accept_licences
from mystyle_cli.files.paths import home, nearest
from mystyle_cli.files.writing import lock_of, move_in_place, open_own, sweep
from mystyle_cli.prior.registry import imported_priors, open_prior, sha256_of

LOCK: Final = ".lock"

State = Literal["given", "here", "missing"]  # in the user's folder, downloaded before, or not on this machine


@dataclass(frozen=True)
class Item:
    """A file of the prior to be."""

    asset: Asset
    state: State
    path: Path
    arrived: int = 0  # bytes of it that an earlier, interrupted download left

    @property
    def left(self) -> int:
        """Bytes that are to be downloaded."""
        return max(0, self.asset.planned - self.arrived) if self.state == "missing" else 0


@dataclass(frozen=True)
class Plan:
    """What fetching a prior would do."""

    recipe: Recipe
    items: tuple[Item, ...]
    free: int  # bytes free where downloads and priors are kept

    @property
    def to_download(self) -> int:
        """Bytes that would be downloaded."""
        return sum(item.left for item in self.items)

    @property
    def needed(self) -> int:
        """Bytes of disk: for what is downloaded, and at most as much as all files again for the prior."""
        return self.to_download + sum(item.asset.planned for item in self.items)

    @property
    def licences(self) -> dict[str, str]:
        """The id of its licence for each file."""
        return {item.asset.file: item.asset.licence for item in self.items}


def downloads() -> Path:
    """Return the folder that downloaded files are kept in."""
    return home() / "downloads"


def make_plan(
    recipe: Recipe, chosen: Sequence[Asset], given: Path | None, settings: DownloadSettings
) -> Plan:
    """Find out which of the chosen files are there; nothing is written and no connection is made.

    Raises:
        UsageError: the given folder does not exist.
    """
    recognised = recognise(recipe, given, settings) if given is not None else {}
    for file in recognised.keys() - {asset.file for asset in chosen}:
        settings.notify(f"{recognised[file]} is not used; to take it: --use {file}")
    items = []
    for asset in chosen:
        kept = downloads() / asset.file
        if asset.file in recognised:
            items.append(Item(asset, "given", recognised[asset.file]))
        elif kept.is_file():
            items.append(Item(asset, "here", kept))
        else:
            part = kept.with_name(f"{kept.name}.part")
            items.append(Item(asset, "missing", kept, part.stat().st_size if part.exists() else 0))
    return Plan(recipe, tuple(items), shutil.disk_usage(nearest(home())).free)


def recognise(recipe: Recipe, folder: Path, settings: DownloadSettings) -> dict[str, Path]:
    """Find assets among the files of a folder: by digest, else by name and size with a warning.

    Returns the path for the name of each asset that is there.

    Raises:
        UsageError: the folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "Give the folder that holds what you downloaded.")
    recognised: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        likely = [asset for asset in recipe.assets if size == asset.size or path.name in _names(asset)]
        strange = [stranger for stranger in recipe.strangers if stranger.size == size]
        if not likely and not strange:
            continue
        digest = sha256_of(path)
        for asset in likely:
            if digest in (asset.sha256, asset.member_sha256):
                recognised[asset.file] = path
        for stranger in strange:
            if digest == stranger.sha256:
                settings.notify(f"{path} is not used: {stranger.advice}")
        unknown = [asset for asset in likely if asset.file == path.name and asset.file not in recognised]
        if path not in recognised.values() and unknown and _by_name(path, digest, unknown[0], settings):
            recognised[path.name] = path
    return recognised


def _names(asset: Asset) -> tuple[str, ...]:
    return tuple(name for name in (asset.file, asset.member) if name)


def _by_name(path: Path, digest: str, asset: Asset, settings: DownloadSettings) -> bool:
    """Tell, and say, whether a file of an asset's name is taken, whose digest is not the noted one.

    It is if its size is right and its authors publish no digest, or on the user's word.
    """
    size = path.stat().st_size
    if digest in settings.trusted or (size == (asset.size or size) and asset.digest_of != "authors"):
        noted = f", not {asset.sha256}" if asset.sha256 else ""
        settings.notify(f"{path} is taken by its name and size; its sha256 is {digest}{noted}")
        return True
    settings.notify(
        f"{path} is not used: it has {size} bytes and the sha256 {digest}, "
        f"not {asset.size} bytes and {asset.sha256}; if you trust it: --trust-digest {digest}"
    )
    return False


def prior_is_there(name: str) -> Path | None:
    """Return the folder of a prior that was fetched or imported before and is sound."""
    if name not in imported_priors():
        return None
    prior = open_prior(name)
    return None if prior.verify() else prior.path


def fetch_prior(plan: Plan, settings: DownloadSettings, *, offline: bool = False) -> Path:
    """Download what is missing, make the prior and return its folder; `accept_licences` was asked before.

    Raises:
        LicenceError: the terms were not accepted.
        DownloadError: files are missing, with what to do for each.
        ModelError: a file is not what it should be.
        MystyleError: the disk is full, or another command is fetching.
    """
    # nothing is asked here: new terms refuse
    accept_licences(plan.recipe.name, plan.licences, lambda new: False)
    with _alone():
        if not offline:
            _need_room(plan)
        items = [_usable(item) for item in _all_there(plan, settings, offline)]
        return _make_prior(plan.recipe.name, items, settings)


def _make_prior(name: str, items: Sequence[Item], settings: DownloadSettings) -> Path:
    """Convert files to a prior's folder and return it; a damaged one of that name is replaced."""
    from mystyle_cli.foreign.importing import import_prior
    from mystyle_cli.foreign.making import Parts

    paths = {item.asset.role: item.path for item in items}
    imported = import_prior(
        name,
        Parts(
            generator=paths["generator"],
            encoder=paths.get("encoder"),
            identity=paths.get("identity"),
            perceptual=paths.get("perceptual"),
            directions=[(item.asset.title, item.path) for item in items if item.asset.role == "directions"],
            licences={item.path.name: item.asset.licence for item in items},
            sources={item.path.name: item.asset.page for item in items},
        ),
        overwrite=True,
        progress=settings.progress,
    )
    for note in imported.notes:
        settings.notify(note)
    return imported.path


@contextmanager
def _alone() -> Iterator[None]:
    """Keep a second fetch out of the downloads."""
    from filelock import Timeout

    downloads().mkdir(parents=True, exist_ok=True)
    try:
        with lock_of(downloads() / LOCK).acquire(timeout=0.2):
            sweep(downloads())
            yield
    except Timeout as error:
        raise MystyleError(
            f"another command is fetching into {downloads()}", "Wait until it has ended."
        ) from error


def _need_room(plan: Plan) -> None:
    if plan.needed > plan.free:
        raise MystyleError(
            f"{plan.recipe.name} needs about {plan.needed / 1e9:.1f} GB in {home()}, "
            f"where {plan.free / 1e9:.1f} GB are free",
            "Free some space, or set MYSTYLE_HOME to a folder on another disk.",
        )


def _all_there(plan: Plan, settings: DownloadSettings, offline: bool) -> list[Item]:
    """Return the files, downloaded where they were missing; extras that cannot be had are left out."""
    there: list[Item] = []
    failures: dict[Asset, MystyleError] = {}
    for item in plan.items:
        try:
            there.append(_obtain(item, settings, offline))
        except (DownloadError, ModelError) as error:
            if item.asset.extra:
                settings.notify(f"{error.message}; going on without it")
            else:
                failures[item.asset] = error
    if failures:
        raise _cannot_be_had(failures)
    return there


def _obtain(item: Item, settings: DownloadSettings, offline: bool) -> Item:
    asset = item.asset
    if item.state == "given":
        return item  # recognised by its digest a moment ago, or taken with a warning
    if item.state == "here":
        try:
            verify(asset, item.path, settings)
            forget_part(item.path)
            return item
        except ModelError as error:
            settings.notify(f"{error.message}; downloading it again")
            item.path.unlink()
    if offline:
        raise DownloadError(
            f"{asset.file} is not here, and --offline allows no connection", how_by_hand(asset)
        )
    return Item(asset, "here", download(asset, downloads(), settings))


def _cannot_be_had(failures: Mapping[Asset, MystyleError]) -> MystyleError:
    wrong = [error for error in failures.values() if isinstance(error, ModelError)]
    absent = [asset for asset, error in failures.items() if error not in wrong]
    roles = dict.fromkeys(asset.role for asset in failures if asset.role != "generator")
    hints = [error.hint for error in wrong]
    if absent:
        hints.append(how_by_hand(*absent))
    if roles:
        without = " ".join(f"--without {role}" for role in roles)
        hints.append(f"What has been downloaded is kept. To do without: {without}.")
    return (ModelError if wrong else DownloadError)(
        "\n".join(error.message for error in failures.values()), "\n  ".join(hints)
    )


def _usable(item: Item) -> Item:
    """Return the file that is read in the end: an asset itself, or the member of an archive that is used."""
    asset = item.asset
    if not asset.member or item.path.suffix != ".zip":
        return item
    target = downloads() / asset.member
    part = target.with_name(f"{target.name}.part")
    try:
        with zipfile.ZipFile(item.path) as archive:
            # its folders do not count
            name = next(name for name in archive.namelist() if Path(name).name == asset.member)
            with archive.open(name) as source, open_own(part, "wb") as stream:
                shutil.copyfileobj(source, stream)
                stream.flush()
                os.fsync(stream.fileno())
        digest = sha256_of(part)
        if digest != asset.member_sha256:
            raise ModelError(
                f"{asset.member} in {item.path} has the sha256 {digest}, not {asset.member_sha256}"
            )
        move_in_place(part, target)
    except (StopIteration, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{item.path} holds no {asset.member} that can be read", "Remove the file and fetch it again."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Item(asset, item.state, target)
