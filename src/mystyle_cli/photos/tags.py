"""Who is on a photo and where, as albums' programs have noted it in the photo or beside it.

Regions are given for the picture as it is stored: that is what the MWG says, and what digiKam, Lightroom and
osxphotos write; Picasa gives them for the upright one. The size that a region was applied to tells which it
is where a photo lies on its side; else the other is a second guess.

Source: Metadata Working Group, "Guidelines for handling image metadata" 2.0, sec. 5.9 (regions); Microsoft,
"People Tagging Overview" (MPReg); IPTC Photo Metadata, PersonInImage; osxphotos' and Immich's own documents.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mystyle_cli.errors import DecodeError
from mystyle_cli.files import reading
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.photos.decode import read_file
from mystyle_cli.photos.xmp import Head, Value, head_of, properties_of

LONGEST_NAME: Final = 256  # characters of a name that counts
LARGEST_BESIDE: Final = 16 << 20  # bytes of the largest file beside a photo
LARGEST_LIST: Final = 64 << 20  # the same of a list of a folder's photos; in memory it may take 25 times that

_MWG = "{http://www.metadataworkinggroup.com/schemas/regions/}"
_AREA = "{http://ns.adobe.com/xmp/sType/Area#}"
_SIZE = "{http://ns.adobe.com/xap/1.0/sType/Dimensions#}"
_MP = "{http://ns.microsoft.com/photo/1.2/}"
_MPRI = "{http://ns.microsoft.com/photo/1.2/t/RegionInfo#}"
_MPREG = "{http://ns.microsoft.com/photo/1.2/t/Region#}"
_PERSON = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}PersonInImage"
_KEYWORDS = "{http://purl.org/dc/elements/1.1/}subject"
_TREES = {  # keywords below others, and what stands between them
    "{http://www.digikam.org/ns/1.0/}TagsList": "/",
    "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject": "|",
}
_FACE = ("face", "")  # types of regions that count; others are pets, barcodes and focus points
_PICASA = (".picasa.ini", "Picasa.ini", "picasa.ini")
_IMMICH = "immich.json"

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a face on the upright photo, in its width and height."""


@dataclass(frozen=True)
class Tag:
    """A person on a photo.

    Args:
        name: as it was written.
        boxes: where, the likeliest first; none where nothing says.
        person: whether it is said to be one; a keyword need not be.
    """

    name: str
    boxes: tuple[Box, ...] = ()
    person: bool = True


