"""``napari-baryir estimate``."""

from __future__ import annotations

import csv
import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from calibrated_networks import calibrated_network
from napari_baryir import DegradationEstimate, estimate_degradation, iter_estimate
from napari_baryir.cli import main
from napari_baryir.errors import DeviceError
from napari_baryir.files import read_image, write_image
from napari_baryir.weights.files import save_weights

NAMES = ["severity", "noise", "haze", "clean", "unknown"]


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A calibrated weights file."""
    path = tmp_path / "tiny.safetensors"
    save_weights(calibrated_network(), path)
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a photograph and a movie."""
    folder = tmp_path / "images"
    (folder / "movies").mkdir(parents=True)
    rng = np.random.default_rng(0)
    write_image(folder / "photo.png", rng.integers(0, 256, (40, 60, 3), np.uint8), axes="YXS")
    movie = rng.integers(0, 999, (2, 3, 32, 48), np.uint16)
    write_image(folder / "movies" / "movie.ome.tif", movie, axes="TCYX")
    return folder


def test_a_folder_gets_tables_maps_and_figures(images: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["estimate", str(images), "-o", str(out), "--model", model]) == 0
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == [
        "estimates.csv",
        "estimates.json",
        "movies/movie-ome-tif-degradation.png",
        "movies/movie-ome-tif-degradation.tif",
        "photo-png-degradation.png",
        "photo-png-degradation.tif",
    ]


