"""The user's mistakes: each is named before the first step, all at once, with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_baryir.errors import DataError
from napari_baryir.files import write_image
from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.training.finetune.images import UserImage, list_images, open_image
from napari_baryir.training.finetune.material import (
    CleanImages,
    GivenImages,
    Material,
    NoisyImages,
    Pairs,
    gather,
)
from napari_baryir.training.finetune.planes import pair_file
from napari_baryir.training.finetune.settings import FinetuneSettings


@pytest.fixture(scope="module")
def model() -> BaryIR:
    return BaryIR(VARIANTS["tiny"], domains=("noise", "clean")).eval()


def picture(seed: int, *shape: int, high: int = 4000) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, high, shape or (48, 48)).astype(np.uint16)


def pairs_in(folder: Path, count: int = 3) -> tuple[Path, Path]:
    low, high = folder / "low", folder / "high"
    for place, seed in ((low, 0), (high, 100)):
        place.mkdir()
        for i in range(count):
            tifffile.imwrite(place / f"{i}.tif", picture(seed + i))
    return low, high


def read(given: GivenImages, model: BaryIR, **settings: str) -> Material:
    return gather(given, model, FinetuneSettings.model_validate(settings))


def refusal(given: GivenImages, model: BaryIR) -> str:
    with pytest.raises(DataError) as caught:
        read(given, model)
    return str(caught.value)


def test_all_mistakes_are_named_at_once_with_what_to_do(tmp_path: Path, model: BaryIR) -> None:
    low, high = pairs_in(tmp_path)
    tifffile.imwrite(low / "sizes.tif", picture(1, 48, 48))
    tifffile.imwrite(high / "sizes.tif", picture(2, 48, 64))
    (low / "corrupt.tif").write_bytes((low / "0.tif").read_bytes()[:900])
    tifffile.imwrite(high / "corrupt.tif", picture(3))
    tifffile.imwrite(low / "alone.tif", picture(4))
    tifffile.imwrite(high / "widow.tif", picture(5))
    Image.fromarray((picture(6, 48, 48, 3) // 16).astype(np.uint8)).save(low / "colour.png")
    Image.fromarray((picture(7, 48, 48) // 16).astype(np.uint8)).save(high / "colour.png")
    for place in (low, high):
        tifffile.imwrite(place / "small.tif", picture(8, 3, 3))
        tifffile.imwrite(place / "same.tif", picture(9))
        tifffile.imwrite(place / "flat.tif", np.full((48, 48), 7, np.uint16))
        tifffile.imwrite(place / "holes.tif", np.full((48, 48), np.nan, np.float32))
    message = refusal(Pairs.of_folders(low, high), model)
    for mistake in (
        "sizes.tif is YX of shape (48, 48)", "crop or resize",
        "corrupt.tif", "repair it, or take it out",
        "alone.tif has no partner", "widow.tif has no partner", "add the clean image",
        "colour.png is RGB but its partner colour.png is grey; convert",
        "small.tif is 3 x 3 pixels", "give images of 32 x 32 or more",
        "same.tif and its partner same.tif are equal",
        "flat.tif is 7 everywhere", "holes.tif has values that are not finite",
    ):  # fmt: skip
        assert mistake in message
    assert message.startswith("12 problems")  # small, flat and holes on both sides


def test_an_empty_folder_and_a_missing_one_are_named(tmp_path: Path, model: BaryIR) -> None:
    (tmp_path / "empty").mkdir()
    message = refusal(Pairs.of_folders(tmp_path / "empty", tmp_path / "gone"), model)
    assert "empty; put files in it that end in one of .tif" in message
    assert "gone; give a folder of images" in message


def test_one_file_cannot_be_trained_on_and_validated_by(tmp_path: Path, model: BaryIR) -> None:
    low, high = pairs_in(tmp_path, count=1)
    assert "give two or more" in refusal(Pairs.of_folders(low, high), model)
    assert "give two or more" in refusal(NoisyImages.of_folder(low), model)


def test_kinds_are_not_mixed(tmp_path: Path, model: BaryIR) -> None:
    low, _ = pairs_in(tmp_path)
    Image.fromarray((picture(6, 48, 48, 3) // 16).astype(np.uint8)).save(low / "colour.png")
    assert "colour.png: RGB, but the others are grey" in refusal(NoisyImages.of_folder(low), model)


@pytest.mark.parametrize(
    ("degradation", "message"),
    [
        ("sonar", "no degradation profile 'sonar'; use photo or microscopy"),
        ("microscopy:rain", "has no degradation 'rain'; use noise, blur"),
    ],
)
def test_unknown_degradations_are_named(
    tmp_path: Path, model: BaryIR, degradation: str, message: str
) -> None:
    low, _ = pairs_in(tmp_path)
    assert message in refusal(CleanImages.of_folder(low, degradation), model)


def test_an_image_without_noise_cannot_say_how_the_camera_is(tmp_path: Path, model: BaryIR) -> None:
    low, _ = pairs_in(tmp_path)
    ramp = np.tile(np.arange(128, dtype=np.float32), (128, 1))
    like = UserImage("ramp", array=ramp)
    message = refusal(CleanImages.of_folder(low, "microscopy:noise", like), model)
    assert "ramp: the image has no noise" in message


def test_pairs_are_found_by_a_pattern(tmp_path: Path, model: BaryIR) -> None:
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}_low.tif", picture(i))
        tifffile.imwrite(tmp_path / f"{i}_high.tif", picture(i + 9))
    given = Pairs.of_pattern(tmp_path, "*_low.tif", "*_high.tif")
    assert [(a.name, b.name) for a, b in given.pairs] == [
        ("0_low.tif", "0_high.tif"),
        ("1_low.tif", "1_high.tif"),
    ]
    assert "has 0 stars" in refusal(Pairs.of_pattern(tmp_path, "low", "*_high.tif"), model)
    assert "no image is named *_x.tif" in refusal(
        Pairs.of_pattern(tmp_path, "*_x.tif", "*_high.tif"), model
    )


def test_formats_mix_and_stacks_are_cut_into_planes(tmp_path: Path, model: BaryIR) -> None:
    low, high = pairs_in(tmp_path)
    for place, seed in ((low, 20), (high, 30)):
        stack = picture(seed, 5, 40, 40).astype(np.float32)
        write_image(place / "stack.ome.zarr", stack, axes="ZYX")
    Image.fromarray((picture(40) // 16).astype(np.uint8)).save(low / "eight.png")
    tifffile.imwrite(high / "eight.ome.tif", picture(41), metadata={"axes": "YX"})
    images, problems = list_images(low)
    assert problems == []
    assert "stack.ome.zarr" in [image.name for image in images]
    material = read(Pairs.of_folders(low, high), model)
    planes = [
        len(file.degraded) for part in (material.train, material.validation) for file in part.files
    ]
    assert sorted(planes) == [1, 1, 1, 1, 5]


def test_the_brightness_of_other_exposures_is_matched() -> None:
    clean = picture(0, 40, 40)
    problems: list[str] = []
    bright = open_image(UserImage("bright", array=clean), problems)
    dark = open_image(UserImage("dark", array=(clean // 20 + 100).astype(np.uint16)), problems)
    assert bright is not None
    assert dark is not None
    file, matched = pair_file(dark, bright, "auto")
    assert matched
    np.testing.assert_allclose(file.clean[0], file.degraded[0], atol=0.02)
    kept, matched = pair_file(dark, bright, "keep")
    assert not matched
    assert kept.clean[0].mean() > 5


def test_layers_are_as_good_as_files(model: BaryIR) -> None:
    pairs = [
        (UserImage(f"low {i}", array=picture(i), axes="YX"),
         UserImage(f"high {i}", array=picture(i + 9), axes="YX"))
        for i in range(2)
    ]  # fmt: skip
    material = read(Pairs(pairs), model)
    assert len(material.train.names) == len(material.validation.names) == 1
