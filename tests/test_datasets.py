"""Pairs made on the fly: a function of seed and step, of the right kind, from images that exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import io
from torch.utils.data import DataLoader

from napari_baryir.errors import DataError
from napari_baryir.files import write_image
from napari_baryir.imaging.intensity import choose_intensity
from napari_baryir.training.data.images import (
    Profile,
    load_clean_files,
    load_clean_images,
    spread,
)
from napari_baryir.training.data.made_pairs import Batch, PairDataset, microscopy_pair
from napari_baryir.training.data.mixtures import GRID, NO_DOMAIN, ORDER, draw_mixture
from napari_baryir.training.degradations import DEGRADATIONS

PHOTO = {"noise": 2, "haze": 1, "clean": 1}
CELLS = {"noise": 1, "background": 2, "clean": 1}


def photos() -> list[NDArray[np.generic]]:
    """Two random pictures, one smaller than a patch."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((50, 60, 3), (20, 70, 3))]


def planes() -> list[NDArray[np.generic]]:
    """Two smooth planes about [0, 1]."""
    y, x = np.mgrid[:80, :90]
    waves = (0.5 + 0.5 * np.sin(x / 5) * np.sin(y / 7)).astype(np.float32)
    return [waves, waves[:70, ::-1]]


def photo_pairs(seed: int = 1) -> PairDataset:
    return PairDataset([[photo] for photo in photos()], "photo", PHOTO, 32, seed)


def cell_pairs(seed: int = 1) -> PairDataset:
    return PairDataset([planes()], "microscopy", CELLS, 32, seed)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("make", [photo_pairs, cell_pairs])
def test_a_batch_depends_on_seed_and_step_alone(make: type[PairDataset]) -> None:
    first, second = make(), make()
    [second[step] for step in range(3)]  # what came before does not matter
    assert same(first[7], second[7])
    assert not same(first[7], first[8])
    assert not same(first[7], make(seed=2)[7])


def test_worker_processes_change_nothing() -> None:
    dataset = photo_pairs()
    loaded = DataLoader(dataset, batch_size=None, sampler=range(4, 8), num_workers=2)
    for step, batch in zip(range(4, 8), loaded, strict=True):
        assert same(batch, dataset[step])


@pytest.mark.parametrize(
    ("dataset", "composition"),
    # Of seed 2, no clean plane is among the third that a camera rounds to 8 bits.
    [(photo_pairs(), PHOTO), (cell_pairs(seed=2), CELLS)],
)
def test_batches_have_the_recipes_composition(
    dataset: PairDataset, composition: dict[str, int]
) -> None:
    degraded, clean, labels = dataset[0]
    count = sum(composition.values())
    assert degraded.shape == clean.shape == (count, 3, 32, 32)
    assert degraded.dtype == clean.dtype == torch.float32
    expected = [k for k, n in enumerate(composition.values()) for _ in range(n)]
    assert labels.shape == (count, GRID, GRID)
    sources = labels[:, 0, 0]
    assert sources.tolist() == expected
    assert bool((labels == sources[:, None, None]).all())
    for k, domain in enumerate(composition):
        differs = (degraded - clean).abs().amax(dim=(1, 2, 3))[sources == k] > 0
        assert differs.tolist() == [domain != "clean"] * composition[domain]


def test_microscopy_is_grey_and_in_the_map_of_the_degraded_image() -> None:
    degraded, clean, _ = cell_pairs()[0]
    for images in (degraded, clean):
        assert torch.equal(images[:, 0], images[:, 1])
        assert torch.equal(images[:, 0], images[:, 2])
    rng = np.random.default_rng(0)
    plane = planes()[0].astype(np.float32)
    for _ in range(12):
        mapped, truth = microscopy_pair(plane, "background", rng)
        # Either already in the 8-bit full range, or its own percentiles are 0 and 1.
        again = choose_intensity(mapped, rgb=False)
        eight_bit = np.allclose(mapped * 255, np.rint(mapped * 255), atol=1e-3)
        assert eight_bit or (abs(again.low) < 1e-4 and abs(again.high - 1) < 1e-4)
        # One linear map for both: light was added, so the truth lies below.
        assert truth.mean() < mapped.mean()


