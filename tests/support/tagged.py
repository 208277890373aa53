"""Who is on photos, written down as albums' programs do, by hand after their specifications.

Source: Metadata Working Group, "Guidelines for handling image metadata" 2.0, sec. 5.9, with its example;
Microsoft, "People Tagging Overview"; IPTC Photo Metadata 2023.2; Picasa's `.picasa.ini` as it is described in
public; ExifTool's names of tags; the schema of Immich's API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in the picture's width and height."""

People = Mapping[str, Box]

_RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
_REGIONS = 'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"'
_AREA = 'xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"'
_SIZE = 'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"'


def packet(inner: str, namespaces: str = "") -> str:
    """Return a packet with what is inside of its description."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {_RDF}><rdf:Description rdf:about="" {namespaces}>{inner}</rdf:Description></rdf:RDF>'
        '</x:xmpmeta><?xpacket end="w"?>'
    )


def mwg(people: People, size: tuple[int, int], kind: str = "Face") -> str:
    """Return MWG's regions with all fields as elements, as the guidelines' example and digiKam have them."""
    entries = ""
    for name, (left, top, right, bottom) in people.items():
        area = dict(x=(left + right) / 2, y=(top + bottom) / 2, w=right - left, h=bottom - top)
        fields = "".join(f"<stArea:{key}>{value:.6f}</stArea:{key}>" for key, value in area.items())
        entries += (
            f'<rdf:li rdf:parseType="Resource"><mwg-rs:Area rdf:parseType="Resource">{fields}'
            f"<stArea:unit>normalized</stArea:unit></mwg-rs:Area><mwg-rs:Name>{escape(name)}</mwg-rs:Name>"
            f"<mwg-rs:Type>{kind}</mwg-rs:Type></rdf:li>"
        )
    return packet(
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions rdf:parseType="Resource">'
        f"<stDim:w>{size[0]}</stDim:w><stDim:h>{size[1]}</stDim:h><stDim:unit>pixel</stDim:unit>"
        f"</mwg-rs:AppliedToDimensions><mwg-rs:RegionList><rdf:Bag>{entries}</rdf:Bag></mwg-rs:RegionList>"
        "</mwg-rs:Regions>",
        f"{_REGIONS} {_AREA} {_SIZE}",
    )


def lightroom(people: People, size: tuple[int, int]) -> str:
    """Return the same with fields as attributes and descriptions within, as Adobe's programs write them."""
    entries = ""
    for name, (left, top, right, bottom) in people.items():
        entries += (
            f'<rdf:li><rdf:Description mwg-rs:Rotation="0.0" mwg-rs:Name={quoteattr(name)} '
            f'mwg-rs:Type="Face"><mwg-rs:Area stArea:h="{bottom - top}" stArea:w="{right - left}" '
            f'stArea:x="{(left + right) / 2}" stArea:y="{(top + bottom) / 2}" stArea:unit="normalized"/>'
            "</rdf:Description></rdf:li>"
        )
    return packet(
        f'<mwg-rs:Regions><rdf:Description><mwg-rs:AppliedToDimensions stDim:w="{size[0]}" '
        f'stDim:h="{size[1]}" stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag>{entries}</rdf:Bag>'
        "</mwg-rs:RegionList></rdf:Description></mwg-rs:Regions>",
        f"{_REGIONS} {_AREA} {_SIZE}",
    )


def microsoft(people: People) -> str:
    """Return Microsoft Photo's regions: left, top, width and height."""
    entries = "".join(
        f"<rdf:li><rdf:Description MPReg:PersonDisplayName={quoteattr(name)} "
        f'MPReg:Rectangle="{left}, {top}, {right - left}, {bottom - top}"/></rdf:li>'
        for name, (left, top, right, bottom) in people.items()
    )
    return packet(
        f"<MP:RegionInfo><rdf:Description><MPRI:Regions><rdf:Bag>{entries}</rdf:Bag></MPRI:Regions>"
        "</rdf:Description></MP:RegionInfo>",
        'xmlns:MP="http://ns.microsoft.com/photo/1.2/" '
        'xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#" '
        'xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#"',
    )


def names(people: list[str], keywords: list[str] = [], tree: list[str] = []) -> str:  # noqa: B006
    """Return IPTC's PersonInImage, keywords, and digiKam's tags, without a place."""

    def bag(words: list[str], kind: str = "Bag") -> str:
        return f"<rdf:{kind}>{''.join(f'<rdf:li>{escape(word)}</rdf:li>' for word in words)}</rdf:{kind}>"

    return packet(
        f"<Iptc4xmpExt:PersonInImage>{bag(people)}</Iptc4xmpExt:PersonInImage>"
        f"<dc:subject>{bag(keywords)}</dc:subject><digiKam:TagsList>{bag(tree, 'Seq')}</digiKam:TagsList>",
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:digiKam="http://www.digikam.org/ns/1.0/"',
    )


def picasa(photo: str, people: People) -> str:
    """Return a folder's `.picasa.ini`: four numbers of 16 bits, zeros in front left out."""
    faces, contacts = [], ""
    for number, (name, box) in enumerate(people.items()):
        numbers = "".join(f"{round(edge * 65535):04x}" for edge in box).lstrip("0")
        faces.append(f"rect64({numbers}),{number + 0xA0B1C2:x}")
        contacts += f"{number + 0xA0B1C2:x}={name};;\n"
    return f"[Picasa]\nname=Album\n[Contacts2]\n{contacts}[{photo}]\nfaces={';'.join(faces)};\nbackuphash=1\n"


def exiftool(people: People, size: tuple[int, int]) -> str:
    """Return a sidecar in ExifTool's JSON, as osxphotos writes it."""
    boxes = list(people.values())
    return json.dumps(
        [
            {
                "SourceFile": "a.jpg",
                "XMP:PersonInImage": list(people),
                "XMP:Subject": ["beach", *people],
                "XMP:RegionAppliedToDimensionsW": size[0],
                "XMP:RegionAppliedToDimensionsH": size[1],
                "XMP:RegionAppliedToDimensionsUnit": "pixel",
                "XMP:RegionName": list(people),
                "XMP:RegionType": ["Face"] * len(people),
                "XMP:RegionAreaX": [(left + right) / 2 for left, _, right, _ in boxes],
                "XMP:RegionAreaY": [(top + bottom) / 2 for _, top, _, bottom in boxes],
                "XMP:RegionAreaW": [right - left for left, _, right, _ in boxes],
                "XMP:RegionAreaH": [bottom - top for _, top, _, bottom in boxes],
                "XMP:RegionAreaUnit": ["normalized"] * len(people),
            }
        ]
    )


def immich(photo: str, people: People) -> dict[str, object]:
    """Return an asset as Immich's server answers, with boxes in pixels of its preview."""
    width, height = 1440, 960
    found = []
    for name, (left, top, right, bottom) in people.items():
        face = {"id": "f", "imageWidth": width, "imageHeight": height, "sourceType": "machine-learning"}
        corners = (("X1", left * width), ("Y1", top * height), ("X2", right * width), ("Y2", bottom * height))
        face |= {f"boundingBox{key}": round(value) for key, value in corners}
        found.append({"id": "p", "name": name, "isHidden": False, "faces": [face]})
    return {"originalFileName": photo, "type": "IMAGE", "people": found, "unassignedFaces": []}
