"""TIFFs as instruments write them: sets of files, Micro-Manager, MetaMorph, ScanImage."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_baryir.files import read_image
from tiff_files import PLANES, written_back


def ome_set(
    folder: Path, sizes: dict[str, int], files: Sequence[Sequence[int]], *, identified: bool = True
) -> list[Path]:
    """Write one OME-TIFF image, XYZCT, whose planes `PLANES` lie in several files."""
    ids = [uuid.uuid4() for _ in files]
    names = [f"part{i}.ome.tif" for i in range(len(files))]
    places = [
        dict(zip("ZCT", at[::-1], strict=True)) for at in np.ndindex(*(sizes[a] for a in "TCZ"))
    ]
    blocks = "".join(
        f'<TiffData IFD="{page}" PlaneCount="1" '
        + " ".join(f'First{axis}="{i}"' for axis, i in places[plane].items())
        + f'><UUID FileName="{name}">urn:uuid:{each}</UUID></TiffData>'
        for planes, name, each in zip(files, names, ids, strict=True)
        for page, plane in enumerate(planes)
    )
    notes = "".join(
        f'<Plane ExposureTime="{n}.5" ' + " ".join(f'The{a}="{i}"' for a, i in place.items()) + "/>"
        for n, place in enumerate(places)
    )
    channels = "".join(f'<Channel ID="Channel:0:{c}" Name="c{c}"/>' for c in range(sizes["C"]))
    shape = " ".join(f'Size{axis}="{n}"' for axis, n in sizes.items())
    for planes, name, each in zip(files, names, ids, strict=True):
        own = f' UUID="urn:uuid:{each}"' if identified else ""
        xml = (
            f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/'
            f'Schemas/OME/2016-06"{own}><Image ID="Image:0"><Pixels ID="Pixels:0" '
            f'DimensionOrder="XYZCT" Type="uint16" SizeX="24" SizeY="20" PhysicalSizeX="0.5" '
            f"{shape}>{channels}{blocks}{notes}</Pixels></Image></OME>"
        )
        tifffile.imwrite(
            folder / name, PLANES[list(planes)], description=xml.encode(), metadata=None,
            photometric="minisblack",
        )  # fmt: skip
    return [folder / name for name in names]


@pytest.mark.parametrize("identified", [True, False])
def test_each_file_of_an_ome_set_gives_the_planes_that_it_holds(
    tmp_path: Path, identified: bool
) -> None:
    groups = [range(c * 2, c * 2 + 2) for c in range(3)]
    paths = ome_set(tmp_path, {"Z": 2, "C": 3, "T": 1}, groups, identified=identified)
    for channel, (path, planes) in enumerate(zip(paths, groups, strict=True)):
        image = read_image(path)
        assert (image.axes, image.channel_names) == ("ZYX", (f"c{channel}",))
        assert "one of several files" in image.notes[0]
        np.testing.assert_array_equal(image.data, PLANES[planes])
        out = written_back(path)
        with tifffile.TiffFile(out) as after:
            assert len(after.pages) == 2
            found = tifffile.xml2dict(after.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (found["SizeC"], found["SizeZ"], found["PhysicalSizeX"]) == (1, 2, 0.5)
        assert [plane["ExposureTime"] for plane in found["Plane"]] == [n + 0.5 for n in planes]
        np.testing.assert_array_equal(read_image(out).data, PLANES[planes])


def test_a_set_that_was_cut_where_a_file_was_full_is_read_too(tmp_path: Path) -> None:
    paths = ome_set(tmp_path, {"Z": 2, "C": 3, "T": 2}, [range(7), range(7, 12)])
    for path, planes in zip(paths, (range(7), range(7, 12)), strict=True):
        image = read_image(path)
        assert image.axes == "TYX"
        assert "no whole stack" in image.notes[0]
        np.testing.assert_array_equal(image.data, PLANES[planes])
        np.testing.assert_array_equal(read_image(written_back(path)).data, PLANES[planes])


def test_metadata_that_lies_in_another_file_is_said_to(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:2"/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANES[0], description=xml, metadata=None)
    image = read_image(tmp_path / "a.ome.tif")
    assert image.notes == ("its metadata lies in another file, set.companion.ome",)
    np.testing.assert_array_equal(image.data, PLANES[0])


def micro_manager(path: Path, planes: Sequence[int], **settings: Any) -> None:
    """Write an MMStack of 2 channels and some times, as Micro-Manager 1.4 does."""
    summary = json.dumps(
        {"MicroManagerVersion": "1.4.22", "Frames": 2, "Channels": 2, "Slices": 1, "Positions": 1,
         "PixelSize_um": 0.65, "Interval_ms": 500, "ChNames": ["DAPI", "GFP"], "TimeFirst": True,
         "SlicesFirst": True} | settings
    ).encode()  # fmt: skip
    out = bytearray(40) + summary + b"\0" * (len(summary) % 2)
    starts = []
    for k in planes:
        plane, note = PLANES[k], json.dumps({"ElapsedTime-ms": 1000 + k}).encode() + b"\0"
        starts.append(len(out))
        at = len(out) + 162
        text = at + plane.nbytes
        tags = [(256, 4, 1, 24), (257, 4, 1, 20), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
                (273, 4, 1, at), (277, 3, 1, 1), (278, 3, 1, 20), (279, 4, 1, plane.nbytes),
                (296, 3, 1, 3), (305, 3, 1, 1), (306, 3, 1, 1),
                (51123, 2, len(note), text)]  # fmt: skip
        end = text + len(note) + len(note) % 2
        out += struct.pack("<H", 13) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        out += struct.pack("<I", end if k != planes[-1] else 0) + plane.tobytes() + note
        out += b"\0" * (end - len(out))
    index = len(out)
    out += struct.pack("<II", 3453623, len(starts))
    for k, start in zip(planes, starts, strict=True):
        out += struct.pack("<5I", k % 2, 0, k // 2, 0, start)
    shown = len(out)
    out += struct.pack("<II", 347834724, 2) + b"[]"
    said = len(out)
    out += struct.pack("<II", 84720485, 2) + b"{}"
    out[:8] = b"II*\0" + struct.pack("<I", starts[0])
    out[8:40] = struct.pack(
        "<8I", 54773648, index, 483765892, shown, 99384722, said, 2355492, len(summary)
    )
    path.write_bytes(bytes(out))


def test_micro_manager_s_steps_names_and_notes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x_MMStack_Pos0.tif"
    micro_manager(path, range(4))
    image = read_image(path)
    assert image.scale == {"X": 0.65, "Y": 0.65, "T": 0.5}
    assert image.units["X"] == "micrometer"
    assert image.channel_names == ("DAPI", "GFP")
    again = read_image(written_back(path))
    assert (again.axes, again.scale, again.units) == (image.axes, image.scale, image.units)
    assert again.channel_names == image.channel_names
    np.testing.assert_array_equal(again.data, image.data)
    with tifffile.TiffFile(again.path) as after:
        assert "MicroManagerVersion" in after.ome_metadata
        assert [page.tags[51123].value["ElapsedTime-ms"] for page in after.pages] == [
            1000, 1001, 1002, 1003,
        ]  # fmt: skip


def test_each_file_of_a_micro_manager_set_gives_the_planes_that_it_holds(tmp_path: Path) -> None:
    micro_manager(tmp_path / "x_MMStack.tif", range(4), Frames=4)
    micro_manager(tmp_path / "x_MMStack_1.tif", range(4, 8), Frames=4)
    for name, planes in (("x_MMStack.tif", range(4)), ("x_MMStack_1.tif", range(4, 8))):
        image = read_image(tmp_path / name)
        assert (image.axes, image.shape) == ("TCYX", (2, 2, 20, 24))
        assert "one of several files" in image.notes[0]
        np.testing.assert_array_equal(image.data.reshape(4, 20, 24), PLANES[planes])
        with tifffile.TiffFile(written_back(tmp_path / name)) as after:
            assert [page.tags[51123].value["ElapsedTime-ms"] for page in after.pages] == [
                1000 + k for k in planes
            ]


@pytest.mark.parametrize("name", ["cells.stk", "cells.tif"])
def test_metamorph_s_steps_and_settings_are_kept(tmp_path: Path, name: str) -> None:
    out = bytearray(8) + PLANES[:4].tobytes()
    second = len(out)
    out += b"".join(struct.pack("<6I", 15, 10, 2459000, 1000 + i * 100, 0, 0) for i in range(4))
    x = len(out)
    out += struct.pack("<4I", 65, 100, 65, 100) + struct.pack("<I", 3) + b"um\0\0"
    first = len(out)
    out += struct.pack("<6I", 4, x, 5, x + 8, 6, x + 16)
    directory = len(out)
    tags = [(256, 4, 1, 24), (257, 4, 1, 20), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 20), (279, 4, 1, PLANES[0].nbytes),
            (33628, 4, 3, first), (33629, 5, 4, second)]  # fmt: skip
    out += struct.pack("<H", 11) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    out[:8] = b"II*\0" + struct.pack("<I", directory)
    (tmp_path / name).write_bytes(bytes(out))
    image = read_image(tmp_path / name)
    assert image.scale["X"] == image.scale["Y"] == pytest.approx(0.65)
    again = read_image(written_back(tmp_path / name, "cells.tif"))
    assert again.scale == pytest.approx(image.scale)
    with tifffile.TiffFile(again.path) as after:
        assert "TimeCreated" in after.ome_metadata
    np.testing.assert_array_equal(again.data, PLANES[:4])


def test_scanimage_s_settings_and_times_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as file:
        for i, plane in enumerate(PLANES[:3]):
            file.write(
                plane.astype(np.int16), metadata=None, contiguous=False,
                description=f"frameTimestamps_sec = {i}",
                software="SI.VERSION_MAJOR = 2023" if i == 0 else None,
            )  # fmt: skip
    with tifffile.TiffFile(written_back(path)) as after:
        assert after.pages.first.software.startswith("SI.VERSION")
        texts = [page.aspage().description for page in after.pages]
    assert texts == [f"frameTimestamps_sec = {i}" for i in range(3)]
