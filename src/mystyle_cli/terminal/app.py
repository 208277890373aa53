"""What every command shares: the options that work everywhere, and the shape of its help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from mystyle_cli.engines.engine import Note
from mystyle_cli.errors import UsageError
from mystyle_cli.nets.processors import settle
from mystyle_cli.ranks import Ranks
from mystyle_cli.terminal.console import Console

if TYPE_CHECKING:
    from mystyle_cli.nets.device import Device
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.sample.rendering import Backend, Renderer
    from mystyle_cli.store.store import Store


@dataclass
class App:
    """What the options that work everywhere said; each may stand before or after the command's name."""

    store: Path | None = None
    device: str = "auto"
    threads: int | None = None  # `--threads`, of the CPU; None takes as many as processors are free
    verbosity: int = 0  # `-v` counted up, `-q` counted down
    json: bool = False
    debug: bool = False
    no_progress: bool = False
    words: tuple[str, ...] = ()  # of the command line, without the program
    typed: set[str] = field(default_factory=set)  # the names of those that stood in the command line
    retried: str = ""  # the run that the words were kept of; then they may do nothing else than go on with it

    @property
    def console(self) -> Console:
        """The console that these options ask for; of several processes only the first one's says anything."""
        return Console(
            verbosity=self.verbosity,
            json=self.json,
            bars=not self.no_progress,
            debug=self.debug,
            mute=not self.ranks.first,
        )

    @property
    def ranks(self) -> Ranks:
        """The processes that this one was started with."""
        return Ranks.of_environment()

    def refuse_unless_retried(self, run: str) -> None:
        """Refuse (UsageError) to begin a run where another is to be gone on with.

        Args:
            run: the name that it would have, "" where none is kept.
        """
        if self.retried and run != self.retried:
            raise UsageError(
                f"the run {self.retried} is not what its words say now: the profile may have changed",
                f"Give the command again, and remove the run: mystyle jobs remove {self.retried}",
            )

    def profiles(self) -> Store:
        """The store of profiles that these options ask for."""
        from mystyle_cli.files.paths import store_root
        from mystyle_cli.store.store import Store

        return Store(store_root(self.store))

    def wanted_device(self) -> Device:
        """Return the device that was asked for; see `wanted_device`."""
        return wanted_device(self.device, self.console.hear)

    def choose_device(self, *, torch: bool = True) -> Device:
        """Settle where to compute, and say so; see `choose_device`."""
        return choose_device(self.device, self.console.hear, torch=torch)

    def open_renderer(self, profile: Profile, backend: Backend) -> Renderer:
        """Open a person's generator, and say what it became; see `open_renderer`."""
        return open_renderer(profile, backend, self.console.hear)


def choose_device(wanted: str, tell: Callable[[Note], None], *, torch: bool = True) -> Device:
    """Settle where to compute, and tell it.

    Args:
        wanted: `--device`.
        torch: whether torch does the work; else the exported nets, which need none.

    Raises:
        DeviceError: the device that was asked for cannot be had.
        UsageError: there is no such device.
    """
    from mystyle_cli.nets.processors import threads

    device, ranks = wanted_device(wanted, tell), Ranks.of_environment()
    name = device.torch if torch else device.provider.name
    together = f" in each of {ranks.size} processes" if ranks.several else ""
    tell(Note("info", f"device {name}, {threads()} CPU threads{together}"))
    return device


def wanted_device(wanted: str, tell: Callable[[Note], None]) -> Device:
    """Return the device that was asked for, to be settled by who needs it; raises UsageError.

    Each of several processes on a machine has a graphics card of its own.
    """
    from mystyle_cli.nets.device import Device

    device, ranks = Device(wanted, lambda text: tell(Note("warning", text))), Ranks.of_environment()
    return device.of_process(ranks.local, ranks.beside) if ranks.several else device


def open_renderer(profile: Profile, backend: Backend, tell: Callable[[Note], None]) -> Renderer:
    """Open a person's generator on the backend that was asked for, and tell what it became.

    Raises:
        DeviceError: the device that was asked for cannot be had.
        ProfileError: the profile is not tuned, or its export was asked for and cannot be used.
    """
    from mystyle_cli.sample import rendering

    renderer = rendering.open_renderer(profile, backend)
    if renderer.notice:
        tell(Note("warning", renderer.notice))
    tell(Note("info", f"backend {renderer.backend}, {renderer.place}"))
    return renderer


pass_app = click.make_pass_decorator(App, ensure=True)