def test_mixtures_in_turn_have_no_domain_and_differ_from_the_truth() -> None:
    files = [[photo] for photo in photos()]
    dataset = PairDataset(files, "photo", {"noise": 1, "haze": 1, "clean": 1}, 32, 1, in_turn=2)
    degraded, clean, labels = dataset[0]
    assert len(labels) == 5
    assert bool((labels[3:] == NO_DOMAIN).all())
    assert bool(((degraded - clean)[3:].abs().amax(dim=(1, 2, 3)) > 0).all())


@pytest.mark.parametrize("profile", ["photo", "microscopy"])
def test_side_by_side_each_place_suffers_its_own_domain(profile: Profile) -> None:
    files = [planes()] if profile == "microscopy" else [[photos()[0]]]
    names = {"noise": 1, "clean": 1}
    dataset = PairDataset(files, profile, names, 32, 1, side_by_side=6)
    lines, islands = set(), 0
    for step in range(4):
        degraded, clean, labels = dataset[step]
        for x, y, where in zip(degraded[2:], clean[2:], labels[2:], strict=True):
            side = 32 // GRID
            error = (x - y).abs().amax(dim=0).reshape(GRID, side, GRID, side).amax(dim=(1, 3))
            # Microscopy's map rounds 8-bit planes: clean is clean to half a grey value.
            assert torch.equal(error > 0.02, where == 0)
            assert where.unique().tolist() == [0, 1]
            lines.add(tuple(where.flatten().tolist()))
            halves = bool((where == where[:1]).all() or (where == where[:, :1]).all())
            islands += not halves
    assert len(lines) > 4  # upright and lying, at several places, in either order
    assert 0 < islands < 24


def test_clean_is_one_of_two_parts_more_often_than_any_degradation() -> None:
    domains = ["noise", "rain", "haze", "blur", "low light", "clean"]
    rng = np.random.default_rng(0)
    plans = [draw_mixture(False, domains, "photo", rng).domains for _ in range(300)]
    counts = {name: sum(name in plan for plan in plans) for name in domains}
    # By chance alone it is one in three; of the others, half get it in the place of one.
    assert 0.58 < counts.pop("clean") / 300 < 0.75
    assert max(counts.values()) / 300 < 0.4
    assert all(len(set(plan)) == 2 for plan in plans)
    assert {plan.index("clean") for plan in plans if "clean" in plan} == {0, 1}


def test_every_degradation_has_its_place_in_the_order() -> None:
    assert {profile: set(names) for profile, names in ORDER.items()} == {
        profile: set(known) for profile, known in DEGRADATIONS.items()
    }


def test_the_users_own_fields_come_from_files_and_others_where_asked() -> None:
    flat = [[np.full((300, 300), 0.5, np.float32)]]
    own = PairDataset(flat, "microscopy", {"clean": 4}, 32, 0)
    other = PairDataset(flat, "microscopy", {"clean": 4}, 32, 0, synthetic=1.0)
    # Grain and the map to [0, 1] are all that there is in a flat field.
    assert _structure(own) < 0.5 * _structure(other)


def _structure(dataset: PairDataset) -> float:
    """How alike neighbouring pixels are, on the whole."""
    clean = torch.cat([dataset[step].clean[:, 0] for step in range(6)])
    centred = clean - clean.mean(dim=(1, 2), keepdim=True)
    return float((centred[..., 1:] * centred[..., :-1]).mean() / centred.square().mean())


def test_every_file_is_drawn_as_often_however_many_planes_it_has() -> None:
    dark, bright = (np.full((40, 40, 3), value, np.uint8) for value in (10, 200))
    dataset = PairDataset([[dark] * 30, [bright]], "photo", {"clean": 8}, 32, 0)
    drawn = torch.cat([dataset[step].clean[:, 0, 0, 0] for step in range(25)])
    assert 0.4 < float((drawn > 0.5).float().mean()) < 0.6


