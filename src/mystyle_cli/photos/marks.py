"""Provenance: what made a picture, embedded as XMP so that people and machines can tell it is AI-made."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

if TYPE_CHECKING:
    from mystyle_cli.photos.pixels import Pixels

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_OWN = "urn:mystyle:provenance:1#"
_SOURCE_TYPE = f"{{{_IPTC}}}DigitalSourceType"
_WORD = "AI"
_MARK = 0.04  # height of the visible mark's letters, in the picture's shorter side
_LONGEST = 1 << 20  # characters of a packet
_PNG_KEY = "XML:com.adobe.xmp"  # the keyword under which PNG holds XMP


def source_type(command: str) -> SourceType:
    """Return IPTC's digital source type of a command's results: only samples come from the model alone."""
    return "trainedAlgorithmicMedia" if command == "sample" else "compositeWithTrainedAlgorithmicMedia"


def _quoted(text: str) -> str:
    """Return a text as the value of an XML attribute, line breaks kept."""
    whole = escape(text).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    return f'"{whole}"'


@dataclass(frozen=True)
class Drawn:
    """How samples were drawn, besides their seed."""

    sampler: str  # "anchors" or "uniform"
    anchors: int  # photos in a mix
    count: int = 1  # pictures on the sheet, of the seed and those after it; 1 for a picture alone
    photos: str = ""  # digest of which photos were mixed where they are those of about a year, else ""


@dataclass(frozen=True)
class Provenance:
    """How a picture was made."""

    command: str  # sample, invert, inpaint, upscale or edit
    profile: str
    prior: str
    beta: float | None  # dilation of the hull, infinite where unbounded; None where no hull was searched
    seed: int | None
    version: str
    digital_source_type: SourceType  # IPTC's term, see `source_type`
    # ISO 8601 time with zone, or None: the same work is the same bytes then, whenever it is done, and no
    # album takes the day of a restoration for that of the photo
    created: str | None = None
    # cosine of the result to the nearest photo of the person, where it was measured
    id_score: float | None = None
    generator: str = ""  # sha256 of the person's generator, "" where it is not known
    # how a sample was drawn, so that it can be drawn again; None for what was made from a photo
    drawn: Drawn | None = None
    visible: bool = False  # a mark can be seen in its corner
    # what `restore.saved.code_bytes` made, so that it can be drawn again; empty where it is not kept
    code: bytes = b""
    person: str = ""  # who of several people it is; "" where the profile is of one
    year: int | None = None  # of about which the person's photos were that it is mixed of; None: any

    def sentence(self) -> str:
        """Return the same in words, for files that have a comment and no packet."""
        bound = "" if self.beta is None else f", beta {self.beta:g}"
        seed = "" if self.seed is None else f", seed {self.seed}"
        person = f", person {self.person}" if self.person else ""
        year = "" if self.year is None else f", year {self.year}"
        return (
            f"Faces made with AI: mystyle {self.version} {self.command}, profile {self.profile}{person}, "
            f"prior {self.prior}{bound}{seed}{year}; {_VOCABULARY}{self.digital_source_type}"
        )

    def xmp(self) -> str:
        """Return the XMP packet."""
        own = {"command": self.command, "profile": self.profile, "prior": self.prior, "version": self.version}
        if self.beta is not None:
            own["beta"] = repr(float(self.beta))
        if self.seed is not None:
            own["seed"] = str(self.seed)
        if self.id_score is not None:
            own["id"] = f"{self.id_score:.3f}"
        if self.generator:
            own["generator"] = self.generator
        if self.person:
            own["person"] = self.person
        if self.year is not None:
            own["year"] = str(self.year)
        if self.visible:
            own["visible"] = "yes"
        if self.code:
            own["code"] = b64encode(self.code).decode()
        if self.drawn is not None:
            own |= {"sampler": self.drawn.sampler, "anchors": str(self.drawn.anchors)}
            own["count"] = str(self.drawn.count)
            if self.drawn.photos:
                own["photos"] = self.drawn.photos
        rows = [f"Iptc4xmpExt:DigitalSourceType={_quoted(_VOCABULARY + self.digital_source_type)}"]
        rows.append(f"xmp:CreatorTool={_quoted('mystyle ' + self.version)}")
        if self.created is not None:
            rows.append(f"xmp:CreateDate={_quoted(self.created)}")
        rows += [f"mystyle:{key}={_quoted(value)}" for key, value in own.items()]
        attributes = "\n    ".join(rows)
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
            f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="{_RDF}">\n'
            f'  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_IPTC}"\n'
            f'    xmlns:xmp="{_XMP}" xmlns:mystyle="{_OWN}"\n'
            f'    {attributes}/>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
        )

    def save_options(self, format: str) -> dict[str, Any]:
        """Return what Pillow's `save` needs to embed the packet in png, jpeg or webp."""
        if format != "png":
            return {"xmp": self.xmp().encode()}
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(_PNG_KEY, self.xmp())
        return {"pnginfo": chunks}


