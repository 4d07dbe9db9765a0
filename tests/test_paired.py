"""The paper's training data: found, listed where half there, drawn as published, held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_baryir.errors import DataError, InputError
from napari_baryir.network.variants import VARIANTS
from napari_baryir.training import loop
from napari_baryir.training.game import Potentials
from napari_baryir.training.losses import congruence_penalty
from napari_baryir.training.paper.file_pairs import DomainFiles, PairedDataset
from napari_baryir.training.paper.layouts import PairPaths
from napari_baryir.training.paper.training_sets import TRAINING_SETS, hold_out, load_paper_data
from napari_baryir.training.recipe import Recipe, load_recipe
from napari_baryir.training.state import set_rates, start_state

PAPER = ("paper_3d", "paper_5d", "paper_5d_promptir", "paper_3d_ours", "paper_5d_ours")
CPU = torch.device("cpu")
TINY = [
    "network={backbone='gated', width=4, encoder_blocks=[1,1,1], barycenter_blocks=1, "
    "decoder_blocks=[1,1,1]}",
    "data.incomplete=true",
    "data.patch=32",
    "data.validation_side=32",
    "data.validation_images=1",
    "workers=0",
    "device=cpu",
    "precision=float32",
]
PROMPTED = (
    "network={backbone='restormer', width=8, encoder_blocks=[1,1,1,1], barycenter_blocks=1, "
    "residual_blocks=[0,0], decoder_blocks=[0,0,0], refinement_blocks=0, "
    "prompts={length=3, sizes=[2,4,8], channels=[8,8,8]}}"
)


def save(path: Path, value: int, size: tuple[int, int] = (40, 48)) -> None:
    """A grey RGB file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three files of every domain in the README's layout: dark degraded, bright clean ones."""
    folder = tmp_path / "Train"
    for number in (1, 2, 3):
        save(folder / f"Denoise/{number}.bmp", 200)
        save(folder / f"Derain/rainy/rain-{number}.png", 10)
        save(folder / f"Derain/gt/norain-{number}.png", 210)
        save(folder / f"Dehaze/synthetic/part{number}/{number:04d}_0.8_0.04.png", 20)
        save(folder / f"Dehaze/original/{number:04d}.png", 220)
        save(folder / f"Deblur/blur/GOPR{number}-0000.png", 30)
        save(folder / f"Deblur/sharp/GOPR{number}-0000.png", 230)
        save(folder / f"low_light/low/{number}.png", 40)
        save(folder / f"low_light/high/{number}.png", 240)
    return folder


def recipe(name: str, root: Path, *overrides: str) -> Recipe:
    """A paper's recipe, made tiny."""
    return load_recipe(name, [*TINY, f"data.train={root}", f"output={root}/run", *overrides])


LEVELS = {0: (200, 200), 1: (10, 210), 2: (20, 220), 3: (30, 230), 4: (40, 240)}
"""Domain's index to the grey values of its files."""


@pytest.mark.parametrize("name", PAPER)
def test_every_domain_is_paired_with_its_own_clean_files(root: Path, name: str) -> None:
    settings = recipe(name, root)
    dataset, validation = load_paper_data(settings.data, settings.seed)
    assert list(validation) == list(settings.data.batch)
    for step in range(6):
        batch = dataset[step]
        assert batch.degraded.shape == batch.clean.shape
        assert batch.clean.shape[1:] == (3, 32, 32)
        for degraded, clean, labels in zip(*batch, strict=True):
            (source,) = labels.unique().tolist()
            expected = LEVELS[source]
            assert clean.unique().tolist() == pytest.approx([expected[1] / 255])
            if source:
                assert degraded.unique().tolist() == pytest.approx([expected[0] / 255])
            else:
                assert 0.03 < float(degraded.std()) < 0.25


@pytest.mark.parametrize("name", PAPER)
def test_a_batch_depends_on_seed_and_step_alone(root: Path, name: str) -> None:
    settings = recipe(name, root)
    first, second = (load_paper_data(settings.data, 0)[0] for _ in "12")
    second[5]
    other = load_paper_data(settings.data, 1)[0]
    for a, b in zip(first[3], second[3], strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(first[3], other[3], strict=True))


def test_an_epoch_holds_every_sample_as_often_as_published(root: Path) -> None:
    def source(domain: str, files: int, sigmas: tuple[float, ...] = ()) -> DomainFiles:
        paths = [root / f"{i}.png" for i in range(files)]
        return DomainFiles(domain, tuple(PairPaths(path, path) for path in paths), sigmas)

    epoch = {"noise": 12, "rain": 6}
    dataset = PairedDataset(
        (source("noise", 2, (15, 25, 50)), source("rain", 3)), 8, 0, {}, 3, epoch
    )
    rng = np.random.default_rng(0)
    for start in (0, 18):
        drawn = [dataset._choose(sample, sample % 3, rng) for sample in range(start, start + 18)]
        noise = Counter((file, turn % 3) for index, file, turn in drawn if index == 0)
        rain = Counter(file for index, file, _ in drawn if index == 1)
        assert set(noise.values()) == {2}  # 2 files, 3 sigmas, 12 samples
        assert len(noise) == 6
        assert rain == {0: 2, 1: 2, 2: 2}
        assert [index for index, _, _ in drawn] != sorted(index for index, _, _ in drawn)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("paper_3d", [0.318, 0.341, 0.341]), ("paper_5d", [0.191, 0.204, 0.204, 0.200, 0.202])],
)
def test_lambda_is_the_published_one(root: Path, name: str, expected: list[float]) -> None:
    weights = start_state(recipe(name, root), CPU).potentials.weights
    assert weights.tolist() == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("name", ["paper_3d", "paper_5d"])
