"""CZI, ND2 and LIF: axes, scenes, steps and channels, through their libraries or a fake one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_baryir.batch.jobs import plan_jobs
from napari_baryir.errors import InputError
from napari_baryir.files import images_inside, is_image_path, open_output, read_image, write_image
from napari_baryir.files.microscopes.reading import READERS
from napari_baryir.files.microscopes.stored import Stored
from napari_baryir.training.data.images import find_images, read_pixels

FORGET = ("czi", "lif", "nd2")


@pytest.fixture(autouse=True)
def _nothing_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test import our readers anew, over libraries that may be fakes."""
    for name in FORGET:
        monkeypatch.delitem(sys.modules, f"napari_baryir.files.microscopes.{name}", raising=False)
    yield
    for name in FORGET:
        sys.modules.pop(f"napari_baryir.files.microscopes.{name}", None)


class FakeReader:
    """Images in memory, under their names."""

    def __init__(self, images: dict[str, Stored]) -> None:
        self.images = images
        self.closed = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.images)

    def image(self, number: int) -> Stored:
        return list(self.images.values())[number]

    def close(self) -> None:
        self.closed = True


def put(monkeypatch: pytest.MonkeyPatch, path: Path, images: dict[str, Stored]) -> list[FakeReader]:
    """Let a file of one of the formats hold `images`; return the readers that are opened."""
    opened: list[FakeReader] = []

    def open_file(path: Path) -> FakeReader:
        opened.append(FakeReader(images))
        return opened[-1]

    name = path.suffix[1:]
    module = ModuleType(f"napari_baryir.files.microscopes.{name}")
    setattr(module, READERS[name], open_file)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path.write_bytes(b"pixels")
    return opened


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a LIF of three images."""
    steps = {"X": 0.1, "Y": 0.2, "Z": 0.5, "T": 60.0, "C": 3.0}
    images = {
        "Series 1": Stored(stack(2, 3, 16, 24), ("C", "Z", "Y", "X"), steps, ("DAPI", "GFP")),
        "": Stored(stack(16, 24, dtype="uint8"), ("Y", "X"), steps),
        "a/b": Stored(stack(1, 20, 16, 3, dtype="uint8"), ("T", "Y", "X", "S"), steps),
    }
    put(monkeypatch, tmp_path / "cells.lif", images)
    return tmp_path / "cells.lif"


def stack(*shape: int, dtype: str = "uint16") -> Any:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("dims", "axes"),
    [
        (("T", "Z", "C", "Y", "X"), "TZCYX"),
        (("Y", "X", "S"), "YXS"),
        (("λ", "Y", "X"), "CYX"),
        (("C", "λ", "Y", "X"), "CZYX"),
        (("T", "C", "Z", "X"), "TCYX"),
        (("Y", "C", "Z", "X"), "ZCYX"),
        (("H", "Z", "Y", "X"), "TZYX"),
    ],
)
def test_axes_get_the_letters_that_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dims: tuple[str, ...], axes: str
) -> None:
    data = stack(*range(2, 2 + len(dims)))
    put(monkeypatch, tmp_path / "a.lif", {"": Stored(data, dims)})
    with read_image(tmp_path / "a.lif") as image:
        assert image.axes == axes
        np.testing.assert_array_equal(image.data, data)
        renamed = axes != "".join(dims)
        assert [f"read as {', '.join(axes)}" in note for note in image.notes] == [True] * renamed


def test_axes_without_a_letter_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(stack(2, 2, 2, 2, 4, 4), ("H", "T", "Z", "C", "Y", "X"))
    opened = put(monkeypatch, tmp_path / "a.czi", {"": stored})
    with pytest.raises(InputError, match="axes H, T, Z, C, Y, X are more than"):
        read_image(tmp_path / "a.czi")
    assert [each.closed for each in opened] == [True]


def test_each_scene_has_a_path_and_its_own_axes_steps_and_channels(cells: Path) -> None:
    paths = images_inside(cells)
    assert [path.name for path in paths] == ["1-Series_1", "2", "3-a_b"]
    assert all(map(is_image_path, paths))
    found = []
    for path in paths:
        with read_image(path) as image:
            found.append((image.axes, image.shape, dict(image.scale), image.channel_names))
            assert not image.notes
    plane = {"Y": 0.2, "X": 0.1}
    assert found == [
        ("CZYX", (2, 3, 16, 24), {"Z": 0.5} | plane, ("DAPI", "GFP")),
        ("YX", (16, 24), plane, ()),
        ("YXS", (20, 16, 3), plane, ()),
    ]
    assert images_inside(paths[1]) == [paths[1]]
    assert read_image(cells / "3").axes == "YXS"


def test_reading_a_file_of_several_images_says_so(cells: Path) -> None:
    with read_image(cells) as image:
        assert image.axes == "CZYX"
        assert image.units == {"Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
        assert image.notes == (
            "it holds 3 images; only the first is used; the next is cells.lif/2",
        )


@pytest.mark.parametrize("scene", ["0", "4", "tail", "3b"])
def test_a_scene_that_is_not_there_is_refused(cells: Path, scene: str) -> None:
    with pytest.raises(InputError, match=f"no image {scene}; its images are 1-Series_1, 2, 3-a_b"):
        read_image(cells / scene)


def test_every_scene_becomes_a_job_with_a_result_of_its_own(cells: Path) -> None:
    (cells.parent / "day.czi").mkdir()  # a folder, whatever it is called
    plan = plan_jobs([str(cells.parent)], str(cells.parent / "out"))
    assert [job.name for job in plan.jobs] == [
        "cells.lif/1-Series_1", "cells.lif/2", "cells.lif/3-a_b",
    ]  # fmt: skip
    names = [job.target.name for job in plan.jobs]
    assert names == ["cells.lif.1-Series_1.tif", "cells.lif.2.tif", "cells.lif.3-a_b.tif"]
    (one,) = plan_jobs([str(cells / "2")], str(cells.parent / "out")).jobs
    assert one == plan.jobs[1]
    with pytest.raises(InputError, match="names one file but there are 3 images"):
        plan_jobs([str(cells)], str(cells.parent / "a.tif"))
    assert not one.is_done()
    one.target.parent.mkdir()
    one.target.write_bytes(b"done")
    assert one.is_done()


def test_fine_tuning_takes_every_scene(cells: Path) -> None:
    paths = find_images(cells.parent)
    assert [path.relative_to(cells.parent).as_posix() for path in paths] == [
        "cells.lif/1-Series_1", "cells.lif/2", "cells.lif/3-a_b",
    ]  # fmt: skip
    assert [read_pixels(path)[1] for path in paths] == ["CZYX", "YX", "YXS"]


def test_a_result_is_an_ome_tiff_with_steps_and_channels(
    cells: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with read_image(cells / "1") as image, open_output(cells.parent / "a.tif", image) as pixels:
        pixels[...] = image.data
    assert "of cells.lif/1 that is not kept: settings of the microscope" in caplog.text
    with tifffile.TiffFile(cells.parent / "a.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == "CZYX"
    again = read_image(cells.parent / "a.tif")
    assert again.scale == {"Z": 0.5, "Y": 0.2, "X": 0.1}
    assert again.channel_names == ("DAPI", "GFP")
    with pytest.raises(InputError, match="can be read but not written"):
        write_image(cells.parent / "b.lif", again.data, like=again)


@pytest.mark.parametrize(
    ("name", "library", "advice"),
    [
        ("czi", "pylibCZIrw", "brings it for Python up to 3.13$"),
        ("nd2", "nd2", "brings it$"),
        ("lif", "liffile", "brings it$"),
    ],
)
def test_without_its_library_a_file_is_listed_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str, advice: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    path = tmp_path / f"a.{name}"
    path.write_bytes(b"pixels")
    assert [job.path for job in plan_jobs([str(tmp_path)], str(tmp_path / "out")).jobs] == [path]
    with pytest.raises(InputError, match=r'pip install "napari-baryir\[formats\]" ' + advice):
        read_image(path)


def nd2_file(sizes: dict[str, int], positions: Sequence[str] = ()) -> type:
    """Make a stand-in for nd2.ND2File."""
    points = [SimpleNamespace(name=name or None) for name in positions]
    stage = SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=points))
    depth = SimpleNamespace(type="ZStackLoop", parameters=SimpleNamespace(stepUm=-0.5))
    gaps = SimpleNamespace(avg=2500.0)
    time = SimpleNamespace(
        type="TimeLoop", parameters=SimpleNamespace(periodDiff=gaps, periodMs=0.0)
    )
    volume = SimpleNamespace(axesCalibrated=(True, True, False), axesCalibration=(0.25, 0.125, 1.0))
    channels = [SimpleNamespace(channel=SimpleNamespace(name=name), volume=volume) for name in "ab"]

    class File:
        def __init__(self, path: Path) -> None:
            self.sizes = sizes
            self.nbytes = 1
            self.metadata = SimpleNamespace(channels=channels)
            self.experiment = [loop for loop in (time, stage, depth) if loop is not stage or points]

        def asarray(self) -> Any:
            return stack(*self.sizes.values())

        def close(self) -> None:
            pass

    return File


def test_positions_of_an_nd2_are_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"T": 2, "P": 3, "Z": 4, "C": 2, "Y": 8, "X": 9}
    file = nd2_file(sizes, ["A1", "", "B2"])
    monkeypatch.setitem(sys.modules, "nd2", SimpleNamespace(ND2File=file))
    path = tmp_path / "plate.nd2"
    path.write_bytes(b"pixels")
    assert [each.name for each in images_inside(path)] == ["1-A1", "2", "3-B2"]
    image = read_image(path / "2")
    assert image.axes == "TZCYX"
    assert image.scale == {"T": 2.5, "Z": 0.5, "Y": 0.125, "X": 0.25}
    assert image.channel_names == ("a", "b")
    np.testing.assert_array_equal(image.data, stack(*sizes.values())[:, 1])


def test_steps_of_a_lif_are_in_micrometers_and_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xml.etree import ElementTree

    about = (
        '<Image><ChannelDescription LUTName="Green"/><ChannelDescription LUTName="Red"/></Image>'
    )
    data = stack(4, 2, 6, 8)
    image = SimpleNamespace(
        name="stack", dims=("T", "C", "Y", "X"), nbytes=data.nbytes, asarray=lambda out: data,
        xml_element=ElementTree.fromstring(about),
        coords={"T": np.arange(4) * 3.0, "Y": np.arange(6) * 2e-7, "X": -np.arange(8) * 1e-7},
    )  # fmt: skip
    file = SimpleNamespace(images=[image], close=lambda: None)
    monkeypatch.setitem(sys.modules, "liffile", SimpleNamespace(LifFile=lambda path: file))
    path = tmp_path / "a.lif"
    path.write_bytes(b"pixels")
    found = read_image(path)
    assert found.axes == "TCYX"
    assert found.scale == pytest.approx({"T": 3.0, "Y": 0.2, "X": 0.1})
    assert found.channel_names == ("Green", "Red")


@pytest.mark.parametrize("suffix", ["czi", "nd2", "lif"])
def test_a_damaged_file_names_itself(tmp_path: Path, suffix: str) -> None:
    library = {"czi": "pylibCZIrw", "nd2": "nd2", "lif": "liffile"}[suffix]
    pytest.importorskip(library, reason="the extra formats is not installed")
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"no image of any kind" * 9)
    with pytest.raises(InputError, match=rf"a\.{suffix}: not a readable {suffix.upper()}"):
        read_image(path)