def test_maps_of_an_image_with_the_longest_name_can_be_written(model: str, tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / "images" / f"{'中' * 83}{number}.tif"
        write_image(path, np.zeros((32, 32), np.uint16))
    out = tmp_path / "out"
    assert main(["estimate", str(tmp_path / "images"), "-o", str(out), "--model", model]) == 0
    assert len(list(out.glob("*-degradation.tif"))) == 2


def test_maps_are_those_of_the_library_with_named_channels(
    images: Path, model: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert main(["estimate", str(images), "-o", str(out), "--model", model]) == 0
    with read_image(images / "photo.png") as photo:
        estimate = estimate_degradation(photo.data, axes=photo.axes, model=model)
    with read_image(out / "photo-png-degradation.tif") as maps:
        assert maps.axes == "CYX"
        assert list(maps.channel_names) == NAMES
        np.testing.assert_allclose(np.asarray(maps.data)[0], estimate.severity, atol=1e-6)
        np.testing.assert_allclose(np.asarray(maps.data)[1:], estimate.probabilities, atol=1e-6)
    with read_image(out / "movies" / "movie-ome-tif-degradation.tif") as maps:
        assert maps.axes == "TCYX"
        assert maps.shape == (2, 15, 4, 6)
        assert maps.channel_names[5:7] == ("channel 1: severity", "channel 1: noise")


def test_tables_have_a_row_per_plane_whose_shares_sum_to_one(
    images: Path, model: str, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    assert main(["estimate", str(images), "-o", str(table), "--model", model]) == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    movie = [f"T{t} C{c}" for t in range(2) for c in range(3)]
    assert [row["plane"] for row in rows] == ["0", *movie]
    for row in rows:
        shares = {name: float(row[name]) for name in NAMES[1:]}
        assert sum(shares.values()) == pytest.approx(1, abs=5e-4)
        assert row["domain"] == max(shares, key=lambda name: shares[name])
    table = tmp_path / "table.json"
    assert main(["estimate", str(images), "-o", str(table), "--model", model]) == 0
    entries = json.loads(table.read_text())
    assert sum(len(entry["planes"]) for entry in entries) == len(rows)
    assert entries[0]["cell"] == 8


def test_maps_and_contributions_as_ome_zarr(images: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["estimate", str(images / "photo.png"), "-o", str(out), "--model", model]
    assert main([*words, "--maps", "ome-zarr", "--contributions", "--no-figures"]) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {
        "estimates.csv",
        "estimates.json",
        "photo-png-degradation.ome.zarr",
        "photo-png-barycenter.ome.zarr",
        "photo-png-residual.ome.zarr",
        "photo-png-shapley-barycenter.ome.zarr",
        "photo-png-shapley-residual.ome.zarr",
        "photo-png-total.ome.zarr",
    }
    with read_image(out / "photo-png-total.ome.zarr") as total:
        assert 40 in total.shape
        assert 60 in total.shape


def test_one_bad_file_does_not_stop_the_rest(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(images / "complex.tif", np.ones((16, 16), np.complex64))
    table = tmp_path / "table.csv"
    assert main(["estimate", str(images), "-o", str(table), "--model", model]) == 1
    assert table.exists()
    told = capsys.readouterr()
    assert "complex.tif" in told.err
    assert "photo.png: " in told.out


def test_an_error_that_stops_the_run_loses_nothing_and_no_maps_are_kept(
    images: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = images / "photo.png", images / "zebra.png"
    write_image(second, np.zeros((16, 16, 3), np.uint8), axes="YXS")
    estimates: list[weakref.ref[DegradationEstimate]] = []

    def watched(image: Any, **options: Any) -> Any:
        if estimates:
            gc.collect()
            assert estimates[0]() is None  # the first image's maps are gone
            raise DeviceError("the device is gone")
        estimate = yield from iter_estimate(image, **options)
        estimates.append(weakref.ref(estimate))
        return estimate

    monkeypatch.setattr("napari_baryir.degradation.iter_estimate", watched)
    out = tmp_path / "out"
    assert main(["estimate", str(first), str(second), "-o", str(out), "--model", model]) == 2
    assert [entry["file"] for entry in json.loads((out / "estimates.json").read_text())] == [
        str(first)
    ]
    with (out / "estimates.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [str(first)]


def test_json_has_what_the_table_has_and_what_failed(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "bad.png").write_bytes(b"no image")
    table = tmp_path / "table.json"
    assert main(["estimate", str(images), "-o", str(table), "--model", model, "--json"]) == 1
    *told, bad = json.loads(capsys.readouterr().out)
    assert told == json.loads(table.read_text())
    assert bad["file"] == str(images / "bad.png")
    assert "not a readable PNG" in bad["error"]
    words = ["estimate", str(images / "photo.png"), "-o", str(table), "--model", model]
    assert main([*words, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_no_folder_is_named_as_an_ome_zarr(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "e.ome.zarr"
    assert main(["estimate", str(images), "-o", f"{out}/", "--model", model]) == 2
    assert "named as an image" in capsys.readouterr().err
    assert not out.exists()


def test_contributions_need_a_folder(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["estimate", str(images), "-o", str(tmp_path / "t.csv"), "--model", model]
    assert main([*words, "--contributions"]) == 2
    assert "give a folder" in capsys.readouterr().err


def test_the_terminal_says_the_mean_over_the_planes_and_where_the_files_are(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["estimate", str(images), "-o", str(out), "--model", model]) == 0
    said = capsys.readouterr().out
    assert f"maps and figures: {out / '*-degradation.*'}" in said
    with (out / "estimates.json").open() as file:
        (movie,) = [each for each in json.load(file) if each["file"].endswith("movie.ome.tif")]
    severities = [plane["severity"] for plane in movie["planes"]]
    assert f"severity {np.mean(severities):.2f} (mean of 6 planes)" in said


def test_a_table_that_is_there_is_replaced_only_when_asked(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["estimate", str(images / "photo.png"), "-o", str(out), "--model", model]
    assert main([*words, "--maps", "none", "--no-figures"]) == 0
    (out / "estimates.csv").write_text("mine")
    assert main(words) == 2
    assert "estimates.csv" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["estimates.csv", "estimates.json"]
    assert (out / "estimates.csv").read_text() == "mine"
    assert main([*words, "--maps", "none", "--no-figures", "--overwrite"]) == 0
    assert (out / "estimates.csv").read_text().startswith("file,")


def test_maps_that_are_there_are_replaced_only_when_asked(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["estimate", str(images / "photo.png"), "-o", str(out), "--model", model]
    assert main([*words, "--no-figures"]) == 0
    for table in out.glob("estimates.*"):
        table.unlink()
    maps = out / "photo-png-degradation.tif"
    before = maps.read_bytes()
    assert main(words) == 2
    assert f"{maps} would be replaced" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [maps.name]
    assert maps.read_bytes() == before
    assert main([*words, "--overwrite"]) == 0


def test_a_slash_at_the_end_names_a_folder(images: Path, model: str, tmp_path: Path) -> None:
    words = ["estimate", str(images / "photo.png"), "--model", model, "--no-figures"]
    assert main([*words, "-o", f"{tmp_path / 'results.csv'}/"]) == 0
    assert (tmp_path / "results.csv" / "estimates.csv").is_file()


def test_images_of_one_name_may_share_a_table_and_no_folder(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "twin" / "photo.png"
    twin.parent.mkdir()
    twin.write_bytes((images / "photo.png").read_bytes())
    words = ["estimate", str(images / "photo.png"), str(twin), "--model", model, "-o"]
    assert main([*words, str(tmp_path / "out")]) == 2
    assert "would both become" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "table.csv")]) == 0
    with (tmp_path / "table.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_mistakes_are_told_once_and_before_anything_is_written(
    images: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(images / "photo.png")
    assert main(["estimate", photo, "-o", str(tmp_path / "map.png"), "--model", model]) == 2
    assert "named as an image; give a folder" in capsys.readouterr().err
    assert not (tmp_path / "map.png").exists()
    assert main(["estimate", photo, "-o", str(tmp_path / "e.txt"), "--model", model]) == 2
    assert "tables end in .csv or .json" in capsys.readouterr().err
    missing = str(images / "nothing.tif")
    assert main(["estimate", missing, "-o", str(tmp_path / "out"), "--model", model]) != 0
    assert capsys.readouterr().err.count("nothing.tif") == 1