def key_of(name: str) -> str:
    """Return what names are compared by: the same however one is spelled and capitalised."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


class TagReader:
    """Reads who is on photos; what lies beside many of them is read once."""

    def __init__(self) -> None:
        self._picasa: dict[Path, dict[str, list[Tag]]] = {}
        self._immich: dict[Path, dict[str, list[Any]]] = {}

    def tags_of(self, path: Path) -> list[Tag]:
        """Return who is on a photo; nobody where it cannot be read, which is told when it is decoded."""
        try:
            head = head_of(read_file(path), str(path))
        except DecodeError:  # camera RAW, whose sidecar may say it
            head = Head()
        tags = list(_of_packet(head.packet, head))
        for name in dict.fromkeys((f"{path.name}.xmp", f"{path.stem}.xmp", f"{path.name}.XMP")):
            if (data := _beside(path.with_name(name))) is not None:
                tags += _of_packet(data.decode("utf-8", "replace"), head)
        for name in (f"{path.name}.json", f"{path.stem}.json"):
            if (data := _beside(path.with_name(name))) is not None:
                with suppress(DocumentError):
                    tags += _of_json(json_of(data), head)
        tags += self._picasa_of(path.parent).get(path.name.casefold(), [])
        for asset in self._immich_of(path.parent).get(path.name.casefold(), []):
            tags += _of_asset(asset)
        return [tag for tag in tags if 0 < len(tag.name) <= LONGEST_NAME]

    def _picasa_of(self, folder: Path) -> dict[str, list[Tag]]:
        if folder not in self._picasa:
            data = next(filter(None, (_beside(folder / name) for name in _PICASA)), b"")
            self._picasa[folder] = _of_picasa(data.decode("utf-8", "replace"))
        return self._picasa[folder]

    def _immich_of(self, folder: Path) -> dict[str, list[Any]]:
        if folder not in self._immich:
            self._immich[folder] = {}
            with suppress(DocumentError):
                for asset in _assets(json_of(_beside(folder / _IMMICH, LARGEST_LIST) or b"[]")):
                    name = str(asset.get("originalFileName", "")).casefold()
                    self._immich[folder].setdefault(name, []).append(asset)
        return self._immich[folder]


def _beside(path: Path, most: int = LARGEST_BESIDE) -> bytes | None:
    """Return the content of a file beside a photo, None where there is none that can be read."""
    try:
        return reading.read_file(path, most)
    except OSError:
        return None


def _of_packet(packet: str, head: Head) -> Iterator[Tag]:
    """Yield the people of a packet of XMP."""
    if not packet:
        return
    try:
        found = properties_of(packet)
    except DocumentError:  # damaged, or nobody's
        return
    yield from _mwg(found.get(f"{_MWG}Regions"), head)
    regions = _fields(found.get(f"{_MP}RegionInfo")).get(f"{_MPRI}Regions")
    for region in map(_fields, _list(regions)):
        numbers = _numbers(str(region.get(f"{_MPREG}Rectangle", "")).split(","))
        box = None
        if len(numbers) == 4:
            left, top, wide, high = numbers
            box = left, top, left + wide, top + high
        yield Tag(_word(region.get(f"{_MPREG}PersonDisplayName")), _boxes(box, head))
    for name in _list(found.get(_PERSON)):
        yield Tag(_word(name))
    for name in _list(found.get(_KEYWORDS)):
        yield Tag(_word(name), person=False)
    for tree, between in _TREES.items():
        for name in _list(found.get(tree)):
            above, _, last = _word(name).rpartition(between)
            yield Tag(last, person=key_of(above.partition(between)[0]) == "people")


def _mwg(info: Value | None, head: Head) -> Iterator[Tag]:
    """Yield the people of MWG's regions."""
    fields = _fields(info)
    size = _fields(fields.get(f"{_MWG}AppliedToDimensions"))
    applied = _numbers([size.get(f"{_SIZE}w"), size.get(f"{_SIZE}h")])
    for region in map(_fields, _list(fields.get(f"{_MWG}RegionList"))):
        if _word(region.get(f"{_MWG}Type")).casefold() not in _FACE:
            continue
        area = _fields(region.get(f"{_MWG}Area"))
        unit = _word(area.get(f"{_AREA}unit")).casefold()
        numbers = _numbers(area.get(f"{_AREA}{key}") for key in "xywh")
        yield Tag(_word(region.get(f"{_MWG}Name")), _boxes(_about(numbers, unit, applied), head, applied))


def _about(numbers: Sequence[float], unit: str, applied: Sequence[float]) -> Box | None:
    """Return the box of a middle and a size, normalised or in pixels of the size that it was applied to."""
    if len(numbers) != 4:
        return None
    x, y, width, height = numbers
    if unit == "pixel":
        if len(applied) != 2 or min(applied) <= 0:
            return None
        x, width, y, height = x / applied[0], width / applied[0], y / applied[1], height / applied[1]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _boxes(
    box: Box | None, head: Head, applied: Sequence[float] = (), shown: bool = False
) -> tuple[Box, ...]:
    """Return where a region is on the upright photo, the likeliest first.

    Args:
        box: of the photo as it is stored, or, if `shown`, as it is upright.
        applied: width and height of the picture that it was given for, where that is known.
    """
    if box is None or not all(map(math.isfinite, box)):
        return ()
    if len(applied) == 2 and head.size != head.shown:
        wide = applied[0] > applied[1]
        shown = wide != (head.size[0] > head.size[1]) and applied[0] != applied[1]
    stored = _upright(box, head.orientation)
    both = (box, stored) if shown else (stored, box)
    return tuple(dict.fromkeys(clipped for one in both if (clipped := _clipped(one)) is not None))


