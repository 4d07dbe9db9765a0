"""OME-Zarr in and out: metadata, pyramid and storage survive; pixels stay lazy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_baryir.batch.jobs import plan_jobs
from napari_baryir.errors import InputError
from napari_baryir.files import (
    ImageFile,
    is_image_path,
    open_output,
    read_image,
    result_place,
    write_image,
)
from napari_baryir.files.ome_zarr.reading import VERSIONS

OMERO = {
    "channels": [
        {"label": name, "color": color, "active": True,
         "window": {"min": 0, "max": 65535, "start": 100, "end": 900}}
        for name, color in (("DAPI", "0000FF"), ("GFP", "00FF00"))
    ],
    "rdefs": {"model": "color"},
}  # fmt: skip


def make(path: Path, version: str, **storage: Any) -> np.ndarray[Any, Any]:
    """A two-channel stack with two levels, as other software would write it."""
    data = np.random.default_rng(0).integers(0, 900, (2, 3, 33, 40)).astype(np.uint16)
    group = zarr.create_group(store=path, zarr_format=2 if version == "0.4" else 3)
    names = [{"name": "c", "type": "channel"}] + [
        {"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"
    ]
    datasets = []
    for level, step in enumerate((1, 2)):
        values = data[:, :, ::step, ::step][:, :, : 33 // step, : 40 // step]
        extra = {} if version == "0.4" else {"dimension_names": list("czyx")}
        extra |= storage
        array = group.create_array(
            f"s{level}",
            shape=values.shape,
            dtype=values.dtype,
            **{"chunks": (1, 1, 16, 16)} | extra,
        )
        array[...] = values
        scale = [1.0, 0.5, 0.1 * step, 0.1 * step]
        datasets.append(
            {
                "path": f"s{level}",
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": [0.0, 7.0, 0.0, 0.0]},
                ],
            }
        )
    multiscale = {"axes": names, "datasets": datasets, "name": "cells", "type": "nearest"}
    if version == "0.4":
        attributes = {"multiscales": [multiscale | {"version": "0.4"}], "omero": OMERO}
    else:
        attributes = {"ome": {"version": version, "multiscales": [multiscale], "omero": OMERO}}
    group.attrs.put(attributes | {"of_the_lab": {"day": 3}})
    return data


def metadata_files(path: Path) -> dict[str, Any]:
    """Every JSON file of a zarr, by its place."""
    names = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
    return {
        str(file.relative_to(path)): json.loads(file.read_text())
        for file in path.rglob("*")
        if file.name in names
    }


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_everything_but_the_pixels_comes_back_word_by_word(tmp_path: Path, version: str) -> None:
    path, out = tmp_path / "in.ome.zarr", tmp_path / "out.ome.zarr"
    data = make(path, version)
    image = read_image(path)
    assert isinstance(image.data, da.Array)
    assert image.axes == "CZYX"
    assert image.scale == {"Z": 0.5, "Y": 0.1, "X": 0.1}
    assert set(image.units.values()) == {"micrometer"}
    assert image.channel_names == ("DAPI", "GFP")
    write_image(out, image.data + 1, like=image)
    assert metadata_files(out) == metadata_files(path)
    again = zarr.open_group(out, mode="r")
    np.testing.assert_array_equal(again["s0"][...], data + 1)
    # Each pixel of the second level is the mean of the four above it.
    four = (data + 1)[:, :, :32, :40].reshape(2, 3, 16, 2, 20, 2).mean((3, 5))
    assert np.abs(again["s1"][...] - four).max() <= 0.5


@pytest.mark.parametrize("storage", [{"chunks": (2, 2, 16, 16)}, {"shards": (2, 2, 32, 32)}])
def test_planes_that_share_a_chunk_or_shard_are_written_once(
    tmp_path: Path, storage: dict[str, Any]
) -> None:
    path, out = tmp_path / "in.ome.zarr", tmp_path / "out.ome.zarr"
    data = make(path, "0.5", **storage)
    image = read_image(path)
    with open_output(out, image) as pixels:
        for c, z in np.ndindex(2, 3):
            for row in range(0, 33, 8):
                pixels[c, z, row : row + 8, :] = data[c, z, row : row + 8] + 5
    assert metadata_files(out) == metadata_files(path)
    np.testing.assert_array_equal(zarr.open_group(out, mode="r")["s0"][...], data + 5)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.ome.zarr", "out.ome.zarr"]


def test_other_readers_understand_what_we_write_anew(tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    out = tmp_path / "new.ome.zarr"
    data = np.random.default_rng(0).integers(0, 900, (3, 2, 30, 2100)).astype(np.uint16)
    image = ImageFile(
        Path("stack.tif"), "tiff", data, "ZCYX", channel_names=("a", "b"),
        scale={"Z": 0.3, "Y": 0.1, "X": 0.1}, units=dict.fromkeys("ZYX", "micrometer"),
    )  # fmt: skip
    write_image(out, data, like=image)
    location = parse_url(out)
    assert location is not None
    node = next(iter(Reader(location)()))
    # The specification wants channels before depth.
    assert [axis["name"] for axis in node.metadata["axes"]] == ["c", "z", "y", "x"]
    np.testing.assert_array_equal(np.asarray(node.data[0]), data.swapaxes(0, 1))
    assert [level.shape for level in node.data] == [
        (2, 3, 30, 2100),
        (2, 3, 15, 1050),
        (2, 3, 7, 525),
    ]
    steps = [level[0]["scale"] for level in node.metadata["coordinateTransformations"]]
    assert steps[0] == [1.0, 0.3, 0.1, 0.1]
    assert steps[1] == [1.0, 0.3, 0.2, 0.2]
    assert node.metadata["channel_names"] == ["a", "b"]


def test_rows_can_be_assigned_in_the_image_s_own_axes(tmp_path: Path) -> None:
    out = tmp_path / "photo.ome.zarr"
    data = np.random.default_rng(0).integers(0, 255, (30, 20, 3)).astype(np.uint8)
    image = ImageFile(Path("photo.png"), "png", data, "YXS")
    with open_output(out, image) as pixels:
        assert pixels.shape == data.shape
        for row in range(0, 30, 7):
            pixels[row : row + 7, :, :] = data[row : row + 7]
        pixels[3] = data[3]
        pixels[..., 1] = data[..., 1]
        pixels[5, 6:9] = data[5, 6:9]
    again = read_image(out)
    assert again.axes == "CYX"
    assert again.channel_names == ("red", "green", "blue")
    np.testing.assert_array_equal(np.asarray(again.data), np.moveaxis(data, -1, 0))


def test_an_existing_image_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    write_image(out, np.zeros((3, 20, 20), np.uint8), axes="ZYX")
    write_image(out, np.ones((20, 20), np.uint8), axes="YX")
    assert np.asarray(read_image(out).data).sum() == 400
    assert [each.name for each in tmp_path.iterdir()] == ["a.zarr"]


def test_what_is_no_image_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="not an OME-Zarr"):
        read_image(tmp_path / "empty.zarr")
    (tmp_path / "file.zarr").write_bytes(b"x")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path / "file.zarr")
    zarr.create_array(store=tmp_path / "array.zarr", shape=(4, 4), dtype="u1")
    with pytest.raises(InputError, match=r"array\.zarr"):
        read_image(tmp_path / "array.zarr")
    zarr.create_group(store=tmp_path / "many.zarr")
    make(tmp_path / "many.zarr" / "0", "0.5")
    with pytest.raises(InputError, match=r"many\.zarr/0"):
        read_image(tmp_path / "many.zarr")


def test_damaged_metadata_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.zarr"
    make(path, "0.5")
    (path / "s0" / "zarr.json").unlink()
    with pytest.raises(InputError, match="damaged or incomplete"):
        read_image(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="damaged or incomplete"):
        read_image(path)


def test_any_group_with_an_image_opens_by_its_path(tmp_path: Path) -> None:
    """As in conversions by bioformats2raw, in plates, and without any suffix."""
    for name in ("data.zarr", "plate.zarr", "plate.zarr/A", "plain"):
        zarr.create_group(store=tmp_path / name)
    inner = {
        "data.zarr/0": "0.4",
        "data.zarr/1": "0.5",
        "plate.zarr/A/1/0": "0.4",
        "plate.zarr/B/2/0": "0.5",
        "plain/cells": "0.5",
    }
    for name, version in inner.items():
        data = make(tmp_path / name, version)
        assert is_image_path(tmp_path / name)
        assert result_place(tmp_path / name, Path(name)) == Path(f"{name}.zarr")
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / name).data), data)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / "plate.zarr")
    named = str(caught.value).split("for instance ")[1].rstrip(")")
    assert Path(named) == tmp_path / "plate.zarr/A/1/0"
    assert read_image(named).axes == "CZYX"
    assert not is_image_path(tmp_path / "plain")
    with pytest.raises(InputError, match="without a suffix"):
        read_image(tmp_path / "plain")


@pytest.mark.parametrize("suffix", [".ozx", ".zarr.zip"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zipped_stores_are_read_and_written(tmp_path: Path, version: str, suffix: str) -> None:
    path, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    data = make(tmp_path / "in.zarr", version)
    # Half of all archives hold the folder itself.
    base = "in.zarr" if suffix == ".zarr.zip" else "."
    root = tmp_path if base == "in.zarr" else tmp_path / "in.zarr"
    made = shutil.make_archive(str(tmp_path / "made"), "zip", root, base)
    Path(made).rename(path)
    with read_image(path) as image:
        assert (image.axes, image.channel_names) == ("CZYX", ("DAPI", "GFP"))
        np.testing.assert_array_equal(np.asarray(image.data), data)
        write_image(out, image.data + 1, like=image)
    with read_image(out) as again:
        np.testing.assert_array_equal(np.asarray(again.data), data + 1)
    shutil.unpack_archive(out, tmp_path / "out.zarr", "zip")
    assert metadata_files(tmp_path / "out.zarr") == metadata_files(tmp_path / "in.zarr")
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="damaged"):
        read_image(path)


def test_jobs_of_images_in_groups_and_of_read_only_formats_have_names_to_write(
    tmp_path: Path,
) -> None:
    make(tmp_path / "data.zarr" / "0", "0.4")
    (tmp_path / "scans").mkdir()
    for name in ("a.lsm", "b.stk", "c.webp"):
        (tmp_path / "scans" / name).touch()
    inputs = [str(tmp_path / "data.zarr" / "0"), str(tmp_path / "scans")]
    jobs = plan_jobs(inputs, str(tmp_path / "out")).jobs
    targets = [str(job.target.relative_to(tmp_path / "out")) for job in jobs]
    assert targets == ["0.zarr", "a.lsm.tif", "b.stk.tif", "c.webp"]


def test_versions_go_with_the_zarr_that_the_specification_says() -> None:
    from ome_zarr.format import format_from_version

    for version, stored in VERSIONS.items():
        assert format_from_version(version).zarr_format == stored
