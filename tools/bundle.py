"""How a bundled prior's folder is written: digest, terms and source of every file; then put in place."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomli_w

from mystyle_cli.prior.registry import FORMAT, sha256_of

BUNDLED = Path(__file__).parents[1] / "src/mystyle_cli/prior/bundled"
LICENCE = "Apache-2.0"


def write_metadata(
    out: Path,
    about: dict[str, Any],
    sources: dict[str, str],
    directions_source: str,
    foreign: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write prior.toml.

    Args:
        out: the folder, its files written.
        about: what it says besides its files: name, resolution, w_dim, num_ws, crop.
        sources: for each role, the scripts that made it.
        directions_source: the script that found the directions.
        foreign: the licence of each role whose weights are not ours.
    """

    def entry(path: Path, source: str) -> dict[str, str]:
        file, licence = path.relative_to(out).as_posix(), foreign.get(path.stem, LICENCE)
        return {"file": file, "sha256": sha256_of(path), "licence": licence, "source": source}

    roles = {
        path.stem: entry(path, sources[path.stem]) for path in sorted(out.iterdir()) if path.stem in sources
    }
    directions = {
        path.stem: entry(path, directions_source) for path in sorted((out / "directions").iterdir())
    }
    (out / "prior.toml").write_text(
        tomli_w.dumps({"format": FORMAT} | about | {"roles": roles, "directions": directions})
    )


def begin(out: Path) -> Path:
    """Return an empty folder beside the bundle's place."""
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def finish(partial: Path, out: Path, card: Path, figures: dict[str, Any], limit: int) -> str:
    """Fill in the model card and put a finished folder in its place; returns the figures as JSON.

    Args:
        partial: the folder that `begin` returned, its files written.
        out: where it belongs.
        card: the card's template.
        figures: what was measured.
        limit: bytes that the folder may take.
    """
    figures |= {"megabytes": size_of(partial) / 1e6}
    shown = {key: f"{v:.3f}" if isinstance(v, float) else str(v) for key, v in figures.items()}
    text = string.Template(card.read_text()).substitute(shown, date=date.today().isoformat())
    (partial / "CARD.md").write_text(text)
    if size_of(partial) > limit:
        raise SystemExit(f"{partial} takes {size_of(partial)} bytes, more than {limit}")
    for path in partial.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes for the owner alone
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return json.dumps(figures, indent=1)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
