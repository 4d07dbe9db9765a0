"""Cut the OME-XML of a set of files down to the planes of one file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from napari_baryir.files.tiff.ome_xml import change_elements, remove_identifier

Indices = dict[str, int]
"""Those of a plane along C, Z and T."""


def own_part(xml: str, name: str, pages: int) -> tuple[str, str] | None:
    """Describe the planes that lie in a file itself; None unless other files hold some as well.

    `xml` is the file's OME-XML, `pages` how many it has, and `name` its name, by which the XML
    refers to it where the files have no identifiers. Returns the OME-XML of its planes alone, and a
    sentence about it.
    """
    root = ElementTree.fromstring(xml)
    images = root.findall("{*}Image")
    blocks = [image.findall("{*}Pixels/{*}TiffData") for image in images]
    own = [[block for block in each if _is_own(block, root.get("UUID"), name)] for each in blocks]
    number = next((i for i, each in enumerate(own) if each), None)
    pixels = images[number].find("{*}Pixels") if number is not None else None
    if number is None or pixels is None or own == blocks:
        return None
    samples, sizes, order = _shape(pixels)
    found = {
        plane: page
        for block in own[number]
        for plane, page in _numbered(block, order, sizes, pages)
    }
    planes = [_indices(each, order, sizes) for each in sorted(found)]
    held = {axis: sorted({plane[axis] for plane in planes}) for axis in order}
    whole = math.prod(map(len, held.values())) == len(planes)
    if whole:
        moved = [{axis: held[axis].index(plane[axis]) for axis in order} for plane in planes]
        said = ", ".join(f"{axis} {len(held[axis])} of {sizes[axis]}" for axis in "CZT")
    else:
        # A set that was cut where a file was full: neither channels nor stacks are complete.
        moved = [{"C": 0, "Z": 0, "T": i} for i in range(len(planes))]
        said = f"{len(planes)} of {math.prod(sizes.values())}, which are no whole stack, read as T"
    xml = change_elements(xml, "Image", lambda i, text: text if i == number else "")
    for axis in "CZT":
        length = (1 + max(plane[axis] for plane in moved)) * (samples if axis == "C" else 1)
        xml = re.sub(
            rf'(<[^<>]*\bPixels\b[^<>]*\bSize{axis}=")\d+', rf"\g<1>{length}", xml, count=1
        )
    kept = held["C"] if whole else [0]
    xml = change_elements(xml, "Channel", lambda i, text: text if i in kept else "")
    new = {tuple(old.values()): plane for old, plane in zip(planes, moved, strict=True)}
    xml = change_elements(xml, "Plane", lambda _, text: _moved_plane(text, tuple(order), new))
    xml = _with_pages(xml, [found[each] for each in sorted(found)], moved)
    note = f"it is one of several files of an image; only its own planes are read ({said})"
    return remove_identifier(xml), note


def _is_own(block: ElementTree.Element, identifier: str | None, name: str) -> bool:
    uuid = block.find("{*}UUID")
    if uuid is None:
        return True
    if identifier is not None:
        return uuid.text == identifier
    return uuid.get("FileName", "").lower() == name.lower()


def _shape(pixels: ElementTree.Element) -> tuple[int, dict[str, int], str]:
    """Return samples per pixel, the lengths of C, Z and T, and their order, fastest first."""
    channel = pixels.find("{*}Channel")
    samples = int(channel.get("SamplesPerPixel", "1")) if channel is not None else 1
    sizes = {axis: int(pixels.get(f"Size{axis}", "1")) for axis in "CZT"}
    sizes["C"] = max(1, sizes["C"] // samples)
    return samples, sizes, pixels.get("DimensionOrder", "XYCZT")[2:]


def _numbered(
    block: ElementTree.Element, order: str, sizes: Indices, pages: int
) -> Iterator[tuple[int, int]]:
    """Go through the planes of a TiffData: their number in the whole image, and their page."""
    first = int(block.get("IFD", "0"))
    count = int(
        block.get("PlaneCount", block.get("NumPlanes", 1 if "IFD" in block.attrib else pages))
    )
    start, step = 0, 1
    for axis in order:
        start += step * int(block.get(f"First{axis}", "0"))
        step *= sizes[axis]
    for i in range(min(count, pages - first, step - start)):
        yield start + i, first + i


def _indices(number: int, order: str, sizes: Indices) -> Indices:
    plane = {}
    for axis in order:
        number, plane[axis] = divmod(number, sizes[axis])
    return plane


def _with_pages(xml: str, pages: list[int], planes: list[Indices]) -> str:
    """Say in the TiffData of an OME-XML on which page each plane lies."""
    data = "".join(
        f'<TiffData IFD="{page}" PlaneCount="1" '
        + " ".join(f'First{axis}="{index}"' for axis, index in plane.items())
        + "/>"
        for page, plane in zip(pages, planes, strict=True)
    )
    prefix = re.search(r"<([\w.-]+:)?TiffData\b", xml)
    data = data.replace("<", f"<{prefix.group(1) or ''}" if prefix else "<")
    return change_elements(xml, "TiffData", lambda i, _: data if i == 0 else "")


def _moved_plane(text: str, order: tuple[str, ...], new: dict[tuple[int, ...], Indices]) -> str:
    """Give a Plane element its indices in the share, or nothing if it is not among it."""
    found = {axis: re.search(rf'\bThe{axis}="(\d+)"', text) for axis in order}
    plane = new.get(tuple(int(each.group(1)) if each else 0 for each in found.values()))
    if plane is None:
        return ""
    for axis, index in plane.items():
        text = re.sub(rf'\bThe{axis}="\d+"', f'The{axis}="{index}"', text, count=1)
    return text