def test_the_published_numbers_are_in_the_recipe(name: str) -> None:
    settings = load_recipe(name)
    samples = sum(settings.data.epoch.values())
    epochs, fall = {"paper_3d": (56, 50), "paper_5d": (57, 31)}[name]
    assert settings.data.shuffled == 3
    assert samples == {"paper_3d": 221_295, "paper_5d": 367_650}[name]
    assert settings.steps == samples // 3 * epochs
    last = samples // 3 * fall  # the first step after this many epochs
    assert last - 1 < settings.optimizer.constant * settings.steps <= last
    for domain, each in settings.data.epoch.items():
        assert each % TRAINING_SETS[domain].count == 0
    assert settings.losses.fidelity_weight == 1e4
    assert settings.network == load_recipe(f"{name}_ours").network.model_copy(
        update={"shared_norm": True}
    )


def test_rates_fall_to_a_tenth_once_for_both_players(root: Path) -> None:
    settings = recipe("paper_3d", root, "steps=10", "optimizer.constant=0.8")
    state = start_state(settings, CPU)
    for step, expected in ((0, 1e-4), (7, 1e-4), (8, 1e-5), (9, 1e-5)):
        state.step = step
        set_rates(state, settings.optimizer, settings.steps)
        for optimizer in (state.model_optimizer, state.potentials_optimizer):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_the_penalty_pulls_potentials_to_congruence() -> None:
    weights = torch.tensor([0.2, 0.5, 0.3])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        potentials = Potentials(6, weights, hidden=4, congruent=False)
        b = torch.randn(5, 6, 4, 4)
    values = potentials(b)
    slow = [
        sum(w * v for w, v in zip(weights.tolist(), row, strict=True)) for row in values.tolist()
    ]
    expected = 10 * sum(s * s for s in slow) / len(slow)
    assert expected > 1e-4
    assert congruence_penalty(values, weights).item() == pytest.approx(expected, rel=1e-4)
    optimizer = torch.optim.Adam(potentials.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        congruence_penalty(potentials(b), weights).backward()
        optimizer.step()
    assert congruence_penalty(potentials(b), weights).item() < 0.1 * expected


def test_whole_scenes_are_held_out() -> None:
    def pair(degraded: str, clean: str) -> PairPaths:
        return PairPaths(Path(degraded), Path(clean))

    haze = tuple(
        pair(f"h/{scene}_{i}.png", f"c/{scene}.png") for scene in range(30) for i in range(3)
    )
    kept, held_out = hold_out("haze", haze, 8)
    assert {p.clean for p in kept}.isdisjoint({p.clean for p in held_out})
    assert len({p.clean for p in held_out}) == 3  # a tenth of the scenes
    assert len(kept) + len(held_out) == 90
    frames = tuple(
        pair(f"Deblur/blur/G{s}-{i}.png", f"Deblur/sharp/G{s}-{i}.png")
        for s in range(3)
        for i in range(4)
    )
    kept, held_out = hold_out("blur", frames, 8)
    assert [p.clean.stem for p in held_out] == ["G2-0", "G2-1", "G2-2", "G2-3"]
    assert len(kept) == 8


def test_missing_and_half_present_data_are_listed_before_training(root: Path) -> None:
    (root / "Derain/gt/norain-2.png").unlink()
    (root / "Dehaze/original/0003.png").write_bytes(b"not an image")
    save(root / "Deblur/blur/GOPR1-0000.png", 30, size=(40, 40))
    for path in (root / "low_light/low").iterdir():
        path.unlink()
    settings = load_recipe("paper_5d", [f"data.train={root}", f"output={root}/run"])
    with pytest.raises(DataError) as caught:
        next(loop.train(settings.model_copy(update={"device": "cpu"})))
    for expected in (
        "noise: 3 files; the published set has 5144",
        "rain: 1 files without a clean one",
        "rain-2.png",
        "0003.png cannot be read",
        "GOPR1-0000.png is 40 x 40 pixels, but",
        "low light: there is nothing in it",
        "training/README.md",
    ):
        assert expected in str(caught.value)
    assert not (root / "run").exists()
    with pytest.raises(DataError, match="there is no folder"):
        load_paper_data(settings.data.model_copy(update={"train": "nowhere"}), 0)


def test_the_recipe_of_the_best_variant_is_the_published_one_with_prompts() -> None:
    plain, prompted = load_recipe("paper_5d"), load_recipe("paper_5d_promptir")
    assert prompted.network == VARIANTS["promptir"]
    different = {key for key, value in prompted if value != getattr(plain, key)}
    assert different == {"name", "description", "output", "network"}


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("paper_5d", []),
        ("paper_5d_ours", []),
        ("paper_5d_promptir", [PROMPTED]),
    ],
)
def test_the_papers_recipes_train(root: Path, name: str, override: list[str]) -> None:
    short = ["steps=2", "validate_every=2", "checkpoint_every=2", "optimizer.warm_up=0"]
    settings = recipe(name, root, *short, *override)
    progress = list(loop.train(settings))
    assert [p.step for p in progress] == [1, 2]
    assert progress[-1].scores is not None
    assert set(progress[-1].scores.restored) == set(settings.data.batch)
    assert ("congruence" in progress[0].terms) == (name != "paper_5d_ours")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.validation=photos", "held out"),
        ("data.in_turn=1", "nor mixtures"),
        ("data.epoch={noise=3}", "same domains"),
        ("data.layout=clean", "epoch and shuffled"),
    ],
)
def test_what_does_not_fit_the_papers_layout_is_named(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe("paper_3d", [override])
