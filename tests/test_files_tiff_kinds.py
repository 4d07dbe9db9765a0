"""TIFFs of several files, of instruments, on their side, negative, with metadata on each page."""

from __future__ import annotations

import json
import logging
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_baryir.files import read_image, write_image

PLANES = np.random.default_rng(0).integers(100, 3000, (12, 20, 24)).astype(np.uint16)


def written_back(path: Path, name: str = "") -> Path:
    """Read a file and write its pixels, unchanged, to a new folder."""
    out = path.parent / "out" / (name or path.name)
    with read_image(path) as image:
        write_image(out, np.asarray(image.data), like=image)
    return out


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


def test_each_page_keeps_its_description_name_and_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=">") as file:
        for i, plane in enumerate(PLANES[:4]):
            file.write(
                plane, metadata=None, contiguous=False, description=f"t = {i}",
                datetime=f"2024:01:01 00:00:0{i}", compression="zlib",
                extratags=[
                    (285, "s", 0, f"plane {i}", True), (65000, "s", 0, f"own {i}", True),
                    (286, "2I", 1, (10 * i, 3), True), (287, "2I", 1, (7, 2), True),
                ],
            )  # fmt: skip
    out = written_back(path)

    def said(path: Path) -> list[list[Any]]:
        with tifffile.TiffFile(path) as file:
            pages = [page.aspage() for page in file.pages]
            return [
                [page.tags[code].value for code in (270, 285, 286, 287, 306, 65000)]
                for page in pages
            ]

    assert said(out) == said(path)
    np.testing.assert_array_equal(read_image(out).data, PLANES[:4])
    assert not caplog.records
    image = read_image(path)
    path.unlink()
    write_image(tmp_path / "b.tif", image.data, like=image)
    assert "pages after the first are not kept" in caplog.text


def test_what_of_a_tiff_is_not_kept_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    tags = [(65001, "H", 3, (1, 2, 3), True), (315, "s", 0, "A. Nother", True)]
    tifffile.imwrite(path, PLANES[0], metadata=None, extratags=tags)
    written_back(path)
    assert "65001" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        written_back(path, "a.png")
    assert "artist" in caplog.text


@pytest.mark.parametrize("out", ["out.tif", "out.png", "out.jpg", "out.zarr"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_tiff_on_its_side_comes_out_upright(tmp_path: Path, out: str, turn: int) -> None:
    path = tmp_path / "side.tif"
    y, x = np.mgrid[:24, :40]
    data = np.stack([x * 5, y * 9, x + y], -1).astype(np.uint8)
    tifffile.imwrite(
        path, data, photometric="rgb", metadata=None, tile=(16, 32), resolution=(300, 100),
        resolutionunit="inch", extratags=[(274, "H", 1, turn, True)],
    )  # fmt: skip
    with Image.open(path) as picture:
        seen = np.asarray(ImageOps.exif_transpose(picture)).astype(int)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, seen)
    assert image.dpi == ((300, 100) if turn < 5 else (100, 300))
    written = written_back(path, out)
    if out == "out.zarr":
        found = np.moveaxis(np.asarray(read_image(written).data), 0, -1)
    else:
        with Image.open(written) as picture:
            found = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_allclose(found.astype(int), seen, atol=12)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "bool"])
def test_where_zero_is_white_is_seen_as_it_is_and_its_numbers_come_back(
    tmp_path: Path, dtype: str
) -> None:
    path = tmp_path / "white.tif"
    data = (PLANES[0] > 1500) if dtype == "bool" else (PLANES[0] % 200).astype(dtype)
    tifffile.imwrite(path, data, photometric="miniswhite", metadata=None)
    image = read_image(path)
    darkest, brightest = data.astype(int).argmax(), data.astype(int).argmin()
    assert image.data.ravel()[brightest] == image.data.max() > image.data.min()
    assert image.data.ravel()[darkest] == image.data.min()
    if dtype == "bool":
        np.testing.assert_array_equal(image.data, np.where(data, 0, 255))
    else:
        np.testing.assert_array_equal(tifffile.imread(written_back(path)), data)
        with tifffile.TiffFile(written_back(path)) as after:
            assert after.pages.first.photometric.name == "MINISWHITE"
    if dtype in ("uint8", "bool"):
        np.testing.assert_array_equal(read_image(written_back(path, "a.png")).data, image.data)
        top = np.float32(255)
        np.testing.assert_array_equal(image.data, top - data * (top if dtype == "bool" else 1))


def test_large_turned_and_negative_pixels_stay_lazy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.files.tiff.pixels.IN_MEMORY", 100)
    for compression in (None, "zlib"):
        tifffile.imwrite(
            tmp_path / "a.tif", PLANES, photometric="miniswhite", metadata=None,
            compression=compression, extratags=[(274, "H", 1, 6, True)],
        )  # fmt: skip
        with read_image(tmp_path / "a.tif") as image:
            assert hasattr(image.data, "dask")
            expected = np.rot90(65535 - PLANES, -1, (1, 2))
            np.testing.assert_array_equal(np.asarray(image.data), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_that_are_multiplied_by_alpha_are_divided_and_come_back(
    tmp_path: Path, dtype: str, planar: str
) -> None:
    path = tmp_path / "soft.tif"
    top = np.iinfo(dtype).max if dtype != "float32" else 1
    random = np.random.default_rng(0)
    alpha = random.integers(0, 4, (20, 24, 1)) / 3
    colours = random.random((20, 24, 3))
    stored = (np.concatenate([colours * alpha, alpha], -1) * top).astype(dtype)
    tifffile.imwrite(
        path, stored if planar == "contig" else np.moveaxis(stored, -1, 0), photometric="rgb",
        planarconfig=planar, extrasamples=["assocalpha"], metadata=None,
    )  # fmt: skip
    image = read_image(path)
    shown = np.moveaxis(np.asarray(image.data), image.axes.index("S"), -1)
    half = alpha[..., 0] > 0.5
    np.testing.assert_allclose(shown[half][:, :3] / top, colours[half], atol=2 / min(top, 255))
    with tifffile.TiffFile(written_back(path)) as after:
        assert after.pages.first.tags[338].value == (1,)
        found = after.asarray()
    found = found if planar == "contig" else np.moveaxis(found, 0, -1)
    np.testing.assert_allclose(found, stored, rtol=1e-6)
    if dtype != "float32":
        np.testing.assert_array_equal(read_image(written_back(path, "soft.png")).data, shown)