def test_clean_patches_are_turned_pieces_of_the_images() -> None:
    image = np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3)
    dataset = PairDataset([[image]], "photo", {"clean": 8}, 40, 0)
    turned = {
        (np.rot90(image, k) if not flip else np.rot90(image, k)[:, ::-1]).tobytes()
        for k in range(4)
        for flip in (False, True)
    }
    seen = set()
    for step in range(4):
        patches = (dataset[step].clean * 255).round().byte().permute(0, 2, 3, 1).numpy()
        seen |= {patch.tobytes() for patch in patches}
    assert seen <= turned
    assert len(seen) == 8


@pytest.mark.parametrize("profile", ["photo", "microscopy"])
def test_pictures_come_with_scikit_image(profile: Profile) -> None:
    images = load_clean_images("skimage", profile)
    assert len(images) >= 3
    for image in images:
        assert (image.dtype, image.ndim) == (
            (np.uint8, 3) if profile == "photo" else (np.float32, 2)
        )


def test_folders_are_read_with_everything_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name, image in zip(("a.png", "below/b.png"), photos(), strict=True):
        io.imsave(tmp_path / name, image, check_contrast=False)
    assert [len(planes) for planes in load_clean_files(str(tmp_path), "photo")] == [1, 1]
    images = load_clean_images(str(tmp_path), "photo")
    for image, expected in zip(images, photos(), strict=True):
        np.testing.assert_array_equal(image, expected)


def test_the_axes_in_a_file_say_what_its_planes_are(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(100, 4000, (70, 64, 5)).astype(np.uint16)
    write_image(tmp_path / "last.ome.tif", np.moveaxis(image, -1, 0), axes="ZYX")
    write_image(tmp_path / "zarr.ome.zarr", np.moveaxis(image, -1, 0), axes="CYX")
    write_image(tmp_path / "colour.tif", image[..., :3], axes="YXS")
    found = load_clean_files(str(tmp_path), "microscopy")
    assert [[plane.shape for plane in planes] for planes in found] == [
        [(70, 64)],
        5 * [(70, 64)],
        5 * [(70, 64)],
    ]


@pytest.mark.parametrize(("count", "limit"), [(10, 3), (7, 6), (5, 1), (4, 9), (0, 2)])
def test_few_of_many_are_spread_from_the_first_to_the_last(count: int, limit: int) -> None:
    chosen = spread(range(count), limit)
    assert len(set(chosen)) == len(chosen) == min(count, limit)
    assert chosen == sorted(chosen)
    if count and limit > 1:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
    gaps = np.diff(chosen)
    assert not gaps.size or np.ptp(gaps) <= 1


def test_photographs_may_be_webp(tmp_path: Path) -> None:
    Image.fromarray(photos()[0]).save(tmp_path / "a.webp", lossless=True)
    (image,) = load_clean_images(str(tmp_path), "photo")
    np.testing.assert_array_equal(image, photos()[0])


@pytest.mark.parametrize("length", [2, 3, 5])
def test_every_plane_of_a_stack_is_used_in_one_map(tmp_path: Path, length: int) -> None:
    stack = np.random.default_rng(0).integers(100, 4000, (length, 64, 70)).astype(np.uint16)
    write_image(tmp_path / "stack.tif", stack, axes="ZYX")
    found = load_clean_images(str(tmp_path), "microscopy")
    low, high = np.percentile(stack, [0.1, 99.9])
    np.testing.assert_allclose(found, np.clip((stack - low) / (high - low), 0, 1.25), atol=1e-4)


def test_data_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        load_clean_images(str(tmp_path / "missing"), "photo")
    with pytest.raises(DataError, match="no images in"):
        load_clean_images(str(tmp_path), "photo")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        load_clean_images(str(tmp_path), "photo")
    (tmp_path / "broken.png").unlink()
    io.imsave(tmp_path / "grey.png", photos()[0][..., 0], check_contrast=False)
    with pytest.raises(DataError, match=r"grey\.png.*8-bit RGB"):
        load_clean_images(str(tmp_path), "photo")
    io.imsave(tmp_path / "grey.png", np.eye(40, dtype=np.uint8), check_contrast=False)
    with pytest.raises(DataError, match=r"no plane in .* has 64 pixels"):
        load_clean_images(str(tmp_path), "microscopy")
