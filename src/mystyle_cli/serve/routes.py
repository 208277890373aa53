"""What the page may ask for: each request one call of the core, or a piece of work for the desk."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mystyle_cli import __version__
from mystyle_cli.config import DEFAULT_PRIOR, FACE_PARTS, TUNE_PASSES
from mystyle_cli.errors import DecodeError, MystyleError, UsageError, contained
from mystyle_cli.files.documents import DIGEST, Items, Number, OneOf, Record, Text, Whole
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.serve.guard import Address, Guard
from mystyle_cli.serve.learning import Plan, School
from mystyle_cli.serve.repairing import Repaired, Wanted, Workshop, opened, painted, preview
from mystyle_cli.serve.tasks import Desk, told
from mystyle_cli.serve.uploads import MOST_BYTES, Uploads, safe_name
from mystyle_cli.terminal.learning import CONSENT, last_day
from mystyle_cli.terminal.options import UNBOUNDED

if TYPE_CHECKING:
    from mystyle_cli.nets.device import Device
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.progress import Progress
    from mystyle_cli.store.store import Store

QUALITIES: Final = ("instant", "fast", "full")
TONES: Final = {
    "": None,
    "keep": True,
    "give": False,
}  # of a grey photo, as `RestoreSettings.keep_tone` has it
TASKS: Final = ("restore", "upscale", "inpaint")
BETAS: Final = (0.0, 0.02, 0.05, 0.1, 0.2)  # from careful to free; beyond them is no bound
LONGEST_PREVIEW: Final = 1600  # pixels of the longer side
LONGEST_THUMBNAIL: Final = 240
MOST_JSON: Final = 1 << 20  # bytes of what the page asks for
ANSWERS: Final = (1, 3, 5)  # to a photo
MOST_KEPT: Final = 2  # photos that wait, and results that are kept
BEAT: Final = 10.0  # seconds after which a stream says that it is alive
GRACE: Final = 20.0  # seconds without any page after which work is ended

REPAIR: Final = Record(
    {"photo": Whole(1), "name": Text(), "task": OneOf(TASKS), "quality": OneOf(QUALITIES)},
    {
        "beta": Number(0),
        "own_beta": Whole(0, 1),
        "unbounded": Whole(0, 1),
        "parts": Items(OneOf(FACE_PARTS), len(FACE_PARTS)),
        "colours": OneOf(tuple(TONES)),
        "variants": Whole(1, ANSWERS[-1]),
        "force": Whole(0, 1),
    },
)
LEARN: Final = Record(
    {"name": Text()},
    {"consent": Text(100_000, lines=True), "until": Text(), "prior": Text(4096), "passes": Whole(1, 1000)},
)
VERDICTS: Final = Record({}, {"keep": Items(DIGEST, 1000), "leave": Items(DIGEST, 1000)})

TYPES: Final = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class GoneError(UsageError):
    """What was uploaded was let go of: it is to be given again."""


@dataclasses.dataclass
class Waiting:
    """A photo that was uploaded and not answered yet."""

    called: str
    photo: Photo
    mask: Pixels | None = None


class Page:
    """The state of one server: what was uploaded, what is done, what came of it.

    Args:
        end: ends the server.
    """

    def __init__(
        self, store: Store, device: Device, uploads: Uploads, address: Address, end: Callable[[], None]
    ) -> None:
        self.store, self.uploads, self.address, self.end = store, uploads, address, end
        self.desk, self.workshop = Desk(), Workshop(store, device)
        self.school = School(store, device, uploads)
        self.waiting: dict[int, Waiting] = {}
        self.results: dict[int, Repaired] = {}
        self.numbers, self.watching, self.ended = 0, 0, False

    def close(self, patience: float) -> None:
        """End all work, and let go of everything that was not asked for; see `Desk.close`."""
        self.ended = True
        self.desk.close(patience)
        with suppress(MystyleError):
            self.school.forget()

    def application(self) -> Guard:
        """Return what answers requests."""
        base = self.address.path.rstrip("/")
        routes = [
            Route(f"{base}/", self.file),
            Route(f"{base}/facts", self.facts),
            Route(f"{base}/events", self.events),
            Route(f"{base}/tasks/{{number:int}}", self.cancel, methods=["DELETE"]),
            Route(f"{base}/photos", self.add_photo, methods=["POST"]),
            Route(f"{base}/photos/{{number:int}}", self.show_photo),
            Route(f"{base}/photos/{{number:int}}", self.drop_photo, methods=["DELETE"]),
            Route(f"{base}/photos/{{number:int}}/mask", self.add_mask, methods=["PUT"]),
            Route(f"{base}/repairs", self.repair, methods=["POST"]),
            Route(f"{base}/results/{{number:int}}/{{place:int}}", self.show_result),
            Route(f"{base}/results/{{number:int}}", self.drop_result, methods=["DELETE"]),
            Route(f"{base}/album", self.add_to_album, methods=["POST"]),
            Route(f"{base}/album", self.drop_album, methods=["DELETE"]),
            Route(f"{base}/album/{{digest}}", self.show_of_album),
            Route(f"{base}/album/profile", self.throw_away, methods=["DELETE"]),
            Route(f"{base}/people", self.learn, methods=["POST"]),
            Route(f"{base}/people/{{name}}/verdicts", self.finish_learning, methods=["POST"]),
            Route(f"{base}/people/{{name}}/tuning", self.tune, methods=["POST"]),
            Route(f"{base}/people/{{name}}/sheet", self.show_sheet),
            Route(f"{base}/end", self.stop, methods=["POST"]),
            Route(f"{base}/{{file}}", self.file),
        ]
        handlers: Mapping[Any, Any] = {MystyleError: _refused, Exception: _failed}
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        return Guard(inner, self.address)

    async def file(self, request: Request) -> Response:
        """Return a file of the page."""
        name = request.path_params.get("file", "index.html")
        if name not in TYPES:
            return Response(status_code=404)
        data = (files("mystyle_cli.serve") / "page" / name).read_bytes()
        return Response(data, media_type=TYPES[name])

    async def facts(self, request: Request) -> Response:
        """Return what the page shows and offers."""
        return JSONResponse(await run_in_threadpool(self._facts))

    def _facts(self) -> dict[str, object]:
        from mystyle_cli.prior.registry import bundled_priors, imported_priors
        from mystyle_cli.restore.task import BETAS as USUAL

        people = [
            {
                "name": entry.name,
                "state": entry.state,
                "detail": entry.detail,
                "hint": entry.hint,
                "counts": dict(entry.manifest.counts) if entry.manifest else {},
                "prior": entry.manifest.prior.name if entry.manifest else None,
                "people": list(entry.manifest.members) if entry.manifest else [],
                "own_beta": bool(
                    entry.manifest and any(key.startswith("beta_") for key in entry.manifest.results)
                ),
            }
            for entry in self.store.entries()
        ]
        return {
            "version": __version__,
            "store": str(self.store.root),
            "people": people,
            "parts": list(FACE_PARTS),
            "betas": list(BETAS),
            "answers": list(ANSWERS),
            "usual": {task: USUAL[task] for task in TASKS},
            "unbounded": UNBOUNDED,
            "priors": [*bundled_priors(), *imported_priors()],
            "prior": DEFAULT_PRIOR,
            "passes": TUNE_PASSES,
            "consent": CONSENT,
            "most_bytes": MOST_BYTES,
        }

    async def events(self, request: Request) -> Response:
        """Tell of all work as long as the page listens."""
        return StreamingResponse(self._events(request), media_type="text/event-stream")

    async def _events(self, request: Request) -> AsyncIterator[str]:
        version, quiet = -1, 0.0
        self.watching += 1
        try:
            while not self.ended and not await request.is_disconnected():
                if self.desk.version != version:
                    before, version, quiet = version, self.desk.version, 0.0
                    tasks = [task.to_json() for task in self.desk.tasks(before)]
                    yield f"data: {json.dumps({'tasks': tasks})}\n\n"
                elif quiet >= BEAT:
                    quiet = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(0.1)
                quiet += 0.1
        finally:
            self.watching -= 1

    async def mind(self) -> None:
        """End all work, and let go of what was uploaded, when no page has listened for a while."""
        alone = 0.0
        while not self.ended:
            await asyncio.sleep(0.5)
            alone = 0.0 if self.watching else alone + 0.5
            if alone >= GRACE:
                self.desk.cancel_all()
                self.waiting.clear()
                self.results.clear()
                with suppress(MystyleError):  # while the work that uses it ends
                    await run_in_threadpool(self.school.forget)

    async def cancel(self, request: Request) -> Response:
        """End a piece of work at its next step."""
        self.desk.cancel(request.path_params["number"])
        return Response(status_code=204)

    async def add_photo(self, request: Request) -> Response:
        """Take a photo to be worked on; it stays in memory, and goes when its answer is there."""
        called = safe_name(request.query_params.get("name", ""))
        photo = await run_in_threadpool(opened, await _body(request, MOST_BYTES), called)
        self.numbers += 1
        while len(self.waiting) >= MOST_KEPT:
            del self.waiting[next(iter(self.waiting))]
        self.waiting[self.numbers] = Waiting(called, photo)
        height, width = photo.pixels.shape[:2]
        return JSONResponse(
            {"photo": self.numbers, "width": width, "height": height, "notes": list(photo.notes)}
        )

    def _waiting(self, number: int) -> Waiting:
        if number not in self.waiting:
            raise GoneError("this photo is no longer here", "Give it again.")
        return self.waiting[number]

    async def show_photo(self, request: Request) -> Response:
        """Show a photo as it was opened."""
        waiting = self._waiting(request.path_params["number"])
        data = await run_in_threadpool(preview, waiting.photo, LONGEST_PREVIEW)
        return Response(data, media_type="image/jpeg")

    async def drop_photo(self, request: Request) -> Response:
        """Forget a photo."""
        self.waiting.pop(request.path_params["number"], None)
        return Response(status_code=204)

    async def add_mask(self, request: Request) -> Response:
        """Take what was painted over a photo."""
        waiting, data = self._waiting(request.path_params["number"]), await _body(request, MOST_BYTES)
        waiting.mask = await run_in_threadpool(painted, data, waiting.photo)
        return Response(status_code=204)

    async def repair(self, request: Request) -> Response:
        """Work on a photo."""
        asked = await _asked(request, REPAIR)
        number, waiting = asked["photo"], self._waiting(asked["photo"])
        wanted = _wanted(asked)

        def work(progress: Progress) -> dict[str, object]:
            made = self.workshop.repair(waiting.photo, waiting.called, waiting.mask, wanted, progress)
            while len(self.results) >= MOST_KEPT:
                del self.results[next(iter(self.results))]
            self.results[number] = made
            self.waiting.pop(number, None)
            return {"result": number, **made.to_json()}

        task = self.desk.submit(wanted.task, waiting.called, work)
        return JSONResponse({"task": task.number})

    async def show_result(self, request: Request) -> Response:
        """Return a picture of a result as the command would write it."""
        made, place = self.results.get(request.path_params["number"]), request.path_params["place"]
        if made is None or place >= len(made.pictures):
            return Response(status_code=404)
        return Response(made.pictures[place], media_type="image/png")

    async def drop_result(self, request: Request) -> Response:
        """Forget a result."""
        self.results.pop(request.path_params["number"], None)
        return Response(status_code=204)

    async def add_to_album(self, request: Request) -> Response:
        """Take a photo of an album."""
        data = await _body(request, MOST_BYTES)
        called = await run_in_threadpool(self.school.add, request.query_params.get("name", ""), data)
        return JSONResponse({"called": called, "count": self.uploads.count})

    async def drop_album(self, request: Request) -> Response:
        """Remove the album."""
        await run_in_threadpool(self.school.forget)
        return Response(status_code=204)

    async def throw_away(self, request: Request) -> Response:
        """Remove the album, and what was made of it."""
        await run_in_threadpool(self.school.throw_away)
        return Response(status_code=204)

    async def show_of_album(self, request: Request) -> Response:
        """Show a photo of the album."""
        path = self.school.files.get(request.path_params["digest"])
        if path is None:
            return Response(status_code=404)
        try:
            data = await run_in_threadpool(_thumbnail, path)
        except DecodeError:
            return Response(status_code=404)
        return Response(data, media_type="image/jpeg")

    async def learn(self, request: Request) -> Response:
        """Look at the album, and make a profile of it that is not tuned yet."""
        asked = await _asked(request, LEARN)
        plan = Plan(
            asked["name"],
            asked.get("consent", "").strip(),
            last_day(asked.get("until", "")),
            asked.get("prior", DEFAULT_PRIOR),
            asked.get("passes", TUNE_PASSES),
        )
        await run_in_threadpool(self.school.check, plan)
        self.workshop.forget()
        task = self.desk.submit("look", plan.name, lambda progress: self.school.look(plan, progress))
        return JSONResponse({"task": task.number})

    async def finish_learning(self, request: Request) -> Response:
        """Learn the person of the album that was looked at."""
        asked = await _asked(request, VERDICTS)
        keep, leave = tuple(asked.get("keep", ())), tuple(asked.get("leave", ()))
        self.workshop.forget()
        task = self.desk.submit(
            "learn", request.path_params["name"], lambda progress: self.school.finish(keep, leave, progress)
        )
        return JSONResponse({"task": task.number})

    async def tune(self, request: Request) -> Response:
        """Go on with a profile that is not tuned yet."""
        name = request.path_params["name"]
        await run_in_threadpool(self.store.path, name)
        self.workshop.forget()
        task = self.desk.submit("learn", name, lambda progress: self.school.tune(name, progress))
        return JSONResponse({"task": task.number})

    async def show_sheet(self, request: Request) -> Response:
        """Show a profile's contact sheet."""
        data = await run_in_threadpool(self._sheet, request.path_params["name"])
        return Response(data, media_type="image/png")

    def _sheet(self, name: str) -> bytes:
        from mystyle_cli.person.layout import CONTACT_SHEET

        return self.store.open(name).file(CONTACT_SHEET).read_bytes()

    async def stop(self, request: Request) -> Response:
        """End the server."""
        self.end()
        return Response(status_code=204)


