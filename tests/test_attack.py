"""A short attack of each kind, and a test for each fault that the long ones found."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from benchmarks.attack.arrays import bound
from benchmarks.attack.bombs import DEEP, IMAGES
from benchmarks.attack.files import weights_file
from benchmarks.attack.networks import small_network
from benchmarks.attack.rounds import Findings, run_round

from napari_baryir import estimate_degradation, restore
from napari_baryir.cli import main
from napari_baryir.degradation.calibration import Calibration
from napari_baryir.errors import BaryIRError, InputError, WeightsError
from napari_baryir.files import read_image, write_image
from napari_baryir.files.formats import holds_ome_zarr
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.training.checkpoint import save_checkpoint
from napari_baryir.training.recipe import load_recipe
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import save_weights
from napari_baryir.weights.header import read_header

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = np.random.default_rng(0).integers(0, 4000, (24, 40)).astype(np.uint16)
OPTIONS = ["tile", "overlap", "precision", "device", "strength", "remove"]


@pytest.mark.parametrize(
    ("kind", "cases"), [("arrays", 30), ("files", 12), ("weights", 15), ("faults", 6)]
)
def test_a_short_attack_breaks_no_promise(kind: str, cases: int) -> None:
    findings = Findings()
    run_round(kind, 0, cases, findings)
    assert not findings.cases, str(findings)


@pytest.mark.parametrize("shape", [[3, 3, 3, 3, 40, 40, 5], [1, 2000, 1], [24, 40], [0, 40]])
@pytest.mark.parametrize("turns", [1, 8])
def test_an_array_of_the_attack_takes_seconds_at_most(shape: list[int], turns: int) -> None:
    bounded = list(shape)
    bound(bounded, turns)
    assert turns * math.prod(bounded) <= 2**14
    assert (bounded == shape) is (turns * math.prod(shape) <= 2**14)


@pytest.mark.parametrize("option", [*OPTIONS, "ensemble"])
@pytest.mark.parametrize("value", [np.array([0, 4000]), None, [1, 2], -1.5, object()])
def test_an_option_of_any_type_is_refused_in_a_sentence(option: str, value: Any) -> None:
    with pytest.raises(BaryIRError, match=option):
        restore(IMAGE, model=small_network(scene=False), **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((option, -1) for option in OPTIONS),  # `ensemble` takes it for True
        ("device", 10**30), ("axes", np.array([0, 4000])), ("axes", []),
    ],
)  # fmt: skip
def test_an_option_that_only_some_types_break_is_refused_too(option: str, value: Any) -> None:
    with pytest.raises(BaryIRError, match=option):
        restore(IMAGE, model=small_network(scene=False), **{option: value})


def test_a_map_of_any_span_leaves_integers_as_they_are_and_warns_of_nothing() -> None:
    for low, high in ((-1e300, 1e300), (0, 5e-324), (1e300, 1.1e300)):
        unit = IntensityMap(low, high).apply(IMAGE.astype(np.uint8))
        assert np.isfinite(unit).all()
        found = estimate_degradation(
            IMAGE, model=small_network(scene=False), intensity=(low, high), contributions=True
        )
        assert found.contributions is not None
        assert np.isfinite(found.contributions.barycenter).all()


def test_signalling_nan_are_nan() -> None:
    image = IMAGE.astype(np.float32)
    image.view(np.uint32)[3, 4] = 0x7FA00000
    restored = restore(image, model=small_network(scene=True)).image
    assert np.isnan(restored[3, 4])
    assert np.isfinite(restored).sum() == restored.size - 1


@pytest.mark.parametrize("name", ["pickled chunks", "pickled objects"])
def test_an_ome_zarr_whose_chunks_are_pickles_is_refused(tmp_path: Path, name: str) -> None:
    _, make = IMAGES[name]
    make(tmp_path / "in.zarr", np.random.default_rng(0))
    with pytest.raises(InputError, match="pickle"):
        read_image(tmp_path / "in.zarr")


def test_endless_brackets_are_no_image_no_recipe_and_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zarr.json").write_text(DEEP)
    assert not holds_ome_zarr(tmp_path)
    Path("r.toml").write_text(f"a = {DEEP}")
    with pytest.raises(InputError, match="not valid TOML"):
        load_recipe("r.toml")
    with pytest.raises(InputError, match="steps"):
        load_recipe("smoke", [f"steps={DEEP}"])
    write_image("x.png", IMAGE[:20, :20].astype(np.uint8), axes="YX")
    assert main(["restore", "x.png", "-o", "y.png", "--report", "zarr.json"]) == 2
    assert "is no report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value"),
    [("window", 10**9 + 1), ("temperature", 1e-300), ("unknown_width", 1e-300), ("tail", 1e-300),
     ("offsets", [1e308, 0, 0]), ("prototypes", [[1e300, 0], [0, 0], [0, 0]])],
)  # fmt: skip
def test_a_calibration_of_impossible_numbers_is_refused(field: str, value: Any) -> None:
    sound = small_network(scene=False).calibration
    assert Calibration.model_validate(sound)
    with pytest.raises(ValueError, match=field):
        Calibration.model_validate(json.loads(json.dumps({**sound, field: value})))


@pytest.mark.parametrize(
    "name",
    ["odd fill", "image is a number", "odd steps", "many levels", "huge array", "no levels",
     "axes of nothing", "no list of images", "image is empty", "path is a number"],
)  # fmt: skip
def test_an_ome_zarr_of_odd_metadata_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    _, make = IMAGES[name]
    make(tmp_path / "in.zarr", np.random.default_rng(0))
    with pytest.raises(InputError, match=r"in\.zarr"):
        read_image(tmp_path / "in.zarr")


def test_axes_of_another_length_are_refused_before_the_result_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "in.zarr", IMAGE, axes="YX")
    words = ["restore", str(tmp_path / "in.zarr"), "-o", str(tmp_path / "o.webp")]
    assert main([*words, "--axes", "YXS", "--model", str(weights_file())]) == 1
    assert "axes 'YXS' has 3 letters but the image has 2 dimensions" in capsys.readouterr().err


def test_a_recipe_without_samples_is_refused() -> None:
    with pytest.raises(InputError, match=r"data\.batch"):
        load_recipe("smoke", ["data.batch={}"])


def test_what_a_weights_file_says_of_itself_cannot_steer_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy.deepcopy(small_network(scene=False))
    model.provenance = {"title": "\x1b[2Jgone", "licence": "a\nb"}
    save_weights(model, model_folder() / "odd.safetensors")
    assert main(["models"]) == 0
    assert "[2Jgone" in (listed := capsys.readouterr().out)
    assert "\x1b" not in listed
    model.domains = ("\x1b[2J", "haze", "clean")
    save_weights(model, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match="can be printed"):
        read_header(tmp_path / "odd.safetensors")


def test_a_full_disk_is_an_error_of_the_system_where_torch_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:783] . PytorchStreamWriter")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="is the disk full"):
        save_checkpoint(tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_a_damaged_chunk_is_damage_of_the_file_whenever_it_is_read(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", IMAGE, axes="YX")
    for chunk in (tmp_path / "in.zarr" / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"\xff" * 40)
    with read_image(tmp_path / "in.zarr") as image:
        with pytest.raises(InputError, match=r"in\.zarr: not a readable OME-Zarr; it is damaged"):
            image.data.compute()
        with pytest.raises(InputError, match="damaged"):
            restore(image.data, model=small_network(scene=False), intensity=(0, 1)).image.compute()


def test_a_lazy_result_keeps_a_foreign_byte_order() -> None:
    image = IMAGE.astype(">u2")
    lazy = restore(da.from_array(image, chunks=16), model=small_network(scene=True), tile=16).image
    assert lazy.dtype == lazy.compute().dtype == image.dtype


@pytest.mark.parametrize("letter", "qQ")
def test_a_long_long_is_written_to_ome_zarr_as_64_bits(tmp_path: Path, letter: str) -> None:
    write_image(tmp_path / "in.tif", IMAGE.astype(letter), axes="YX")
    with read_image(tmp_path / "in.tif") as image:
        write_image(tmp_path / "out.ome.zarr", image.data, like=image)
    write_image(tmp_path / "own.ome.zarr", IMAGE.astype(letter), axes="YX")
    for name in ("out.ome.zarr", "own.ome.zarr"):
        with read_image(tmp_path / name) as image:
            assert image.dtype == np.dtype(letter)
            np.testing.assert_array_equal(np.asarray(image.data), IMAGE)
