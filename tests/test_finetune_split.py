"""One image alone is parted, seen with the intensities of the whole, to be validated on a share."""

from __future__ import annotations

import numpy as np
import pytest

from napari_baryir.errors import DataError
from napari_baryir.imaging.intensity import choose_intensity
from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.training.finetune.images import PARTS, Usable, UserImage, parts_of
from napari_baryir.training.finetune.material import (
    CleanImages,
    Material,
    NoisyImages,
    Pairs,
    gather,
)
from napari_baryir.training.finetune.planes import in_words, measure_camera
from napari_baryir.training.finetune.settings import FinetuneSettings

RNG = np.random.default_rng(0)


def image(axes: str, *shape: int) -> Usable:
    return Usable("one", RNG.integers(0, 4000, shape).astype(np.uint16), axes)


def gathered(source: Pairs | NoisyImages | CleanImages) -> Material:
    model = BaryIR(VARIANTS["tiny"], domains=("noise", "clean")).eval()
    return gather(source, model, FinetuneSettings())


@pytest.mark.parametrize(
    ("axes", "shape", "cut", "count"),
    [
        ("TYX", (12, 40, 40), 0, PARTS),
        ("ZYX", (3, 40, 40), 0, 3),
        ("TCZYX", (2, 2, 9, 40, 40), 2, PARTS),
        ("CYX", (2, 40, 200), 2, 3),
        ("YX", (640, 40), 0, PARTS),
        ("YXS", (64, 128, 3), 1, 2),
    ],
)
def test_parts_make_up_the_whole(axes: str, shape: tuple[int, ...], cut: int, count: int) -> None:
    whole, problems = image(axes, *shape), []
    rows = parts_of([(whole, whole)], problems)
    assert problems == []
    assert len(rows) == count
    assert all(first.name == second.name for first, second in rows)
    joined = np.concatenate([first.array for first, _ in rows], axis=cut)
    np.testing.assert_array_equal(joined, whole.array)
    assert {first.layout.rgb for first, _ in rows} == {whole.layout.rgb}


def test_several_images_are_left_whole() -> None:
    rows = [(image("YX", 300, 300),), (image("YX", 300, 300),)]
    assert parts_of(rows, []) == rows


def test_one_small_plane_leaves_nothing_to_validate_by() -> None:
    problems: list[str] = []
    assert parts_of([(image("YX", 100, 100),)], problems) == []
    assert "100 x 100" in problems[0]
    assert "give two or more images, a stack" in problems[0]


def test_parts_are_seen_with_the_intensities_of_the_whole() -> None:
    stack = np.stack([RNG.integers(0, 1000 * (i + 1), (40, 40)) for i in range(5)]).astype(
        np.uint16
    )
    seen = choose_intensity(stack, rgb=False)
    material = gathered(NoisyImages((UserImage("movie", array=stack, axes="TYX"),)))
    assert len(material.train.files) == 4
    (name,) = material.validation.names
    (file,) = material.validation.files
    number = int(name.split("[T ")[1].split()[0])
    np.testing.assert_allclose(file.degraded[0], seen.apply(stack[number]), rtol=1e-6)


def test_pairs_and_clean_images_of_one_stack_are_parted_alike() -> None:
    clean = RNG.integers(0, 4000, (6, 48, 48)).astype(np.uint16)
    noisy = (clean // 2 + 100).astype(np.uint16)
    pair = (
        UserImage("noisy", array=noisy, axes="ZYX"),
        UserImage("clean", array=clean, axes="ZYX"),
    )
    material = gathered(Pairs((pair,)))
    assert len(material.train.files) == len(material.train.clean) == 4
    assert len(material.validation.files) == 1
    assert material.validation.names[0].startswith("noisy [Z ")
    made = gathered(CleanImages((pair[1],), "microscopy", "noise"))
    assert (len(made.train.clean), len(made.validation.clean)) == (4, 1)


def test_the_camera_is_measured_in_grey_values() -> None:
    signal = np.linspace(20, 400, 256)[None] * np.ones((256, 1))
    taken = (100 + 3.0 * RNG.poisson(signal)).astype(np.uint16)
    like = UserImage("frame", array=taken, axes="YX")
    noise = measure_camera(like)
    assert noise.gain == pytest.approx(3.0, rel=0.1)
    assert noise.offset == pytest.approx(100, abs=40)
    assert in_words(noise).startswith("gain ")
    clean = [UserImage(str(i), array=taken // (2 + i), axes="YX") for i in range(2)]
    material = gathered(CleanImages(clean, "microscopy", "noise", like))
    assert material.noise is not None
    assert material.noise.gain < 0.1  # of the range from dark to bright
    assert "measured on frame: gain" in material.notes[0]


def test_an_image_without_noise_is_named() -> None:
    flat = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    with pytest.raises(DataError, match="no noise to measure"):
        measure_camera(UserImage("drawn", array=flat, axes="YX"))