def stamped(pixels: Pixels) -> Pixels:
    """Return a picture uint8 (H, W, 3) with a small mark in its lower right corner that says AI."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    size = max(10, round(min(image.size) * _MARK))
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.textbbox((0, 0), _WORD, font=font)
    space = max(2, size // 5)
    width, height = math.ceil(right - left) + 2 * space, math.ceil(bottom - top) + 2 * space
    corner = image.width - width, image.height - height
    draw.rectangle((*corner, image.width, image.height), fill="black")
    draw.text((corner[0] + space - left, corner[1] + space - top), _WORD, font=font, fill="white")
    return np.array(image)


def read_marks(path: Path) -> Provenance | None:
    """Return the provenance embedded in a picture, None where it has none of ours; raises DecodeError."""
    attributes = _attributes(path)
    return _from_attributes(attributes) if any(key.startswith(f"{{{_OWN}}}") for key in attributes) else None


def read_source_type(path: Path) -> str:
    """Return what any program wrote as a picture's digital source type, "" for none; raises DecodeError."""
    return _attributes(path).get(_SOURCE_TYPE, "").rpartition("/")[2]


def _attributes(path: Path) -> dict[str, str]:
    """Return the attributes of a picture's XMP packet, none where it has no packet that can be read."""
    from xml.etree import ElementTree

    from mystyle_cli.photos.decode import read_file
    from mystyle_cli.photos.xmp import head_of

    text = head_of(read_file(path), str(path)).packet
    try:
        if len(text) > _LONGEST:
            raise ValueError("no program writes so long a packet")
        # from the root element on, so that no entity can be declared that would grow
        packet = text[text.index("<x:xmpmeta") : text.rindex("</x:xmpmeta>") + 12]
        root = ElementTree.fromstring(packet)  # noqa: S314
    except (ElementTree.ParseError, ValueError):
        return {}
    attributes: dict[str, str] = {}
    for description in root.iter(f"{{{_RDF}}}Description"):
        attributes |= description.attrib
    return attributes


def _from_attributes(attributes: dict[str, str]) -> Provenance | None:
    """Rebuild the record from the packet's attributes; None where one of ours is missing or malformed."""
    own = {key.removeprefix(f"{{{_OWN}}}"): value for key, value in attributes.items()}
    seed, score, year = own.get("seed"), own.get("id"), own.get("year")
    kind = own.get(_SOURCE_TYPE, "").removeprefix(_VOCABULARY)
    if kind not in ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"):
        return None
    try:
        return Provenance(
            command=own["command"],
            profile=own["profile"],
            prior=own["prior"],
            beta=None if own.get("beta", "none") == "none" else float(own["beta"]),
            seed=None if seed is None else int(seed),
            version=own["version"],
            digital_source_type=kind,  # type: ignore[arg-type]
            created=own.get(f"{{{_XMP}}}CreateDate"),
            id_score=None if score is None else float(score),
            generator=own.get("generator", ""),
            visible=own.get("visible") == "yes",
            person=own.get("person", ""),
            year=None if year is None else int(year),
            code=b64decode(own.get("code", ""), validate=True),
            drawn=_drawn(own) if "sampler" in own else None,
        )
    except (KeyError, ValueError):
        return None


def _drawn(own: dict[str, str]) -> Drawn:
    """Return how a sample says that it was drawn; raises KeyError or ValueError where it does not."""
    return Drawn(own["sampler"], int(own["anchors"]), int(own["count"]), own.get("photos", ""))
