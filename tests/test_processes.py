"""Training in several processes equals training in one, and what they cannot do is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from napari_baryir.errors import DeviceError, InputError
from napari_baryir.training import loop
from napari_baryir.training.ablation import Ablation, run_ablation
from napari_baryir.training.checkpoint import load_checkpoint
from napari_baryir.training.data.images import load_clean_files
from napari_baryir.training.data.made_pairs import PairDataset
from napari_baryir.training.finetune import NoisyImages, iter_finetune
from napari_baryir.training.paper.file_pairs import DomainFiles, PairedDataset
from napari_baryir.training.paper.layouts import PairPaths
from napari_baryir.training.processes import Share, training_device
from napari_baryir.training.recipe import load_recipe

# Others may compute as well.
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("one_thread")]

SCRIPT = Path(__file__).with_name("train_in_processes.py")
TINY = [
    "network.width=4",
    "data.patch=32",
    "data.validation_side=32",
    "data.validation_images=1",
    'data.batch={noise=2, rain=2, "low light"=1}',  # haze needs larger fields, and more time
    "optimizer.warm_up=2",
    # Optimisers turn the rounding of gradients that are nearly zero into steps; a wrong gradient
    # still moves weights by more than is allowed here.
    "optimizer.potentials_rate=1e-5",
    "steps=4",
    "checkpoint_every=2",
    "validate_every=2",
    "device=cpu",
    "precision=float32",
    "workers=0",
]
MIXED = ["data.in_turn=2", "data.side_by_side=1"]
"""With which the second process has other numbers of samples for the game than the first."""
AS_PUBLISHED = [
    'data.batch={noise=2, rain=1, "low light"=1}',
    "losses.fidelity=l1",
    "losses.congruence=penalty",
    "losses.detach_source=false",
    "optimizer.kind=rmsprop",
    "optimizer.rate=1e-4",
]
RUNS = {"mixed": MIXED, "published": AS_PUBLISHED, "resumed": MIXED}


def finish(output: Path, *overrides: str, until: int | None = None) -> None:
    """Train in this process, to the end or to a step."""
    training = loop.train(load_recipe("smoke", [*TINY, f"output={output}", *overrides]))
    for progress in training:
        if progress.step == until:
            training.close()


@pytest.fixture(scope="module")
def both(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Output folders of the runs in one process and in two, and what the two wrote to stdout."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for name, overrides in RUNS.items():
        if name != "resumed":
            finish(one / name, *overrides)
    finish(two / "resumed", *RUNS["resumed"], until=3)
    commands = [
        ["smoke", *TINY, f"output={two / name}", *overrides] for name, overrides in RUNS.items()
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=850,
    )
    assert done.returncode == 0, done.stderr
    return one, two, done.stdout


def tensors(values: Any, name: str = "") -> dict[str, Tensor]:
    """All floating tensors of a checkpoint by name."""
    if isinstance(values, Tensor):
        return {name: values} if values.is_floating_point() else {}
    if isinstance(values, list):
        values = dict(enumerate(values))
    found: dict[str, Tensor] = {}
    if isinstance(values, dict):
        for key, value in values.items():
            found |= tensors(value, f"{name}.{key}")
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("mixed", "mixed"), ("published", "published"), ("resumed", "mixed")],
)
def test_two_processes_end_with_the_weights_of_one(
    both: tuple[Path, Path, str], ours: str, theirs: str
) -> None:
    one, two = load_checkpoint(both[0] / theirs), load_checkpoint(both[1] / ours)
    assert one is not None
    assert two is not None
    assert one["step"] == two["step"] == 4
    for part in ("model", "averaged", "potentials", "prototypes"):
        expected, found = tensors(one[part], part), tensors(two[part], part)
        assert expected.keys() == found.keys()
        worst = {name: float((expected[name] - found[name]).abs().max()) for name in expected}
        assert {name: error for name, error in worst.items() if error > 1e-5} == {}


def test_the_first_process_alone_speaks_and_writes(both: tuple[Path, Path, str]) -> None:
    _, two, stdout = both
    assert stdout.count("weights: ") == len(RUNS)
    rows = (two / "mixed" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "4"]
    assert len(list((two / "mixed" / "tensorboard").iterdir())) == 1


def test_shares_are_the_batch_cut_up() -> None:
    files = load_clean_files("skimage", "photo")
    composition = {"noise": 2, "haze": 1}
    whole = PairDataset(files, "photo", composition, 32, 0, 2, 1)[4]
    parts = [PairDataset(files, "photo", composition, 32, 0, 2, 1, Share(i, 3)) for i in range(3)]
    for together, *apart in zip(whole, *(part[4] for part in parts), strict=True):
        assert all(len(share) == 2 for share in apart)
        assert torch.equal(together, torch.cat(apart))


def test_shares_of_published_files_are_the_batch_cut_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    sources = (DomainFiles("noise", tuple(PairPaths(p, p) for p in paths), (15.0, 25.0)),)
    epoch = {"noise": 30}
    whole = PairedDataset(sources, 32, 0, {"noise": 1}, 6, epoch)[4]
    parts = [PairedDataset(sources, 32, 0, {"noise": 1}, 6, epoch, Share(i, 2)) for i in range(2)]
    for together, *apart in zip(whole, *(part[4] for part in parts), strict=True):
        assert torch.equal(together, torch.cat(apart))


@pytest.fixture
def in_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun would have started this process."""
    said = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2"}
    for name, value in {**said, "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("in_two_processes")
def test_a_batch_that_cannot_be_shared_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"5 samples, which 2 processes cannot .* data\.batch"):
        finish(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("in_two_processes")
def test_without_fabric_the_extra_that_brings_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(InputError, match=r"pip install 'napari-baryir\[train\]'"):
        finish(tmp_path, *MIXED)


@pytest.mark.usefixtures("in_two_processes")
def test_each_process_of_a_computer_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def device_of(name: str) -> str:
        recipe = load_recipe("smoke", [f"device={name}", "precision=float32"])
        return str(training_device(recipe)[0])

    assert device_of("cpu") == "cpu"
    with pytest.raises(DeviceError, match=r"'mps' cannot be shared by 2 processes"):
        device_of("mps")
    with pytest.raises(DeviceError, match=r"'cuda:0' cannot be shared by 2 processes"):
        device_of("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="2 processes on a computer with 1 GPUs"):
        device_of("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("cuda") == "cuda:1"


@pytest.mark.usefixtures("in_two_processes")
def test_what_is_for_one_process_says_so(tmp_path: Path) -> None:
    ablation = Ablation(
        recipe="smoke",
        output=str(tmp_path),
        clean=str(tmp_path),
        unseen=(),
        variants={"full": ()},
    )
    with pytest.raises(InputError, match="an ablation runs in one process, not in 2"):
        next(run_ablation(ablation))
    with pytest.raises(InputError, match="fine-tuning runs in one process, not in 2"):
        next(iter_finetune("photo-compact", NoisyImages(tmp_path), tmp_path / "x.safetensors"))
