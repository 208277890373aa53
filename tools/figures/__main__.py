"""Print the figures that the project states about itself: `python -m tools.figures [NAME ...]`, or `all`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from mystyle_cli.report.report import Report, to_text
from tools.figures.common import machine, save

FIGURES = {
    "startup": "how soon the command answers",
    "renderer": "rendered people before dlib's detector and descriptor",
    "prior": "the bundled prior on people it has never seen",
    "identity": "the identity net on people it has never seen",
    "curation": "the demonstration folders: every planted photo and its verdict",
    "portraits": "real photographs: found, aligned, pasted back, curated",
    "betas": "beta auto against the best fixed beta, on people on whom nothing was set",
    "enhancement": "upscaling and inpainting against the domain prior (fig 9)",
    "adversarial": "DiffAugment and Ojha et al. by the length of their training",
    "restore": "blurred, noisy, compressed photos restored, against upscale and the domain prior",
    "few": "a person learned from few photos and from all, searched in their own space and near it",
    "years": "people whose photos are decades apart, answered with --year and without",
    "repaired": "scratched crops, and whole photos: what is filled, and whether the face meets the rest",
    "large": "photos whose face is larger than it is drawn, damaged and restored",
    "video": "a clip of a person, against its frames restored one by one",
    "merged": "two people in one generator, against their own profiles (fig 13)",
    "whose": "whose a damaged face is, of several people",
    "group": "group pictures with strangers among those who are known, restored with --who all",
    "albums": "two albums of real people: kept, refused, restored",
    "editing": "the two people edited: what changes, and whether they stay themselves",
    "refine": "edits with and without tuning on the photo first",
    "hull": "every code in A_beta, and 500 anchors",
}


def main() -> int:
    """Print the figures asked for; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tools.figures", description=__doc__)
    parser.add_argument(
        "names", nargs="*", default=["all"], metavar="NAME", help=", ".join(["all", *FIGURES])
    )
    names = parser.parse_args().names
    unknown = set(names) - {"all", *FIGURES}
    if unknown:
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    chosen = list(FIGURES) if "all" in names else names
    where = machine()
    for name, value in where.items():
        print(f"{name}: {value}")
    reports = [show(name, where) for name in chosen]
    missed = [(report.name, target) for report in reports for target in report.targets if not target.met]
    met = sum(len(report.targets) for report in reports) - len(missed)
    print(f"\n{met} targets met, {len(missed)} missed")
    for figure, target in missed:
        wanted = f"{target.comparison} {target.bound:.4g}"
        print(f"  missed  {figure}: {target.name}, found {target.value:.4g}, wanted {wanted}")
    return 1 if missed else 0


def show(name: str, where: dict[str, str | int]) -> Report:
    """Make one figure, print it and keep it."""
    start = time.perf_counter()
    report: Report = importlib.import_module(f"tools.figures.{name}").make()
    seconds = time.perf_counter() - start
    path = save(report, {"measured_on": where, "seconds": round(seconds, 1)})
    print(f"\n{to_text(report)}\n   ({seconds:.0f} s; {path.relative_to(path.parents[1])})", flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
