"""A command whose results are negatives, asked for as a person would, with a store in `store`."""

from __future__ import annotations

from pathlib import Path

from mystyle_cli.batch.batch import Batch, open_batch
from mystyle_cli.batch.errands import Opening
from mystyle_cli.batch.running import Asked
from mystyle_cli.engines.named import parse
from mystyle_cli.terminal.app import App
from mystyle_cli.terminal.options import BatchOptions


def options(*inputs: Path | str, on: str | None = "local:1", **changes: object) -> BatchOptions:
    """Return batch options with defaults, two photos at a time, results in `out`."""
    values: dict[str, object] = {
        **dict.fromkeys(("format_name", "jpeg_quality", "mark", "naming")),
        **dict.fromkeys(
            ("overwrite", "skip_existing", "recursive", "keep_metadata", "no_mark", "dry_run"), False
        ),
        "inputs": tuple(map(str, inputs)),
        "output": "out",
        "batch": 2,
        "on": None if on is None else parse(on),
    }
    return BatchOptions(**{**values, **changes})  # type: ignore[arg-type]


def work(
    how: BatchOptions, opening: Opening, codes: Path | None = None, *, json: bool = False, what: str = ""
) -> Batch:
    """Work through all inputs as a command does, with a store in `store`."""
    app = App(store=Path("store"), json=json, words=("negative", *how.inputs))
    asked = Asked(app, "negative", (what,), ("a negative",))
    with open_batch(app.console, how, "negative", codes=codes, asked=asked) as batch:
        batch.work(opening)
    return batch


def results(folder: str = "out") -> dict[str, bytes]:
    """Return what is in the folder of results."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.exists()}
