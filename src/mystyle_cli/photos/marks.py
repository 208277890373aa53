"""Provenance: what made a picture, embedded as XMP so that people and machines can tell it is AI-made."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from PIL import Image, PngImagePlugin

from mystyle_cli.errors import DecodeError

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_OWN = "urn:mystyle:provenance:1#"
_PNG_KEY = "XML:com.adobe.xmp"  # the keyword under which PNG holds XMP


def source_type(command: str) -> SourceType:
    """Return IPTC's digital source type of a command's results: only samples come from the model alone."""
    return "trainedAlgorithmicMedia" if command == "sample" else "compositeWithTrainedAlgorithmicMedia"


def _quoted(text: str) -> str:
    """Return a text as the value of an XML attribute, line breaks kept."""
    whole = escape(text).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    return f'"{whole}"'


@dataclass(frozen=True)
class Provenance:
    """How a picture was made.

    Args:
        command: sample, invert, inpaint, upscale or edit.
        profile: name of the profile.
        prior: name of its domain prior.
        beta: dilation of the hull, infinite where unbounded; None where no hull was searched.
        seed: the seed that repeats it.
        version: of mystyle.
        digital_source_type: IPTC's term, see `source_type`.
        created: ISO 8601 time with zone, or None: the same work is the same bytes then, whenever it is done,
            and no album takes the day of a restoration for that of the photo.
    """

    command: str
    profile: str
    prior: str
    beta: float | None
    seed: int | None
    version: str
    digital_source_type: SourceType
    created: str | None = None

    def xmp(self) -> str:
        """Return the XMP packet."""
        own = {"command": self.command, "profile": self.profile, "prior": self.prior, "version": self.version}
        if self.beta is not None:
            own["beta"] = repr(float(self.beta))
        if self.seed is not None:
            own["seed"] = str(self.seed)
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


def read_marks(path: Path) -> Provenance | None:
    """Return the provenance embedded in a picture, or None where it has none of ours.

    Args:
        path: a PNG, JPEG or WebP file.

    Raises:
        DecodeError: the file is no picture that can be opened.
    """
    try:
        with Image.open(path) as image:
            packet = image.info.get(_PNG_KEY) or image.info.get("xmp") or b""
    except OSError as error:
        raise DecodeError(
            f"{path}: cannot be opened as a picture ({error})", "Give a PNG, JPEG or WebP file."
        ) from error
    from xml.etree import ElementTree

    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    if _OWN not in text:
        return None
    try:
        # from the root element on, so that no entity can be declared that would grow
        packet = text[text.index("<x:xmpmeta") : text.rindex("</x:xmpmeta>") + 12]
        root = ElementTree.fromstring(packet)  # noqa: S314
    except (ElementTree.ParseError, ValueError):
        return None
    found = root.find(f".//{{{_RDF}}}Description")
    return None if found is None else _from_attributes(found.attrib)


def _from_attributes(attributes: dict[str, str]) -> Provenance | None:
    """Rebuild the record from the packet's attributes; None where one of ours is missing or malformed."""
    own = {key.removeprefix(f"{{{_OWN}}}"): value for key, value in attributes.items()}
    seed = own.get("seed")
    kind = own.get(f"{{{_IPTC}}}DigitalSourceType", "").removeprefix(_VOCABULARY)
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
        )
    except (KeyError, ValueError):
        return None
