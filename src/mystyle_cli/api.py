"""The Python API: a person's profile with everything that the commands do, as methods.

adele = mystyle_cli.open_profile("adele")
adele.upscale("small.jpg", beta=0.05).pixels     # uint8 (H, W, 3), the whole photo
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mystyle_cli.config import BETA_EDIT, BETA_INPAINT, BETA_INVERT, BETA_RESTORE, BETA_UPSCALE
from mystyle_cli.errors import UsageError
from mystyle_cli.person.profile import Profile
from mystyle_cli.progress import Progress, silent

if TYPE_CHECKING:
    from mystyle_cli.edit.edit import AtLimit
    from mystyle_cli.edit.photos import EditedPhoto, EditTask
    from mystyle_cli.edit.refined import Refiner
    from mystyle_cli.errors import MystyleError
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.find.region import Region
    from mystyle_cli.group.group import Group, GroupRestoration
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.settings import SpaceName
    from mystyle_cli.restore.task import Dilation, Quality, Restoration, RestoreSettings, TaskName
    from mystyle_cli.sample.rendering import Backend
    from mystyle_cli.sample.samples import Sampler, Samples
    from mystyle_cli.video.video import ClipTask, MadeClip

    Picture: TypeAlias = Photo | Path | str | bytes | Pixels


class Person(Profile):
    """A profile that works on photos. Each method takes one whole photo and gives one whole photo back.

    A photo is decoded already, or its path, its file's bytes, or pixels uint8 (H, W, 3). Options of all
    methods: `beta`, the dilation of the person's space (None = unbounded, "auto" = as the profile's own
    held-out photos advise); `year`, in which the person is to be shown, where photos say when they were
    taken; `quality`, "full", "fast" or "instant", which needs no torch and takes a fixed number of steps;
    `variants`, how many answers that explain the photo equally well, drawn with `seed` (see
    `Restoration.others` and `openness`); `steps`, Adam steps at most (None = the default); `aligned`, the
    photo is an aligned crop; `force`, go on although the face is not this person's; `device`, as `--device`
    takes it (None = where the person is, see `on`; the CPU at first). `restore` and `edit_photos` take many
    photos at once. Of several people (`profile merge`) each photo's own is found, as told in `person`; `one`
    says whom.
    """

    def check(self) -> None:
        """Use everything once.

        Raises:
            MystyleError: something is missing or damaged or does not fit.
        """
        from mystyle_cli.store.check import refuse_unusable

        refuse_unusable(self)

    def upscale(
        self,
        photo: Picture,
        *,
        beta: Dilation = BETA_UPSCALE,
        year: int | None = None,
        variants: int = 1,
        seed: int | None = None,
        quality: Quality = "full",
        steps: int | None = None,
        space: SpaceName | None = None,
        aligned: bool = False,
        force: bool = False,
        device: str | None = None,
        progress: Progress = silent,
    ) -> Restoration:
        """Enlarge a small photo.

        Raises:
            FaceError: there is no face, or it is not this person's.
            DecodeError: it is not a picture.
            ProfileError: the profile is not tuned, or damaged.

        Source: sec. 3.3, 5.2.2.
        """
        settings = _settings("upscale", beta, year, steps, aligned, force, quality, variants, seed, space)
        return self._placed(device)._restore("upscale", _subject(photo, None), settings, progress)

    def inpaint(
        self,
        photo: Picture,
        mask: Pixels | Region,
        *,
        beta: Dilation = BETA_INPAINT,
        year: int | None = None,
        variants: int = 1,
        seed: int | None = None,
        quality: Quality = "full",
        steps: int | None = None,
        space: SpaceName | None = None,
        aligned: bool = False,
        force: bool = False,
        device: str | None = None,
        progress: Progress = silent,
    ) -> Restoration:
        """Fill the masked part of a photo; raises as `upscale` does.

        Args:
            mask: uint8 (H, W) of its size, 255 = fill; or parts of the face and boxes.

        Source: sec. 3.3, 5.2.1.
        """
        settings = _settings("inpaint", beta, year, steps, aligned, force, quality, variants, seed, space)
        return self._placed(device)._restore("inpaint", _subject(photo, mask), settings, progress)

    def restore(
        self,
        photo: Picture,
        mask: Pixels | None = None,
        *,
        blur: float | None = None,
        noise: float | None = None,
        jpeg: int | None = None,
        scale: float | None = None,
        scratches: bool = True,
        keep_tone: bool | None = None,
        grain: bool | None = None,
        beta: Dilation = BETA_RESTORE,
        year: int | None = None,
        variants: int = 1,
        seed: int | None = None,
        quality: Quality = "full",
        steps: int | None = None,
        space: SpaceName | None = None,
        aligned: bool = False,
        force: bool = False,
        device: str | None = None,
        progress: Progress = silent,
    ) -> Restoration:
        """Repair a blurred, noisy, compressed, grey or scratched photo; raises as `upscale` does.

        Args:
            mask: uint8 (H, W) of its size, 255 where it is scratched.
            blur: standard deviation in the photo's pixels; this and the next are estimated where None.
            noise: standard deviation, of 255.
            jpeg: quality, 0 for none.
            scale: how many times it was enlarged after all that.
            scratches: look for scratches and fill them, where there is no mask.
            keep_tone: leave a grey or toned photo so; None: where it shows more than a face.
            grain: give the face the photo's noise again; None: unless it is a crop.
        """
        from mystyle_cli.restore.estimates import Known

        settings = _settings("restore", beta, year, steps, aligned, force, quality, variants, seed, space)
        known = Known(blur, noise, jpeg, scale)
        settings = replace(settings, known=known, scratches=scratches, keep_tone=keep_tone, grain=grain)
        return self._placed(device)._restore("restore", _subject(photo, mask), settings, progress)

    def restore_clip(
        self,
        source: Path | str,
        target: Path | str,
        *,
        task: ClipTask = "restore",
        blur: float | None = None,
        noise: float | None = None,
        scale: float | None = None,
        keep_tone: bool | None = None,
        grain: bool | None = None,
        beta: Dilation = BETA_RESTORE,
        year: int | None = None,
        quality: Quality = "full",
        steps: int | None = None,
        space: SpaceName | None = None,
        force: bool = False,
        device: str | None = None,
        progress: Progress = silent,
    ) -> MadeClip:
        """Restore the person through a clip, or enlarge them; other frames, other people and the sound stay.

        Args:
            source: the clip.
            target: the file that is written, .mp4, .mov or .mkv, whole or not at all; not the clip itself.
            task: "restore", or "upscale", which takes blur and noise for the clip's own.
            blur, noise, scale, keep_tone, grain: as in `restore`, for all frames alike.

        Raises:
            DecodeError: it is no clip that can be read.
            FaceError: no face in it is this person's.
            ProfileError: the profile is not tuned, or damaged.
            UsageError: the target has no room for the sound, or an option does nothing for the task.
        """
        from mystyle_cli.restore.engine import open_engine
        from mystyle_cli.restore.estimates import Known
        from mystyle_cli.video.video import SPACE, restore_clip

        settings = _settings(task, beta, year, steps, False, force, quality, space=space or SPACE)
        known = Known(blur, noise, None, scale)
        settings = replace(settings, known=known, keep_tone=keep_tone, grain=grain)
        engine = open_engine(self._placed(device), settings)
        return restore_clip(engine, Path(source), Path(target), task, progress=progress)

    def invert(
        self,
        photo: Picture,
        *,
        beta: Dilation = BETA_INVERT,
        year: int | None = None,
        steps: int | None = None,
        aligned: bool = False,
        force: bool = False,
        device: str | None = None,
        progress: Progress = silent,
    ) -> Restoration:
        """Find a photo's code in the person's space, and what it looks like there; raises as `upscale` does.

        Source: sec. 3.3.
        """
        settings = _settings("invert", beta, year, steps, aligned, force)
        return self._placed(device)._restore("invert", _subject(photo, None), settings, progress)

    def edit(
        self,
        photo: Picture,
        strengths: Mapping[str, float],
        *,
        beta: Dilation = BETA_EDIT,
        year: int | None = None,
        at_limit: AtLimit = "project",
        code: Path | str | None = None,
        refine: bool = False,
        backend: Backend = "auto",
        steps: int | None = None,
        aligned: bool = False,
        force: bool = False,
        device: str | None = None,
        progress: Progress = silent,
    ) -> EditedPhoto:
        """Change a photo along directions such as {"smile": 1.0, "yaw": -0.5}; raises as `upscale` does.

        Args:
            strengths: by a direction's name or file.
            beta: dilation that the edit may use, None = unbounded; "auto" takes the one for inversion.
            at_limit: what to do where more would be needed: "stop", "project" or "continue".
            code: what `save_code` kept of this photo; nothing is searched then, and `steps`, `aligned`,
                `force` and `year` are refused.
            refine: tune the generator on the photo first, so that the edit keeps the photo's own details;
                what comes of it is kept in the profile for the next edit of the photo.
            backend: what renders; a search and refining need "torch", with a saved code "auto" takes the
                export if it is up to date.

        Source: sec. 3.4, app. B.4.
        """
        from mystyle_cli.edit.directions import find_direction
        from mystyle_cli.edit.photos import EditTask, check_backend, edit_photos, settings_for
        from mystyle_cli.restore.task import RestoreSettings

        person = self._placed(device)
        check_backend(backend, code is not None, refine)
        if code is not None and (steps is not None or aligned or force or year is not None):
            raise UsageError(
                "a saved code is not searched again", "Leave out steps, aligned, force and year."
            )
        directions = [(find_direction(self.prior, name), value) for name, value in strengths.items()]
        refiner = person._refiner() if refine else None
        if code is not None:
            task = EditTask([directions], settings_for(beta, at_limit, RestoreSettings()), refiner)
            return person._edit_saved(_subject(photo, None), Path(code), task, backend, progress)
        settings = settings_for(beta, at_limit, _settings("invert", beta, year, steps, aligned, force))
        (result,) = edit_photos(person, [_subject(photo, None)], [directions], settings, progress, refiner)
        if result.error is not None:
            raise result.error
        return result

    def _refiner(self) -> Refiner:
        from mystyle_cli.edit.refined import Refiner
        from mystyle_cli.store.refined import KeptRefinements

        return Refiner(self, KeptRefinements(self))

    def _edit_saved(
        self, subject: Subject, code: Path, task: EditTask, backend: Backend, progress: Progress
    ) -> EditedPhoto:
        from mystyle_cli.edit.photos import edit_saved
        from mystyle_cli.restore.saved import load_code
        from mystyle_cli.sample.rendering import open_renderer

        renderer, saved = open_renderer(self, backend), load_code(code, self)
        return edit_saved(self.one(saved.person or None), renderer, subject, saved, task, progress)

    def save_code(self, found: Restoration, path: Path | str, *, aligned: bool = False) -> None:
        """Keep an inverted, inpainted or upscaled photo's code as .safetensors, to edit it without a search.

        Raises:
            ProfileError: the file cannot be written.
        """
        from mystyle_cli.restore.saved import save_code

        save_code(Path(path), self, found, aligned=aligned)

    def sample(
        self,
        seeds: int | Sequence[int],
        *,
        sampler: Sampler = "anchors",
        beta: float = 0.0,
        year: int | None = None,
        device: str | None = None,
        backend: Backend = "auto",
        progress: Progress = silent,
    ) -> Samples:
        """Draw new pictures of the person.

        Args:
            seeds: one picture for each; a number n stands for the seeds 0 to n - 1.
            sampler: "anchors" mixes three anchors, "uniform" draws from the whole of A_beta.
            beta: dilation for "uniform".
            year: only the photos nearest to it are mixed.
            backend: "onnx" renders without torch; "auto" does where the profile's export is up to date.

        Source: app. B.1.
        """
        from mystyle_cli.sample.samples import draw

        chosen = range(seeds) if isinstance(seeds, int) else seeds
        person = self._placed(device)
        return draw(person, list(chosen), sampler, beta, progress=progress, backend=backend, year=year)

    def _placed(self, device: str | None) -> Person:
        """Return the person with their nets on a device; None leaves them where they are."""
        if device is None:
            return self
        from mystyle_cli.nets.device import Device

        return self.on(Device(device))

    def _restore(
        self, task: TaskName, subject: Subject, settings: RestoreSettings, progress: Progress
    ) -> Restoration:
        from mystyle_cli.restore.restore import restore

        (result,) = restore(self, [subject], task, settings, progress)
        if result.error is not None:
            raise result.error
        return result


class People:
    """Everybody of a store, for photos that show several of them: each known face by its own profile.

    Each profile is opened once for all photos, as long as there is memory. The methods are those of `Person`
    with the same options; `force` works also on faces that are in doubt. A photo on which nobody is known
    raises, and what became of each face says `faces` of the result.

    Args:
        profiles: of one person or several each; see `open_people`.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = tuple(profiles)
        self._asked: tuple[TaskName, RestoreSettings] | None = None
        self._group: Group | None = None

    @property
    def left_out(self) -> Mapping[str, MystyleError]:
        """The profiles that turned out damaged in the last call, and why."""
        return {} if self._group is None else self._group.gone

    def upscale(
        self,
        photo: Picture,
        *,
        beta: Dilation = BETA_UPSCALE,
        year: int | None = None,
        quality: Quality = "full",
        steps: int | None = None,
        space: SpaceName | None = None,
        force: bool = False,
        progress: Progress = silent,
    ) -> GroupRestoration:
        """Enlarge a small photo until its smallest known face is as large as it is drawn.

        Raises:
            FaceError: there is no face, or none is anybody's.
            DecodeError: it is not a picture.
            ProfileError: no profile can be used.
        """
        settings = _settings("upscale", beta, year, steps, False, force, quality, space=space)
        return self._restore("upscale", _subject(photo, None), settings, progress)

    def inpaint(
        self,
        photo: Picture,
        mask: Pixels | Region,
        *,
        beta: Dilation = BETA_INPAINT,
        year: int | None = None,
        quality: Quality = "full",
        steps: int | None = None,
        space: SpaceName | None = None,
        force: bool = False,
        progress: Progress = silent,
    ) -> GroupRestoration:
        """Fill what a mask, or a part of each face, hides of known faces; raises as `upscale` does.

        Args:
            mask: uint8 (H, W) of its size, 255 = fill; or parts of each face and boxes.
        """
        settings = _settings("inpaint", beta, year, steps, False, force, quality, space=space)
        return self._restore("inpaint", _subject(photo, mask), settings, progress)

    def restore(
        self,
        photo: Picture,
        mask: Pixels | None = None,
        *,
        blur: float | None = None,
        noise: float | None = None,
        jpeg: int | None = None,
        scale: float | None = None,
        scratches: bool = True,
        keep_tone: bool | None = None,
        grain: bool | None = None,
        beta: Dilation = BETA_RESTORE,
        year: int | None = None,
        quality: Quality = "full",
        steps: int | None = None,
        space: SpaceName | None = None,
        force: bool = False,
        progress: Progress = silent,
    ) -> GroupRestoration:
        """Repair a damaged photo; the options are those of `Person.restore`, raises as `upscale` does."""
        from mystyle_cli.restore.estimates import Known

        settings = _settings("restore", beta, year, steps, False, force, quality, space=space)
        known = Known(blur, noise, jpeg, scale)
        settings = replace(settings, known=known, scratches=scratches, keep_tone=keep_tone, grain=grain)
        return self._restore("restore", _subject(photo, mask), settings, progress)

    def _restore(
        self, task: TaskName, subject: Subject, settings: RestoreSettings, progress: Progress
    ) -> GroupRestoration:
        from mystyle_cli.group.group import Group

        if self._group is None or self._asked != (task, settings):
            self._group, self._asked = Group(self.profiles, task, settings), (task, settings)
        (result,) = self._group.restore([subject], progress)
        if result.error is not None:
            raise result.error
        return result


def _subject(photo: Picture, mask: Pixels | Region | None) -> Subject:
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.find.region import Region

    photo = Path(photo) if isinstance(photo, str) else photo
    return Subject(photo, region=mask) if isinstance(mask, Region) else Subject(photo, mask)


def _settings(
    task: TaskName,
    beta: Dilation,
    year: int | None,
    steps: int | None,
    aligned: bool,
    force: bool,
    quality: Quality = "full",
    variants: int = 1,
    seed: int | None = None,
    space: SpaceName | None = None,
) -> RestoreSettings:
    from mystyle_cli.restore.task import BETAS, default_settings

    settings = default_settings(task, quality, space).dilated(beta, BETAS[task])
    if steps is not None:
        settings = replace(settings, projection=replace(settings.projection, steps=steps))
    if seed is not None and variants == 1:
        raise UsageError("only variants are drawn", "Leave out the seed, or ask for 2 variants or more.")
    return replace(settings, aligned=aligned, force=force, variants=variants, seed=seed or 0, year=year)
