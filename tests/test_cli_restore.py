"""``napari-baryir restore`` from files to files: names, folders, formats, axes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from napari_baryir import load_model, restore
from napari_baryir.files import read_image, write_image
from restore_command import Run, files_below, made, picture


def test_a_file_becomes_what_the_library_makes_of_it(run: Run, weak_weights: Path) -> None:
    data = picture(shape=(3, 40, 24)).astype(np.uint16) * 9
    tifffile.imwrite("in.tif", data, imagej=True, metadata={"axes": "ZYX", "unit": "um"})
    assert run("in.tif", "-o", "out.tif", "--tile", "24", "--overlap", "8") == 0
    expected = restore(data, axes="ZYX", model=load_model(weak_weights), tile=24, overlap=8).image
    with tifffile.TiffFile("out.tif") as file:
        assert file.series[0].axes == "ZYX"
        assert file.imagej_metadata["unit"] == "um"
        written = file.asarray()
    np.testing.assert_array_equal(written, expected)
    assert np.any(written != data)


def test_strength_0_gives_the_input_back(run: Run) -> None:
    imageio.imwrite("in.png", picture())
    assert run("in.png", "-o", "out.png", "--strength", "0", "--ensemble") == 0
    np.testing.assert_array_equal(imageio.imread("out.png"), picture())


def test_folders_keep_their_structure_and_formats(run: Run) -> None:
    imageio.imwrite(made("in/a.png"), picture())
    imageio.imwrite(made("in/b/c.jpg"), picture())
    tifffile.imwrite(made("in/b/d/e.tif"), picture(shape=(24, 32)))
    write_image("in/f.ome.zarr", picture(shape=(2, 24, 32)), axes="ZYX")
    Path("in/notes.txt").write_text("not an image")
    Path("in/.hidden.png").write_bytes(b"x")
    assert run("in", "-o", "out") == 0
    images = [name for name in files_below(Path("out")) if ".zarr" not in name]
    assert images == ["a.png", "b/c.jpg", "b/d/e.tif"]
    again = read_image("out/f.ome.zarr")
    assert (again.axes, again.shape) == ("ZYX", (2, 24, 32))


def test_patterns_are_expanded_and_keep_what_is_below_their_fixed_part(run: Run) -> None:
    for name in ("data/x/1.png", "data/x/deep/2.png", "data/y/3.png", "data/4.png"):
        imageio.imwrite(made(name), picture())
    assert run("data/*/?.png", "-o", "out") == 0
    assert files_below(Path("out")) == ["x/1.png", "y/3.png"]
    assert run("data/**/*.png", "-o", "all") == 0
    assert files_below(Path("all")) == ["4.png", "x/1.png", "x/deep/2.png", "y/3.png"]


def test_what_is_done_is_skipped_until_the_input_is_newer_or_it_is_forced(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        imageio.imwrite(made(f"in/{name}.png"), picture())
    assert run("in", "-o", "out") == 0
    capsys.readouterr()
    marked = Path("out/a.png")
    marked.write_bytes(b"mine")
    assert run("in", "-o", "out") == 0
    assert "restored 0; skipped 2" in capsys.readouterr().out
    assert marked.read_bytes() == b"mine"
    newer = marked.stat().st_mtime + 10
    os.utime("in/a.png", (newer, newer))
    assert run("in", "-o", "out") == 0
    assert "restored 1; skipped 1" in capsys.readouterr().out
    assert marked.read_bytes() != b"mine"
    marked.write_bytes(b"mine")
    assert run("in", "-o", "out", "--overwrite") == 0
    assert "restored 2" in capsys.readouterr().out
    assert marked.read_bytes() != b"mine"


def test_a_named_file_that_is_there_is_neither_kept_in_silence_nor_replaced(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite("in.png", picture())
    Path("out.png").write_bytes(b"mine")
    assert run("in.png", "-o", "out.png") == 2
    assert "out.png is there already; --overwrite replaces it" in capsys.readouterr().err
    assert Path("out.png").read_bytes() == b"mine"
    assert run("in.png", "-o", "out.png", "--overwrite") == 0
    assert imageio.imread("out.png").shape == (24, 32, 3)


def test_results_inside_the_input_folder_are_not_restored_again(run: Run) -> None:
    imageio.imwrite(made("in/a.png"), picture())
    for _ in range(2):
        assert run("in", "-o", "in/restored", "--overwrite") == 0
        assert files_below(Path("in")) == ["a.png", "restored/a.png"]


def test_a_file_can_change_its_format(run: Run) -> None:
    data = picture(shape=(2, 3, 24, 32))
    metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.2, "Channel": {"Name": ["a", "b", "c"]}}
    tifffile.imwrite("in.ome.tif", data, photometric="minisblack", metadata=metadata)
    assert run("in.ome.tif", "-o", "out.ome.zarr") == 0
    image = read_image("out.ome.zarr")
    assert image.axes == "CZYX"
    assert image.scale["X"] == 0.2
    assert image.channel_names == ("a", "b", "c")
    assert run("out.ome.zarr", "-o", "back.tif", "--strength", "0") == 0
    np.testing.assert_array_equal(np.asarray(image.data), read_image("back.tif").data)


def test_axes_are_taken_from_the_user_and_guesses_are_said(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite("in.tif", picture(shape=(24, 32, 5)), photometric="minisblack", metadata=None)
    assert run("in.tif", "-o", "guessed.tif") == 0
    captured = capsys.readouterr()
    assert "taken to be ZYX" in captured.err
    assert run("in.tif", "-o", "told.tif", "--axes", "YXC") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "YXC" in captured.out
    assert np.any(tifffile.imread("told.tif") != tifffile.imread("guessed.tif"))
    assert run("in.tif", "-o", "wrong.tif", "--axes", "YX") == 1
    assert "'YX' has 2 letters but the image has 3" in capsys.readouterr().err
    assert not Path("wrong.tif").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "auto"),
        (["--remove", "auto"], "auto"),
        (["--remove", "noise, low light"], ["noise", "low light"]),
        (["--remove", "noise=0.5"], {"noise": 0.5}),
        (["--remove", "noise=0.5,haze"], {"noise": 0.5, "haze": 1.0}),
    ],
)
def test_what_to_remove_reaches_the_library(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: object
) -> None:
    import napari_baryir.restoration as restoration

    real, told = restoration.iter_restore, []

    def watched(image: Any, *, remove: object, **options: Any) -> Any:
        told.append(remove)
        return real(image, **options)

    monkeypatch.setattr(restoration, "iter_restore", watched)
    imageio.imwrite("in.png", picture())
    assert run("in.png", "-o", "out.png", *words) == 0
    assert told == [expected]
