"""`mystyle invert`, `inpaint`, `upscale` and `restore`: photos in, repaired photos out (sec. 3.3, 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.batch.asking import (
    Ask,
    RepairOptions,
    WhereOptions,
    repair_options,
    where_options,
)
from mystyle_cli.batch.batch import open_batch
from mystyle_cli.batch.companions import landmark_companions
from mystyle_cli.batch.subjects import SubjectReader
from mystyle_cli.config import BETA_INPAINT, BETA_INVERT, BETA_RESTORE, BETA_UPSCALE
from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.app import App, Command, Unused, pass_app
from mystyle_cli.terminal.options import (
    BatchOptions,
    batch_options,
    bundle,
    profile_argument,
    warn_unbounded,
    watch_option,
    who_option,
)
from mystyle_cli.terminal.outputs import Originals
from mystyle_cli.terminal.searching import (
    UNUSED,
    QualityOptions,
    SearchOptions,
    quality_options,
    save_codes_option,
    search_options,
    settings_of,
)
from mystyle_cli.work.clips import are_clips, run_clips
from mystyle_cli.work.everyone import ONE_ONLY, run_everyone
from mystyle_cli.work.restoring import OpenRestoring

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile


keep_code_option: Final = click.option(
    "--keep-code",
    is_flag=True,
    help="Keep the photo's code in the result, so that `mystyle verify` can draw it again. It says how the "
    "profile's photos are mixed, and holds the photo's digest. Keeps to --space p+, unless told.",
)


@dataclass(frozen=True)
class CodeOptions:
    """Where photos' codes are kept."""

    folder: Path | None  # one file for each photo there, or None
    keep_code: bool  # in the results


code_options: Final = bundle("codes", CodeOptions, (save_codes_option, keep_code_option))

UNMARKED: Final = Unused(
    ("keep_code",),
    lambda values: values["no_mark"],
    "with --no-mark nothing is written into results",
    "Leave out one of --keep-code and --no-mark.",
)

MASKED: Final = Unused(
    ("scratches",),
    lambda values: values["mask"] is not None,
    "with --mask nothing else is taken for a scratch",
    "Leave out one of --scratches and --mask.",
)

LONGEST: Final = 60_000  # characters of a code that a JPEG has room for; its record ends at 65 533 bytes


def refuse_long_codes(profile: Profile, batch: BatchOptions) -> None:
    """Refuse to keep a code in a JPEG that has no room for it; raises UsageError."""
    endings = (f".{batch.format_name}", Path(batch.output or "").suffix.lower())
    photos = len(profile.photos())
    # a coefficient has 8 bytes, three of them 4 characters
    characters = photos * profile.manifest.prior.num_ws * 8 * 4 / 3
    if characters > LONGEST and {".jpg", ".jpeg"} & set(endings):
        raise UsageError(
            f"--keep-code: a JPEG has no room for a code of {photos} photos", "Use --format png or webp."
        )


def run_restore(
    app: App, name: str | None, ask: Ask, batch: BatchOptions, search: SearchOptions, codes: CodeOptions
) -> int:
    """Restore all inputs of a command, and keep their codes where that is wanted; returns the exit code.

    Args:
        name: the profile; None for everybody of the store.
    """
    from mystyle_cli.projection.settings import HULL
    from mystyle_cli.restore.task import refuse_variants
    from mystyle_cli.store.found import found

    if ask.task in ("restore", "upscale") and are_clips(batch.inputs):
        kept = codes.folder is not None or codes.keep_code
        return run_clips(app, name, ask, batch, search, codes=kept)
    if name is None:
        return run_everyone(app, ask, batch, search)
    if (codes.folder is not None or codes.keep_code) and search.space not in (None, *HULL):
        raise UsageError("only codes of the person's own space are saved", "Use --space p+, p or near.")
    if ask.variants > 1:
        refuse_variants(ask.quality, search.space or "p+")
    warn_unbounded(app.console, search.beta)
    if codes.keep_code and search.space is None:
        search = replace(search, space="p+")  # its numbers mean nothing to who has not the profile
    profile = search.whom(app.profiles().open(name))
    if codes.keep_code:
        refuse_long_codes(profile, batch)
    beside = (search.landmarks, ask.masks.path if ask.masks else None)
    originals = Originals.of([profile.path, *(path for path in beside if path is not None)])

    settings = ask.applied(settings_of(app, ask.task, batch, search, ask.quality, varied=ask.variants > 1))
    landmarks = landmark_companions(search.landmarks)
    reader = SubjectReader(ask.masks, landmarks, ask.region, transparent=ask.task == "inpaint")
    opening = OpenRestoring(found(profile), app.device, ask.task, settings, reader, codes.keep_code)
    watch = ask.watching(app.console, batch, name, search, codes)
    asked = ask.asked(app, batch, settings, [opening.profile], search, codes)
    with open_batch(
        app.console,
        batch,
        ask.task,
        originals,
        codes.folder,
        watch=watch,
        variants=ask.variants,
        asked=asked,
    ) as inputs:
        inputs.work(opening)
    return inputs.exit_code