def _thumbnail(path: Any) -> bytes:
    from mystyle_cli.photos.decode import decode

    return preview(decode(path), LONGEST_THUMBNAIL)


def _wanted(asked: Mapping[str, Any]) -> Wanted:
    from mystyle_cli.find.region import Region

    beta = None if asked.get("unbounded") else asked.get("beta", 0.05)
    parts = tuple(asked.get("parts", ()))
    return Wanted(
        asked["name"],
        asked["task"],
        "auto" if asked.get("own_beta") else beta,
        asked["quality"],
        Region(parts) if parts and asked["task"] == "inpaint" else None,
        bool(asked.get("force")),
        TONES[asked.get("colours", "")],
        asked.get("variants", 1),
    )


async def _body(request: Request, most: int) -> bytes:
    """Return a request's body; raises UsageError where it is larger than that."""
    refusal = UsageError(f"this has more than {most >> 20} MB", "Use a smaller file.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise refusal
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise refusal
    return bytes(data)


async def _asked(request: Request, fields: Record) -> dict[str, Any]:
    """Return what a request asks for in JSON; raises UsageError."""
    try:
        return fields.read(json_of(await _body(request, MOST_JSON)))
    except DocumentError as error:
        raise UsageError(f"what the page asks for cannot be read: {error}", "Load the page again.") from error


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, MystyleError)
    return JSONResponse(told(error), status_code=410 if isinstance(error, GoneError) else 400)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse(told(contained("the page", error)), status_code=500)
