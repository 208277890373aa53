"""Rendered people before dlib: are they found, and told apart?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mystyle_cli.report.report import Cell, Report, Table, Target
from tools.portraits.identity import draw_identity
from tools.portraits.render import Portrait, render
from tools.portraits.scene import draw_scene, draw_state

PEOPLE, PHOTOS, YAW = 50, 4, 25.0


@dataclass
class _Seen:
    """What was said of the photos."""

    photos: int = 0
    widths: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    descriptors: list[np.ndarray] = field(default_factory=list)


def make() -> Report:
    """Render people and let dlib's plain frontal detector and descriptor look, at the photo's own size."""
    seen = _Seen()
    for person in range(PEOPLE):
        for number in range(PHOTOS):
            rng = np.random.default_rng([person, number, 9])
            _look(seen, person, render(draw_identity(person), draw_state(rng, yaw=YAW), draw_scene(rng)))
    descriptors, people = np.stack(seen.descriptors), np.array(seen.people)
    first, second = np.triu_indices(len(people), 1)
    distances = np.linalg.norm(descriptors[first] - descriptors[second], axis=1)
    same = people[first] == people[second]
    rows: list[list[Cell]] = [
        ["photos", seen.photos],
        ["found by the frontal detector", len(people)],
        ["face width, pixels", float(np.mean(seen.widths))],
        ["landmark error over the distance of the eyes", float(np.mean(seen.errors))],
        ["descriptor distance, same person", float(distances[same].mean())],
        ["descriptor distance, different people", float(distances[~same].mean())],
    ]
    return Report(
        "renderer",
        "rendered people before dlib's detector and descriptor",
        [Table("dlib, unchanged, on whole rendered photos", ["figure", "value"], rows)],
        [
            Target("share of faces found", len(people) / seen.photos, "at least", 0.95),
            Target("AUC of same and different people", area_under_curve(distances, same), "at least", 0.92),
        ],
        {"people": PEOPLE, "photos of each": PHOTOS, "largest yaw, degrees": YAW},
    )


def _look(seen: _Seen, person: int, portrait: Portrait) -> None:
    """Find the face with dlib's frontal detector alone, read its landmarks off the mesh, and describe it."""
    import dlib

    from mystyle_cli.faces.landmarks import find_landmarks
    from mystyle_cli.faces.models import descriptor_net, frontal_detector

    seen.photos += 1
    boxes = frontal_detector()(portrait.pixels, 0)
    if not boxes:
        return
    box: dlib.rectangle = max(boxes, key=lambda box: box.width())
    middle = np.array([box.left() + box.right() + 1, box.top() + box.bottom() + 1]) / 2
    points = find_landmarks(portrait.pixels, middle, 1.8 * box.width()).points - 0.5
    shape = dlib.full_object_detection(box, [dlib.point(round(x), round(y)) for x, y in points])
    eyes = np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))
    seen.errors.append(float(np.linalg.norm(points - portrait.landmarks, axis=1).mean() / eyes))
    seen.widths.append(box.width())
    seen.people.append(person)
    seen.descriptors.append(np.array(descriptor_net().compute_face_descriptor(portrait.pixels, shape)))


def area_under_curve(distances: np.ndarray, same: np.ndarray) -> float:
    """Return the chance that a pair of the same person lies closer than a pair of different people."""
    order = np.concatenate([distances[same], distances[~same]])
    _, inverse, counts = np.unique(order, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # ties share their mean rank
    ours = int(same.sum())
    above = ranks[:ours].sum() - ours * (ours + 1) / 2  # pairs of different people that lie closer
    return float(1 - above / (ours * int((~same).sum())))
