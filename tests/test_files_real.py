"""Files of microscopes beside what their own readers say of them.

An LSM is made here, as its publisher describes the format. Files that real microscopes wrote are
tried when the folder is named that holds them: MICROSCOPE_FILES=FOLDER (CONTRIBUTING.md).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_baryir import restore_file
from napari_baryir.files import images_inside, read_image

GIVEN = os.environ.get("MICROSCOPE_FILES")
REAL = sorted(
    path
    for path in (Path(GIVEN).iterdir() if GIVEN else ())
    if path.suffix.lower() in (".czi", ".lif", ".lsm", ".nd2")
)


Said = list[tuple[dict[str, int], dict[str, float], Any]]
"""Of each image: lengths of its dimensions, steps in micrometers, pixels if it gives them."""


def make_lsm(path: Path, shape: tuple[int, int, int, int, int]) -> Any:
    """Write an LSM of (T, Z, C, Y, X), each plane with its thumbnail, and return the pixels."""
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    t, z, c, y, x = shape
    about = np.zeros((), np.dtype(tifffile.TIFF.CZ_LSMINFO))
    about["MagicNumber"], about["StructureSize"] = 67127628, about.nbytes
    for name, length in {"X": x, "Y": y, "Z": z, "Channels": c, "Time": t}.items():
        about[f"Dimension{name}"] = length
    about["VoxelSizeX"], about["VoxelSizeY"], about["VoxelSizeZ"] = 1e-7, 2e-7, 5e-7  # meters
    about["ScanType"], about["TimeIntervall"] = 6, 1.5  # a time series of stacks; seconds
    tag = (34412, 1, about.nbytes, about.tobytes(), True)
    with tifffile.TiffWriter(path, byteorder="<") as file:
        for number, planes in enumerate(pixels.reshape(t * z, c, y, x)):
            file.write(
                planes, photometric="minisblack", planarconfig="separate", metadata=None,
                extratags=[tag] if number == 0 else [],
            )  # fmt: skip
            thumbnail = np.zeros((4, 4, 3), np.uint8)
            file.write(thumbnail, photometric="rgb", subfiletype=1, metadata=None)
    return pixels


def test_an_lsm_is_restored_with_its_axes_and_steps(tmp_path: Path, weak_weights: Path) -> None:
    pixels = make_lsm(tmp_path / "a.lsm", (2, 4, 3, 16, 24))
    with tifffile.TiffFile(tmp_path / "a.lsm") as file:
        assert file.is_lsm
    image = read_image(tmp_path / "a.lsm")
    assert image.axes == "TZCYX"
    np.testing.assert_array_equal(image.data, pixels)
    done = restore_file(tmp_path / "a.lsm", tmp_path / "b.tif", model=weak_weights)
    assert done.axes == "TZCYX"
    again = read_image(tmp_path / "b.tif")
    assert again.axes == "TZCYX"
    assert again.scale == pytest.approx({"T": 1.5, "Z": 0.5, "Y": 0.2, "X": 0.1})
    assert again.units == {"T": "second"} | dict.fromkeys("ZYX", "micrometer")


def said_by_nd2(path: Path) -> Said:
    import nd2

    with nd2.ND2File(path) as file:
        steps = dict(zip("XYZ", file.voxel_size(), strict=True))
        return [(dict(file.sizes), steps, file.asarray())]


def said_by_liffile(path: Path) -> Said:
    import liffile

    with liffile.LifFile(path) as file:
        return [
            (
                dict(zip(image.dims, image.shape, strict=True)),
                {
                    dim: abs(float(places[1] - places[0])) * 1e6
                    for dim, places in image.coords.items()
                    if dim in "XYZ" and len(places) > 1
                },
                image.asarray(),
            )
            for image in file.images
        ]


def said_by_zeiss(path: Path) -> Said:
    from pylibCZIrw import czi

    with czi.open_czi(str(path)) as file:
        box, scenes = file.total_bounding_box, file.scenes_bounding_rectangle
        distances = file.metadata["ImageDocument"]["Metadata"]["Scaling"]["Items"]["Distance"]
    lengths = {dim: ends[1] - ends[0] for dim, ends in box.items()}
    steps = {each["@Id"]: float(each["Value"]) * 1e6 for each in distances}
    if not scenes:
        return [(lengths, steps, None)]
    return [(lengths | {"X": at.w, "Y": at.h}, steps, None) for at in scenes.values()]


def said_by_tifffile(path: Path) -> Said:
    with tifffile.TiffFile(path) as file:
        about, series = file.lsm_metadata or {}, file.series[0]
        lengths = dict(zip(series.axes, series.shape, strict=True))
        steps = {dim: float(about[f"VoxelSize{dim}"]) * 1e6 for dim in "XYZ"}
        return [(lengths, steps, series.asarray())]


READERS = {
    ".czi": said_by_zeiss, ".lif": said_by_liffile, ".lsm": said_by_tifffile, ".nd2": said_by_nd2,
}  # fmt: skip


@pytest.mark.skipif(not REAL, reason="MICROSCOPE_FILES names no folder with files of microscopes")
@pytest.mark.filterwarnings("default")  # those of the readers
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_a_real_file_is_restored_as_its_own_reader_reads_it(
    path: Path, tmp_path: Path, weak_weights: Path
) -> None:
    said = READERS[path.suffix.lower()](path)
    for inside, (lengths, steps, pixels) in zip(images_inside(path), said, strict=True):
        with read_image(inside) as image:
            if pixels is not None:
                np.testing.assert_array_equal(np.squeeze(image.data), np.squeeze(pixels))
        restore_file(inside, tmp_path / "restored.tif", model=weak_weights)
        again = read_image(tmp_path / "restored.tif")
        assert sorted(n for n in again.shape if n > 1) == sorted(
            n for n in lengths.values() if n > 1
        )
        if {"Y", "X"} <= lengths.keys() and lengths["Y"] == again.shape[again.axes.index("Y")]:
            for dim in set(steps) & set(again.scale) - {"T"}:
                assert again.scale[dim] == pytest.approx(steps[dim], rel=1e-3)
        (tmp_path / "restored.tif").unlink()