class Unused(NamedTuple):
    """A case in which options would do nothing, and are therefore refused where they were typed."""

    options: tuple[str, ...]  # the parameters' names
    where: Callable[[Mapping[str, Any]], bool]  # tells of all values whether this is the case
    why: str  # what it is that leaves them without a use, the end of a sentence
    hint: str


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        source = context.get_parameter_source(str(parameter.name))
        if source is ParameterSource.ENVIRONMENT and context.parent is not None:
            return  # the program has read it, before what was typed there
        if value not in (None, False, 0):  # not given here, and perhaps before the command's name
            app = context.ensure_object(App)
            setattr(app, name, value)
            if source is ParameterSource.COMMANDLINE:
                app.typed.add(name)

    return callback


def _louder(sign: int) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: int) -> None:
        context.ensure_object(App).verbosity += sign * value

    return callback


def _option(*names: str, **settings: Any) -> click.Option:
    """Return an option that is read before others, into the field of `App` that is called as it is."""
    settings.setdefault("callback", _remember(names[-1].removeprefix("--").replace("-", "_")))
    return click.Option(names, expose_value=False, is_eager=True, **settings)


def everywhere_options() -> list[click.Option]:
    """Return new copies of the options that the program and every command take."""
    return [
        _option(
            "--store",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Folder of profiles.  [default: MYSTYLE_HOME/profiles, or the user's data folder]",
        ),
        _option(
            "--device",
            metavar="auto|cpu|cuda[:i]|mps|directml[:i]",
            envvar="MYSTYLE_DEVICE",
            help="Where to compute; a device that cannot be had is an error.  [default: auto]",
        ),
        _option(
            "--threads",
            type=click.IntRange(min=1),
            metavar="N",
            envvar="MYSTYLE_THREADS",
            help="CPU threads; a result is the same to the byte only with the same number.  "
            "[default: as many as processors are free]",
        ),
        _option("--json", is_flag=True, help="Results as one JSON document."),
        _option("-v", "--verbose", count=True, callback=_louder(1), help="Say more on stderr."),
        _option("-q", "--quiet", count=True, callback=_louder(-1), help="Only warnings and errors."),
        _option("--no-progress", is_flag=True, help="No progress bars or lines."),
        _option("--debug", is_flag=True, help="Show the traceback of an error."),
    ]


class _Everywhere(click.Command):
    """A command that also takes the options of every command and shows its examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)
        self._everywhere = everywhere_options()
        self.params = [*self.params, *self._everywhere]

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options first, those of every command after them."""
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for parameter in self.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and isinstance(parameter, click.Option):
                (shared if parameter in self._everywhere else own).append(record)
        for title, rows in (("Options", own), ("Options of every command", shared)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples last, where a reader of a long page ends up."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Command(_Everywhere):
    """A command of the program.

    Args:
        unused: the cases in which some of its options would do nothing.
        together: whether several processes can do it together.
    """

    def __init__(
        self, *args: Any, unused: Sequence[Unused] = (), together: bool = False, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.unused, self.together = tuple(unused), together

    def invoke(self, context: click.Context) -> Any:
        """Run the command, unless an option was typed that would do nothing; raises UsageError."""
        ranks = context.ensure_object(App).ranks
        if ranks.several and not self.together:
            raise UsageError(
                f"{ranks.size} processes were started for {context.command_path}, which is the work of one",
                "Start it without torchrun; only `tune` is done by several.",
            )
        for case in self.unused:
            if not case.where(context.params):
                continue
            for parameter in self.params:
                typed = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
                if typed and parameter.name in case.options:
                    raise UsageError(f"{parameter.opts[-1]} does nothing here: {case.why}", case.hint)
        app = context.ensure_object(App)
        if app.retried and context.params.get("on") is None:
            raise UsageError(
                f"the run {app.retried} is of no command with --on",
                f"Remove it: mystyle jobs remove {app.retried}",
            )
        on = context.params.get("on")
        if on is not None and on.kind != "local" and "threads" in app.typed:
            raise UsageError(
                f"--threads does nothing here: with --on {on.name} each worker has one core",
                "Leave it out, or use --on local.",
            )
        settle(app.threads)  # before a library that has threads is loaded
        return super().invoke(context)


class Group(_Everywhere, click.Group):
    """A noun with its verbs."""

    command_class = Command

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write options, then the verbs."""
        super().format_options(context, formatter)
        self.format_commands(context, formatter)
