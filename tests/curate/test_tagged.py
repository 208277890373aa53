"""Photos are chosen by their tags, and on them the face that is tagged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.curate.examine import Criteria, examine
from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.tagged import MOST_BOXES, face_in, find_tagged
from mystyle_cli.errors import UsageError
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.photos.decode import decode
from tests.support import tagged
from tests.support.portraits import clear

BOX = (0.1, 0.2, 0.4, 0.7)


def album(folder: Path) -> list[Path]:
    """Write photos that are tagged in different ways."""
    said = {
        "a": tagged.mwg({"Zoë Smith": BOX, "Ben": (0.5, 0.2, 0.8, 0.7)}, (60, 40)),
        "b": tagged.names(["ZOE\u0308 SMITH"]),
        "c": tagged.names([], ["zoë smith", "beach"]),
        "d": tagged.names(["Ben", "Ada"], ["beach"]),
        "e": "",
    }
    paths = []
    for name, packet in said.items():
        Image.new("RGB", (60, 40)).save(folder / f"{name}.jpg", xmp=packet.encode())
        paths.append(folder / f"{name}.jpg")
    return paths


def test_photos_are_chosen_by_a_name(tmp_path: Path) -> None:
    """However it is spelled and wherever it is noted; where it says so, with the place."""
    paths = album(tmp_path)
    found = find_tagged(paths, "Zoë Smith")
    assert list(found) == paths[:3]
    np.testing.assert_allclose(found[paths[0]], [BOX], atol=1e-5)
    assert found[paths[1]] == found[paths[2]] == ()


def test_a_name_that_nobody_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """The most frequent first, people only; an album without any says what to do."""
    with pytest.raises(UsageError, match="no photo is tagged 'Eve'") as refused:
        find_tagged(album(tmp_path), "Eve")
    assert refused.value.hint.index("Ben (2)") < refused.value.hint.index("Ada (1)")
    assert "beach" not in refused.value.hint
    with pytest.raises(UsageError, match="nobody is tagged in these 1 photos"):
        find_tagged(album(tmp_path)[4:], "Eve")


def test_places_of_one_person_are_few(tmp_path: Path) -> None:
    """Nobody is on a photo a thousand times: a file that says so does not have each looked at closely."""
    packets = [tagged.mwg({"Ada": (left / 100, 0.2, left / 100 + 0.1, 0.7)}, (60, 40)) for left in range(30)]
    start, _, end = packets[0].partition("<rdf:li")
    last = end.rpartition("</rdf:li>")[2]
    regions = ("<rdf:li" + one.partition("<rdf:li")[2].rpartition("</rdf:li>")[0] for one in packets)
    Image.new("RGB", (60, 40)).save(
        tmp_path / "a.jpg", xmp=f"{start}{'</rdf:li>'.join(regions)}</rdf:li>{last}".encode()
    )
    (boxes,) = find_tagged([tmp_path / "a.jpg"], "Ada").values()
    assert len(boxes) == MOST_BOXES
    np.testing.assert_allclose(boxes[0], (0, 0.2, 0.1, 0.7), atol=1e-5)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of two people side by side, ada on the left."""
    photos = [Image.open(clear(person)).convert("RGB").resize((300, 380)) for person in ("ada", "marco")]
    both = Image.new("RGB", (600, 380))
    for place, photo in enumerate(photos):
        both.paste(photo, (300 * place, 0))
    path = tmp_path_factory.mktemp("pair") / "both.png"
    both.save(path)
    return path


def test_of_two_faces_the_tagged_one_is_taken(pair: Path) -> None:
    """Whichever it is; without a place both may be the person, and where nobody is nobody is found."""
    photo = decode(pair)
    faces = find_faces(photo.pixels)
    assert len(faces) == 2
    width, height = 600, 380
    for face in faces:
        left, top, right, bottom = face.box
        box = left / width, top / height, right / width, bottom / height
        by = Criteria(128, FFHQ, regions={"d": (box,)})
        (candidate,) = examine(pair, "both.png", "d", by).candidates
        assert candidate.face.box == face.box
        # a program that draws the head larger means the same face
        wider = max(2 * box[0] - box[2], 0) / 2 + box[0] / 2, box[1] * 0.6, box[2] * 1.05, box[3] * 1.05
        assert face_in(photo.pixels, faces, [wider]) is face
        # and one that had the photo lying on its side the second guess
        assert face_in(photo.pixels, faces, [(0.0, 0.0, 0.05, 0.05), box]) is face
        # of two that are there in a row, the one that fills the box, whichever was found first
        beside = replace(face, box=(left + 20, top + 20, right + 20, bottom + 20))
        for both in ([face, beside], [beside, face]):
            assert face_in(photo.pixels, both, [box]) is face
        # a point on the nose is about no face
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        assert face_in(photo.pixels, faces, [(x - 0.005, y - 0.005, x + 0.005, y + 0.005)]) is None
    assert len(examine(pair, "both.png", "d", Criteria(128, FFHQ)).candidates) == 2
    none = examine(pair, "both.png", "d", Criteria(128, FFHQ, regions={"d": ((0.0, 0.0, 0.1, 0.1),)}))
    assert none.fault == (Reason.NO_FACE, "no face was found where the person is tagged")


def test_a_tagged_face_that_was_overlooked_is_looked_for_closely(pair: Path) -> None:
    """Where the photo as a whole showed none, what is around the tag does."""
    photo = decode(pair)
    small = np.zeros((1520, 2400, 3), np.uint8)
    small[700:1080, 1200:1800] = photo.pixels
    (left, top, right, bottom) = sorted(find_faces(photo.pixels), key=lambda face: face.box)[0].box
    left, top, right, bottom = left + 1200, top + 700, right + 1200, bottom + 700
    found = face_in(small, [], [(left / 2400, top / 1520, right / 2400, bottom / 1520)])
    assert found is not None
    assert abs((found.box[0] + found.box[2]) - (left + right)) < right - left
    assert (found.landmarks.min(axis=0) > [left - 40, top - 40]).all()
