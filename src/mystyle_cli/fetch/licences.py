"""The terms of the files that are not ours, and which of them the user has accepted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from mystyle_cli import __version__
from mystyle_cli.errors import LicenceError, ModelError, MystyleError
from mystyle_cli.fetch.assets import COMPANIONS
from mystyle_cli.files.documents import Items, Record, Text
from mystyle_cli.files.parsing import json_of
from mystyle_cli.files.paths import home
from mystyle_cli.files.reading import read_file
from mystyle_cli.files.writing import lock_of, sweep, write_result
from mystyle_cli.prior.registry import Prior, bundled_priors, imported_priors, open_prior

LEDGER: Final = "licences.json"


@dataclass(frozen=True)
class Licence:
    """The terms of a file, in short and as a link to the whole."""

    id: str  # SPDX identifier, or a LicenseRef of ours where there is none
    title: str
    summary: str  # what it means for the user, in our words
    link: str
    commercial: bool

    @property
    def terms(self) -> str:
        """What a user is shown before accepting."""
        use = "commercial use is allowed" if self.commercial else "NO commercial use"
        return f"{self.title} ({use})\n{self.summary}\nThe whole text: {self.link}"


_ALL: Final = (
    Licence(
        "Apache-2.0",
        "Apache License 2.0",
        "Use, change and pass on freely; keep the notices.",
        "https://www.apache.org/licenses/LICENSE-2.0",
        True,
    ),
    Licence(
        "LicenseRef-NVIDIA-StyleGAN2-ADA",
        "NVIDIA Source Code License for StyleGAN2-ADA",
        "The generator, and everything derived from it, a person's tuned generator included, is for research "
        "and evaluation only.",
        "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html",
        False,
    ),
    Licence(
        "LicenseRef-NVIDIA-StyleGAN2",
        "Nvidia Source Code License-NC",
        "The generator, and everything derived from it, is for research and evaluation only.",
        "https://nvlabs.github.io/stylegan2/license.html",
        False,
    ),
    Licence(
        "LicenseRef-encoder-with-NVIDIA-generator",
        "MIT for the encoder's code; its file embeds NVIDIA's generator",
        "The file holds a copy of NVIDIA's generator and was trained against it, so the generator's terms "
        "are taken to hold for it too: research and evaluation only.",
        "https://nvlabs.github.io/stylegan2/license.html",
        False,
    ),
    Licence(
        "LicenseRef-ArcFace-MS1M",
        "MIT for the code of the ArcFace net; none is stated for its weights",
        "The net was trained on MS-Celeb-1M, which was given out for research only and was withdrawn.",
        "https://github.com/TreB1eN/InsightFace_Pytorch/blob/master/LICENSE",
        False,
    ),
    Licence(
        "LicenseRef-InsightFace-models",
        "InsightFace's terms for its trained models",
        "Trained models are for non-commercial research only.",
        "https://github.com/deepinsight/insightface#license",
        False,
    ),
    Licence(
        "BSD-3-Clause",
        "BSD 3-Clause (torchvision)",
        "Use, change and pass on freely; keep the notice. The net was trained on ImageNet, whose pictures "
        "have terms of their own.",
        "https://github.com/pytorch/vision/blob/main/LICENSE",
        True,
    ),
    Licence(
        "BSD-2-Clause",
        "BSD 2-Clause (lpips)",
        "Use, change and pass on freely; keep the notice.",
        "https://github.com/richzhang/PerceptualSimilarity/blob/master/LICENSE",
        True,
    ),
    Licence(
        "LicenseRef-FFHQ-directions",
        "Apache-2.0 or MIT for the repositories; derived from NVIDIA's generator",
        "The directions were found in the FFHQ generator, so its terms are taken to hold for them too: "
        "research and evaluation only.",
        "https://nvlabs.github.io/stylegan2/license.html",
        False,
    ),
    Licence(
        "CC0-1.0",
        "Public domain (CC0)",
        "Use, change and pass on freely.",
        "https://github.com/davisking/dlib-models/blob/master/LICENSE",
        True,
    ),
)

LICENCES: Final[Mapping[str, Licence]] = MappingProxyType({licence.id: licence for licence in _ALL})

# asked for terms that were not accepted yet; answers whether the user accepts all of them
Accept = Callable[[Sequence[Licence]], bool]


@dataclass(frozen=True)
class Acceptance:
    """One line of the ledger."""

    licence: str
    title: str
    terms: str  # sha256 of what was shown, so that changed terms are asked for again
    prior: str
    files: tuple[str, ...]
    accepted: str  # when (ISO 8601, UTC)
    version: str


LARGEST_LEDGER: Final = 16 << 20  # bytes of the largest record that is read
_LEDGER: Final = Record(
    {
        "accepted": Items(
            Record(
                {
                    **{part.name: Text(1000) for part in fields(Acceptance) if part.name != "files"},
                    "files": Items(Text(1000)),
                }
            )
        )
    }
)


def ledger_path() -> Path:
    """Return where the record of accepted licences is kept."""
    return home() / LEDGER


def read_ledger() -> list[Acceptance]:
    """Return what was accepted, oldest first; raises LicenceError where the ledger is damaged."""
    path = ledger_path()
    try:
        entries = _LEDGER.read(json_of(read_file(path, LARGEST_LEDGER)))["accepted"]
        return [Acceptance(**{**entry, "files": tuple(entry["files"])}) for entry in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LicenceError(
            f"{path}, the record of accepted licences, cannot be read: {reason}",
            "Move the file away and accept the licences again.",
        ) from error


def accept_licences(prior: str, files: Mapping[str, str], accept: Accept) -> list[Acceptance]:
    """Make sure that the terms of files are accepted, asking for those that were not yet.

    Args:
        files: the id of its licence for each file's name.
        accept: asked once for all terms that are new.

    Returns:
        What was newly noted in the ledger.

    Raises:
        LicenceError: the terms were not accepted, or the ledger is damaged or cannot be written.
    """
    known = {(entry.licence, entry.terms) for entry in read_ledger()}
    needed = [LICENCES[key] for key in dict.fromkeys(files.values())]
    new = [licence for licence in needed if (licence.id, _digest(licence)) not in known]
    if new and not accept(new):
        raise LicenceError(
            f"the terms of {', '.join(files_under(files, new))} were not accepted",
            "Read them above; to accept them, give the command with --accept-licence.",
        )
    return _note(prior, files, needed)


def _note(prior: str, files: Mapping[str, str], licences: Sequence[Licence]) -> list[Acceptance]:
    """Add what was accepted to the ledger, unless it says so already; return what was added."""
    path = ledger_path()
    with _writing(path), lock_of(path.with_name(f".{path.name}.lock")):
        sweep(path.parent)
        ledger = read_ledger()  # again, for another command may have written meanwhile
        noted = {(entry.licence, entry.terms, entry.prior, file) for entry in ledger for file in entry.files}
        added = []
        for licence in licences:
            mark = (licence.id, _digest(licence), prior)
            names = tuple(file for file in files_under(files, [licence]) if (*mark, file) not in noted)
            if names:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                added.append(Acceptance(licence.id, licence.title, mark[1], prior, names, now, __version__))
        if added:
            _write(path, [*ledger, *added])
    return added


def files_under(files: Mapping[str, str], licences: Iterable[Licence]) -> list[str]:
    """Return the names of the files that come under any of some licences."""
    ids = {licence.id for licence in licences}
    return [file for file, key in files.items() if key in ids]


def _digest(licence: Licence) -> str:
    return hashlib.sha256(licence.terms.encode()).hexdigest()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise MystyleError(
            f"{path} cannot be written: {error.strerror}",
            "Free some space or check the folder's permissions.",
        ) from error


def _write(path: Path, entries: Sequence[Acceptance]) -> None:
    document: dict[str, Any] = {"format": 1, "accepted": [asdict(entry) for entry in entries]}
    write_result(path, (json.dumps(document, indent=2) + "\n").encode())


@dataclass(frozen=True)
class Notice:
    """The terms of one file."""

    place: str  # what it belongs to: a prior or a package
    file: str
    licence: str  # id of its licence, "" when none was noted
    used_for: str  # a role of a prior, or what mystyle does with the file

    @property
    def commercial(self) -> bool | None:
        """Whether commercial use is allowed; None when the licence is not known here."""
        licence = LICENCES.get(self.licence)
        return licence.commercial if licence else None


def notices() -> list[Notice]:
    """Return the terms of every model file, bundled priors first; a damaged prior is left out."""
    terms = []
    for name in bundled_priors():
        terms += _of_prior(open_prior(name), "bundled prior")
    terms += [
        Notice(f"package {companion.package}", companion.file, companion.licence, companion.used_for)
        for companion in COMPANIONS
    ]
    for name in imported_priors():
        try:
            terms += _of_prior(open_prior(name), "prior")
        except ModelError:
            continue  # `mystyle doctor` tells of it
    return terms


def _of_prior(prior: Prior, kind: str) -> list[Notice]:
    entries = {**prior.metadata["roles"], **prior.metadata.get("directions", {})}
    return [
        Notice(f"{kind} {prior.name}", entry["file"], str(entry.get("licence", "")), use)
        for use, entry in entries.items()
    ]
