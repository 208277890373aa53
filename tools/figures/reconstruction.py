"""The reference set from its anchors, before and after tuning (app. C.3, fig 17)."""

from __future__ import annotations

from mystyle_cli.analysis.report import Report, Table, Target
from mystyle_cli.analysis.tuned import reconstruction
from tools.figures.common import people, profile_of


def make() -> Report:
    """Measure both people's reference sets."""
    tables, targets, facts = [], [], {}
    for person in people():
        profile = profile_of(person.name)
        found = reconstruction(profile)
        columns = list(found["after"])
        rows = [[name, *(found[name][column] for column in columns)] for name in ("before", "after")]
        tables.append(Table(f"{person.name}, {len(profile.anchors())} anchors", ["tuning", *columns], rows))
        before, after = found["before"], found["after"]
        targets += [
            Target(f"{person.name}: ID after tuning, higher by", after["id"] - before["id"], "above", 0.0),
            Target(
                f"{person.name}: LPIPS after tuning, lower by", before["lpips"] - after["lpips"], "above", 0.0
            ),
        ]
        tuning = profile.manifest.stages["tune"]
        facts[person.name] = f"{tuning['passes']} passes, {float(tuning['tuning_seconds']):.0f} s of tuning"
    return Report(
        "reconstruction", "the reference set before and after tuning (fig 17)", tables, targets, facts
    )
