"""XMP packets of pictures and sidecars, read as what nobody vouches for: bounded, without entities.

Source: ISO 16684-1 (XMP: the part of RDF/XML that it allows).
"""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from mystyle_cli.errors import DecodeError, reason_of
from mystyle_cli.files.parsing import DocumentError

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
LONGEST: Final = 16 << 20  # characters of a packet: what developed a photo may take millions
DEEPEST: Final = 64  # elements within each other
MOST: Final = 200_000  # elements

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
_PNG_KEY = "XML:com.adobe.xmp"  # the keyword under which PNG holds XMP
_SIDEWARDS = (5, 6, 7, 8)  # EXIF's numbers of what is stored lying on its side
_ORIENTATION = 0x0112
_TURNED = "original_orientation"  # where pillow-heif notes how a picture lay that it has turned

_SYNTAX = (f"{{{RDF}}}", "{http://www.w3.org/XML/1998/namespace}")  # of RDF and XML itself

Value = str | list[Any] | dict[str, Any]
"""A property: a text, a list of values, or a structure by "{namespace}name"."""


@dataclass(frozen=True)
class Head:
    """What a picture's file says besides its pixels."""

    packet: str = ""  # XMP, as text
    size: tuple[int, int] = (0, 0)  # width and height as stored; 0 where it cannot be told
    orientation: int = 1  # EXIF's, from 1 to 8

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return self.size[::-1] if self.orientation in _SIDEWARDS else self.size


def head_of(data: bytes, name: str) -> Head:
    """Return what a picture's file says besides its pixels, which are not looked at; raises DecodeError."""
    from PIL import Image, UnidentifiedImageError

    if data[4:8] == b"ftyp":  # HEIC or AVIF
        with suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
    hint = "Give a PNG, JPEG or WebP file."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about large pictures, whose pixels are not looked at
            Image.init()
            known = [kind for kind in _FORMATS if kind in Image.OPEN]
            with Image.open(io.BytesIO(data), formats=known) as image:
                packet = image.info.get(_PNG_KEY) or image.info.get("xmp") or b""
                return Head(_text(packet), _stored(image), _orientation(image))
    except UnidentifiedImageError as error:  # whose words name the computer's memory
        raise DecodeError(f"{name}: is not a picture that can be read", hint) from error
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise DecodeError(f"{name}: cannot be opened as a picture ({reason_of(error)})", hint) from error


def _orientation(image: Any) -> int:
    with suppress(Exception):  # Pillow raises almost anything on damaged EXIF
        number = image.info.get(_TURNED) or image.getexif().get(_ORIENTATION, 1)
        return int(number) if number in range(1, 9) else 1
    return 1


def _stored(image: Any) -> tuple[int, int]:
    """Return width and height as stored, also of what was turned upright while it was read."""
    size: tuple[int, int] = image.size
    return size[::-1] if image.info.get(_TURNED) in _SIDEWARDS else size


def _text(packet: object) -> str:
    return packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)


@dataclass
class _Element:
    name: str
    attributes: dict[str, str]
    children: list[_Element] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


def properties_of(packet: str) -> dict[str, Value]:
    """Return the properties that a packet states, by "{namespace}name".

    Raises:
        DocumentError: it is no XMP, declares a document type or an entity, or is beyond all bounds.
    """
    if len(packet) > LONGEST:
        raise DocumentError(f"it has {len(packet):,} characters, more than a packet of XMP")
    found: dict[str, Value] = {}
    for description in _described(_parsed(packet)):
        found |= _structure(description)
    return found


def _described(element: _Element) -> list[_Element]:
    """Return what describes the picture: the descriptions at the top of the packet."""
    if element.name == f"{{{RDF}}}RDF":
        return [child for child in element.children if child.name == f"{{{RDF}}}Description"]
    return [one for child in element.children for one in _described(child)]


def _parsed(packet: str) -> _Element:
    """Return the tree of a packet."""
    root = _Element("", {})
    path, count = [root], 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(path) > DEEPEST or count > MOST:
            raise DocumentError("it has more elements, or more within each other, than a packet of XMP")
        element = _Element(_named(name), {_named(key): value for key, value in attributes.items()})
        path[-1].children.append(element)
        path.append(element)

    def refuse(*declared: object) -> None:
        raise DocumentError("it declares a document type, which no packet of XMP does")

    reader = expat.ParserCreate(namespace_separator=" ")
    reader.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    reader.StartElementHandler = start
    reader.EndElementHandler = lambda name: path.pop()
    reader.CharacterDataHandler = lambda text: path[-1].text.append(text)
    reader.StartDoctypeDeclHandler = refuse
    reader.EntityDeclHandler = refuse
    try:
        reader.Parse(packet.strip("\0\ufeff \t\r\n").encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise DocumentError(f"it is no XML ({error})") from error
    return root


def _named(name: str) -> str:
    """Return a name as "{namespace}name"."""
    space, found, local = name.rpartition(" ")
    return f"{{{space}}}{local}" if found else local


def _structure(element: _Element) -> dict[str, Value]:
    """Return the fields that an element states as attributes and as elements."""
    fields: dict[str, Value] = {
        key: value for key, value in element.attributes.items() if not key.startswith(_SYNTAX)
    }
    return fields | {child.name: _value(child) for child in element.children}


def _value(element: _Element) -> Value:
    """Return what a property's element holds."""
    for child in element.children:
        if child.name in (f"{{{RDF}}}Bag", f"{{{RDF}}}Seq", f"{{{RDF}}}Alt"):
            return [_value(entry) for entry in child.children]
        if child.name == f"{{{RDF}}}Description":
            return _structure(child)
    return _structure(element) or "".join(element.text).strip()