def _upright(box: Box, orientation: int) -> Box:
    """Return a box of the stored picture on the upright one, as EXIF's number turns it."""

    def turned(x: float, y: float) -> tuple[float, float]:
        if orientation in (5, 6, 7, 8):
            x, y = y, x
        if orientation in (2, 3, 6, 7):
            x = 1 - x
        if orientation in (3, 4, 7, 8):
            y = 1 - y
        return x, y

    (left, top), (right, bottom) = turned(*box[:2]), turned(*box[2:])
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def _clipped(box: Box) -> Box | None:
    """Return what of a box lies on the photo, None for nothing."""
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in box)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _of_picasa(text: str) -> dict[str, list[Tag]]:
    """Return the people of a folder's photos, by the photo's name in small letters, as Picasa notes them."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1].casefold(), {})
        elif "=" in line:
            key, _, value = line.partition("=")
            current[key.strip().casefold()] = value.strip()
    names = {key: value.split(";")[0].strip() for key, value in sections.get("contacts2", {}).items()}
    found: dict[str, list[Tag]] = {}
    for photo, entries in sections.items():
        for face in entries.get("faces", "").split(";"):
            rectangle, _, contact = face.partition(",")
            name, box = names.get(contact.strip().casefold(), ""), _rect64(rectangle.strip())
            if name:
                found.setdefault(photo, []).append(Tag(name, () if box is None else (box,)))
    return found


def _rect64(text: str) -> Box | None:
    """Return the box of `rect64(...)`: left, top, right and bottom, 16 bits each, zeros in front left out."""
    digits = text.removeprefix("rect64(").removesuffix(")")
    if not text.startswith("rect64(") or not 0 < len(digits) <= 16:
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    left, top, right, bottom = (((number >> shift) & 0xFFFF) / 0xFFFF for shift in (48, 32, 16, 0))
    return _clipped((left, top, right, bottom))


def _of_json(document: Any, head: Head) -> Iterator[Tag]:
    """Yield the people of a photo's own JSON: ExifTool's, as osxphotos writes it, or an asset of Immich's."""
    for entry in document if isinstance(document, list) else [document]:
        if not isinstance(entry, dict):
            continue
        if "people" in entry:
            yield from _of_asset(entry)
            continue
        plain = {str(key).rpartition(":")[2]: value for key, value in entry.items()}
        yield from _exiftool(plain, head)


def _exiftool(plain: Mapping[str, Any], head: Head) -> Iterator[Tag]:
    applied = _numbers(plain.get(f"RegionAppliedToDimensions{side}") for side in "WH")
    names, columns = _list(plain.get("RegionName")), [_list(plain.get(f"RegionArea{key}")) for key in "XYWH"]
    kinds, units = _list(plain.get("RegionType")), _list(plain.get("RegionAreaUnit"))
    for row, name in enumerate(names):
        kind = _word(kinds[row]) if row < len(kinds) else ""
        if kind.casefold() not in _FACE:
            continue
        numbers = _numbers(column[row] for column in columns if row < len(column))
        unit = _word(units[row]).casefold() if row < len(units) else ""
        yield Tag(_word(name), _boxes(_about(numbers, unit, applied), head, applied))
    for name in _list(plain.get("PersonInImage")):
        yield Tag(_word(name))
    for key in ("Subject", "Keywords"):
        for name in _list(plain.get(key)):
            yield Tag(_word(name), person=False)


def _of_asset(asset: Mapping[str, Any]) -> Iterator[Tag]:
    """Yield the people of an asset as Immich describes it; boxes are in pixels of an upright copy."""
    for person in _list(asset.get("people")):
        if not isinstance(person, dict):
            yield Tag(_word(person))
            continue
        name = _word(person.get("name"))
        faces = [face for face in _list(person.get("faces")) if isinstance(face, dict)]
        yield from (Tag(name, _immich_box(face)) for face in faces)
        if not faces:
            yield Tag(name)


def _immich_box(face: Mapping[str, Any]) -> tuple[Box, ...]:
    corners = _numbers(face.get(f"boundingBox{key}") for key in ("X1", "Y1", "X2", "Y2"))
    size = _numbers([face.get("imageWidth"), face.get("imageHeight")])
    if len(corners) != 4 or len(size) != 2 or min(size) <= 0:
        return ()
    left, top, right, bottom = corners
    return _boxes((left / size[0], top / size[1], right / size[0], bottom / size[1]), Head())


def _assets(document: Any) -> list[dict[str, Any]]:
    """Return the assets of a list, or of an answer of Immich's search."""
    if isinstance(document, dict):
        document = _fields(document.get("assets")).get("items", document.get("items"))
    return [entry for entry in document if isinstance(entry, dict)] if isinstance(document, list) else []


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _word(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _numbers(values: Iterable[Any]) -> list[float]:
    """Return values as finite numbers; none at all where one of them is none."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):  # the last: a whole number of hundreds of digits
        return []
    return numbers if all(map(math.isfinite, numbers)) else []
