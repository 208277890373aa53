"""People noted in photos and beside them, as every program writes it, are read alike."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from mystyle_cli.files.parsing import DocumentError
from mystyle_cli.photos import xmp
from mystyle_cli.photos.tags import Tag, TagReader, key_of
from mystyle_cli.photos.xmp import properties_of
from tests.support import tagged

SIZE = 60, 40
ADA, BEN = (0.1, 0.2, 0.4, 0.7), (0.6, 0.1, 0.9, 0.5)
PEOPLE = {"Ada Ö'Neil & Co": ADA, "Ben": BEN}


def save(path: Path, packet: str = "", orientation: int = 1, size: tuple[int, int] = SIZE) -> Path:
    """Write a grey picture with a packet, stored as EXIF's number says."""
    image = Image.new("RGB", size, (90, 90, 90))
    exif = Image.Exif()
    exif[0x0112] = orientation
    if path.suffix == ".png":
        chunks = PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", packet)
        image.save(path, pnginfo=chunks, exif=exif)
    elif path.suffix == ".tif":
        image.save(path, tiffinfo={700: packet.encode(), 0x0112: orientation})
    elif path.suffix == ".heic":
        import pillow_heif

        pillow_heif.from_pillow(image).save(path, xmp=packet.encode(), exif=exif.tobytes())
    else:
        image.save(path, xmp=packet.encode(), exif=exif)
    return path


def regions(path: Path) -> dict[str, tuple[float, ...]]:
    """Return the likeliest box of everybody who has one."""
    return {tag.name: tag.boxes[0] for tag in TagReader().tags_of(path) if tag.boxes}


def check(found: dict[str, tuple[float, ...]]) -> None:
    """See that both people are where they were put."""
    assert found.keys() == PEOPLE.keys()
    for name, box in PEOPLE.items():
        np.testing.assert_allclose(found[name], box, atol=2e-3)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp", "heic"])
@pytest.mark.parametrize(
    "packet", [tagged.mwg(PEOPLE, SIZE), tagged.lightroom(PEOPLE, SIZE), tagged.microsoft(PEOPLE)]
)
def test_packets_in_pictures(tmp_path: Path, ending: str, packet: str) -> None:
    """MWG's regions in both spellings, and Microsoft's, in every format that holds a packet."""
    if ending == "heic":
        pytest.importorskip("pillow_heif")
    check(regions(save(tmp_path / f"a.{ending}", packet)))


Write = Callable[[Path], None]
BESIDE: dict[str, Write] = {
    "digiKam": lambda folder: _text(folder / "a.jpg.xmp", tagged.mwg(PEOPLE, SIZE)),
    "Lightroom": lambda folder: _text(folder / "a.xmp", tagged.lightroom(PEOPLE, SIZE)),
    "Picasa": lambda folder: _text(folder / ".picasa.ini", tagged.picasa("a.jpg", PEOPLE)),
    "osxphotos": lambda folder: _text(folder / "a.jpg.json", tagged.exiftool(PEOPLE, SIZE)),
    "osxphotos' exiftool": lambda folder: _text(
        folder / "a.json", tagged.exiftool(PEOPLE, SIZE).replace("XMP:", "")
    ),
    "Immich": lambda folder: _text(folder / "a.jpg.json", json.dumps(tagged.immich("a.jpg", PEOPLE))),
    "Immich's list": lambda folder: _text(
        folder / "immich.json", json.dumps([tagged.immich("b.jpg", {}), tagged.immich("A.JPG", PEOPLE)])
    ),
    "Immich's search": lambda folder: _text(
        folder / "immich.json", json.dumps({"assets": {"items": [tagged.immich("a.jpg", PEOPLE)]}})
    ),
}