@click.command(
    "upscale",
    cls=Command,
    unused=(*UNUSED, UNMARKED, ONE_ONLY),
    examples=(
        "mystyle upscale adele in.png --beta 0.05",
        "mystyle upscale adele album --recursive -o large",
        "mystyle upscale --who all group.png -o out.png     # everybody of whom there is a profile",
        "mystyle upscale adele - < in.png > out.png",
        "mystyle upscale adele inbox --watch -o large     # photos as they come, until Ctrl-C",
        "mystyle upscale adele in.png --instant     # at once, or --quality fast",
        "mystyle upscale adele far.mov -o near.mov     # a clip, with its sound (pip install av)",
        "mystyle upscale adele in.png -o out.png --variants 5     # how sure? out-1.png ... out-open.png",
    ),
)
@profile_argument
@who_option
@batch_options
@watch_option
@quality_options
@code_options
@search_options(BETA_UPSCALE)
@pass_app
def upscale(
    app: App,
    name: str,
    who: str | None,
    batch: BatchOptions,
    watch: bool,
    quality: QualityOptions,
    codes: CodeOptions,
    search: SearchOptions,
) -> int:
    """Enlarge photos of the person.

    How many times follows from the size of the face in the photo: it becomes as large as the profile's
    generator draws. Around the face the photo is enlarged by Lanczos; behind it, too, if the profile's prior
    has a matte net, which tells the person from what is behind them.
    """
    return run_restore(
        app,
        None if who else name,
        Ask("upscale", quality.chosen, watch=watch).varied(quality.variants),
        batch,
        search,
        codes,
    )


@click.command(
    "inpaint",
    cls=Command,
    unused=(*UNUSED, UNMARKED, ONE_ONLY),
    examples=(
        "mystyle inpaint adele in.png --mask hole.png -o out.png",
        "mystyle inpaint adele in.png --part glasses -o without.png",
        "mystyle inpaint adele in.png --part face --except eyes --box 40,30,120,16",
        "mystyle inpaint --who all group.png --part glasses -o without.png",
        "mystyle inpaint adele album --mask masks -o filled     # masks/a.png for album/a.jpg",
        "mystyle inpaint adele in.png --part eyes --variants 5 -o eyes.png     # eyes-1.png, eyes-2.png ...",
        "mystyle inpaint adele in.png --mask hole.png --instant     # at once, or --quality fast",
    ),
)
@profile_argument
@who_option
@batch_options
@where_options
@quality_options
@code_options
@search_options(BETA_INPAINT)
@pass_app
def inpaint(
    app: App,
    name: str,
    who: str | None,
    batch: BatchOptions,
    where: WhereOptions,
    quality: QualityOptions,
    codes: CodeOptions,
    search: SearchOptions,
) -> int:
    """Fill in the hidden part of photos of the person.

    Where that is, say with --mask, --part and --box together or alone; without them it is what is transparent
    in the photo. Nothing else changes, not by one bit.
    """
    return run_restore(
        app, None if who else name, where.ask(quality.chosen).varied(quality.variants), batch, search, codes
    )


@click.command(
    "invert",
    cls=Command,
    unused=(*UNUSED, UNMARKED),
    examples=(
        "mystyle invert adele in.jpg -o out.png",
        "mystyle invert adele album -r -o inverted --beta 0.1",
        "mystyle invert adele in.jpg -o out.png --save-codes codes   # then: edit adele in.jpg --codes codes",
    ),
)
@profile_argument
@batch_options
@code_options
@search_options(BETA_INVERT)
@pass_app
def invert(app: App, name: str, batch: BatchOptions, codes: CodeOptions, search: SearchOptions) -> int:
    """Reproduce photos inside the person's own space.

    Shows what the profile can express: the closer to the photo, the better it knows the person.
    """
    return run_restore(app, name, Ask("invert"), batch, search, codes)


@click.command(
    "restore",
    cls=Command,
    unused=(*UNUSED, ONE_ONLY, MASKED),
    examples=(
        "mystyle restore adele old.jpg -o new.png",
        "mystyle restore adele frame.png --blur 3 --noise 8 --jpeg 40 --scale 4     # what you know of it",
        "mystyle restore adele scan.png --mask scratches.png --keep-tone",
        "mystyle restore adele old.jpg -o new.png --variants 5     # how sure? new-1.png ... new-open.png",
        "mystyle restore adele album -r -o restored --quality fast",
        "mystyle restore adele inbox --watch -o restored     # photos as they come, until Ctrl-C",
        "mystyle restore adele party.mp4 -o better.mp4     # a clip, with its sound (pip install av)",
        "mystyle restore --who all group.png -o out.png     # everybody of whom there is a profile",
    ),
)
@profile_argument
@who_option
@batch_options
@watch_option
@repair_options
@quality_options
@save_codes_option
@search_options(BETA_RESTORE)
@pass_app
def restore(
    app: App,
    name: str,
    who: str | None,
    batch: BatchOptions,
    watch: bool,
    repair: RepairOptions,
    quality: QualityOptions,
    folder: Path | None,
    search: SearchOptions,
) -> int:
    """Repair blurred, noisy or grey photos of the person.

    What a photo suffered is estimated from its own pixels, and said; what you know of it you can give. What
    the photo does hold of the face stays: one without damage comes out as it was. A face smaller than the
    profile's generator draws makes the photo larger, as in upscale.
    """
    codes = CodeOptions(folder, keep_code=False)
    return run_restore(
        app,
        None if who else name,
        replace(repair.ask(quality.chosen).varied(quality.variants), watch=watch),
        batch,
        search,
        codes,
    )