def _text(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


@pytest.mark.parametrize("program", BESIDE)
def test_files_beside_pictures(tmp_path: Path, program: str) -> None:
    """Sidecars, a folder's list and its ini file are read as a packet in the picture is."""
    BESIDE[program](tmp_path)
    check(regions(save(tmp_path / "a.jpg")))
    assert regions(save(tmp_path / "other.jpg")) == {}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_turn_with_the_photo(tmp_path: Path, orientation: int) -> None:
    """Where a white square is stored, and Pillow turns it to, there the region is on the upright photo."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[4:16, 6:30] = 255
    box = 6 / 60, 4 / 40, 30 / 60, 16 / 40
    path = save(tmp_path / "a.jpg", tagged.mwg({"Ada": box}, SIZE), orientation)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))[..., 0] > 0
    (rows,), (columns,) = np.nonzero(upright.any(axis=1)), np.nonzero(upright.any(axis=0))
    height, width = upright.shape
    expected = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    np.testing.assert_allclose(regions(path)["Ada"], expected, atol=1e-5)
    # Picasa's are of the upright photo, as the size tells that they were applied to
    path = save(tmp_path / "b.jpg", tagged.mwg({"Ada": expected}, (width, height)), orientation)
    if orientation > 4:
        np.testing.assert_allclose(regions(path)["Ada"], expected, atol=1e-5)
    _text(tmp_path / ".picasa.ini", tagged.picasa("c.jpg", {"Ada": expected}))
    np.testing.assert_allclose(regions(save(tmp_path / "c.jpg", "", orientation))["Ada"], expected, atol=1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_turn_with_what_is_turned_while_it_is_read(tmp_path: Path, orientation: int) -> None:
    """HEIC comes upright from its decoder: its regions are those of the same photo as JPEG."""
    pytest.importorskip("pillow_heif")
    upright = (40, 60) if orientation > 4 else SIZE
    for number, size in enumerate((SIZE, upright)):
        packet, boxes = tagged.mwg({"Ada": ADA}, size), []
        for ending in ("jpg", "heic"):
            (tag,) = TagReader().tags_of(save(tmp_path / f"{number}.{ending}", packet, orientation))
            boxes.append(tag.boxes)
        np.testing.assert_allclose(boxes[1], boxes[0])


def test_regions_in_pixels(tmp_path: Path) -> None:
    """Some programs count in pixels of the size that they name; without that size nothing says where."""
    across, down = SIZE
    people = {name: (x * across, y * down, u * across, v * down) for name, (x, y, u, v) in PEOPLE.items()}
    packet = tagged.mwg(people, SIZE).replace(">normalized<", ">pixel<")
    check(regions(save(tmp_path / "a.jpg", packet)))
    assert regions(save(tmp_path / "b.jpg", packet.replace("AppliedToDimensions", "Applied"))) == {}


def test_what_lies_in_another_folder_is_of_other_photos(tmp_path: Path) -> None:
    """One reader goes through all of them."""
    reader = TagReader()
    for name in ("Ada", "Ben"):
        (tmp_path / name).mkdir()
        _text(tmp_path / name / ".picasa.ini", tagged.picasa("a.jpg", {name: ADA}))
        _text(tmp_path / name / "immich.json", json.dumps([tagged.immich("a.jpg", {f"{name} B": ADA})]))
        found = reader.tags_of(save(tmp_path / name / "a.jpg"))
        assert {tag.name for tag in found} == {name, f"{name} B"}


def test_what_is_no_person_does_not_count(tmp_path: Path) -> None:
    """Pets, focus points and barcodes have regions, too; keywords are words until they are asked for."""
    for kind in ("Pet", "Focus", "BarCode"):
        assert TagReader().tags_of(save(tmp_path / "a.jpg", tagged.mwg(PEOPLE, SIZE, kind))) == []
    _text(tmp_path / "c.jpg.json", tagged.exiftool(PEOPLE, SIZE).replace('"Face"', '"Pet"'))
    assert regions(save(tmp_path / "c.jpg")) == {}
    packet = tagged.names(["Ada"], ["beach", "Ben"], ["People/Family/Eve", "Places/Rome"])
    found = TagReader().tags_of(save(tmp_path / "b.jpg", packet))
    assert found == [
        Tag("Ada"),
        Tag("beach", person=False),
        Tag("Ben", person=False),
        Tag("Eve"),
        Tag("Rome", person=False),
    ]


def test_names_are_compared_as_people_read_them() -> None:
    """However letters are composed, and whether they are capitals or not."""
    name = "Zoë  O'Straße"
    alike = [unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKD")]
    assert {key_of(one) for one in (*alike, "ZOË O'STRASSE", " zoë o'straße ")} == {key_of(name)}
    assert key_of("Zoe O'Strasse") != key_of(name)


def test_regions_keep_to_the_photo(tmp_path: Path) -> None:
    """What reaches over its edge is cut, what lies outside or is no number is no place."""
    people = {
        "over": (-0.2, 0.5, 0.3, 1.4),
        "outside": (1.1, 0.1, 1.3, 0.4),
        "none": (float("nan"), 0.1, 0.2, 0.4),
        "huge": (float("-inf"), 0.0, float("inf"), 1.0),
        "empty": (0.5, 0.5, 0.5, 0.6),
    }
    for packet in (tagged.mwg(people, SIZE), tagged.microsoft(people)):
        path = save(tmp_path / "a.jpg", packet)
        found = regions(path)
        assert found.keys() == {"over"}
        np.testing.assert_allclose(found["over"], (0, 0.5, 0.3, 1), atol=1e-5)
        assert {tag.name for tag in TagReader().tags_of(path)} == people.keys()


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + tagged.names(
    ["Ada"]
).partition("?>")[2].replace("Ada", "&b;")
EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + BOMB.partition("]>")[2].replace(
    "&b;", "&e;"
)


@pytest.mark.parametrize(
    "packet",
    [
        BOMB,
        EXTERNAL,
        '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">' + BOMB.partition("]>")[2].replace("&b;", "Ada"),
        tagged.packet("<a>" * 2000 + "</a>" * 2000),
        tagged.packet("<a/>" * 999),
        tagged.names(["Ada"])[:-40],
        "no packet at all",
        "\0" * 100,
    ],
    ids=["bomb", "external", "system", "deep", "many", "cut", "text", "zeros"],
)
def test_hostile_packets_say_nothing(tmp_path: Path, packet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No entity is ever declared, nothing is fetched, nothing grows; the photo stays one without tags."""
    monkeypatch.setattr(xmp, "MOST", 900)
    with pytest.raises(DocumentError):
        properties_of(packet)
    _text(tmp_path / "a.xmp", packet)
    assert TagReader().tags_of(save(tmp_path / "a.jpg")) == []


def test_packets_of_any_size_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One longer than all that programs write is refused before it is parsed."""
    monkeypatch.setattr(xmp, "LONGEST", 100)
    with pytest.raises(DocumentError, match="more than a packet"):
        properties_of(tagged.names(["Ada"]))


@pytest.mark.parametrize(
    "text",
    ["", "[", "[1, 2]", '{"people": 3}', '[{"XMP:RegionName": ["Ada"], "XMP:RegionAreaX": "x"}]', "[" * 5000],
)
def test_odd_files_beside_are_passed_over(tmp_path: Path, text: str) -> None:
    """They are of other programs, or damaged; a name without a place is still one."""
    for name in ("a.jpg.json", "immich.json", ".picasa.ini", "a.xmp"):
        _text(tmp_path / name, text)
    assert {tag.name for tag in TagReader().tags_of(save(tmp_path / "a.jpg"))} <= {"Ada"}


def test_numbers_beyond_all_floats_are_no_place(tmp_path: Path) -> None:
    """A whole number may have more digits than any float; the name next to it still counts."""
    huge = "9" * 400
    corners = ", ".join(f'"boundingBox{key}": {huge}' for key in ("X1", "Y1", "X2", "Y2"))
    face = f'{{{corners}, "imageWidth": 6, "imageHeight": 4}}'
    people = f'{{"originalFileName": "a.jpg", "people": [{{"name": "Ben", "faces": [{face}]}}]}}'
    _text(tmp_path / "immich.json", f"[{people}]")
    areas = ", ".join(f'"XMP:RegionArea{key}": [{huge}]' for key in "XYWH")
    _text(tmp_path / "a.jpg.json", f'[{{"XMP:RegionName": ["Ada"], {areas}}}]')
    tags = TagReader().tags_of(save(tmp_path / "a.jpg"))
    assert {tag.name: tag.boxes for tag in tags} == {"Ada": (), "Ben": ()}


def test_what_beside_a_photo_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would wait for ever, and a folder is none."""
    os.mkfifo(tmp_path / "a.xmp")
    (tmp_path / "a.jpg.json").mkdir()
    assert TagReader().tags_of(save(tmp_path / "a.jpg")) == []
    (tmp_path / "raw.cr2").write_bytes(b"II*\0\x10\0\0\0CR")
    _text(tmp_path / "raw.xmp", tagged.mwg(PEOPLE, SIZE))
    check(regions(tmp_path / "raw.cr2"))
