"""The training loop: it learns, and resuming equals never having stopped, to the bit."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_baryir import steps
from napari_baryir.cli import main
from napari_baryir.errors import DataError, DeviceError, InputError
from napari_baryir.training import loop
from napari_baryir.training.checkpoint import CHECKPOINT
from napari_baryir.training.data.images import load_clean_files
from napari_baryir.training.data.made_pairs import Batch, PairDataset
from napari_baryir.training.recipe import Recipe, load_recipe
from napari_baryir.training.state import start_state
from napari_baryir.weights.files import load_weights, save_weights

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TINY = [
    "network.width=4",
    "data.patch=32",
    "data.validation_side=32",
    "data.validation_images=1",
    'data.batch={noise=2, rain=2, "low light"=1}',  # haze needs larger fields, and more time
    "optimizer.warm_up=2",
    "steps=6",
    "checkpoint_every=2",
    "validate_every=3",
    "device=cpu",
    "precision=float32",
]


def recipe(output: Path, *overrides: str) -> Recipe:
    return load_recipe("smoke", [*TINY, f"output={output}", *overrides])


def finish(settings: Recipe) -> Path:
    """Train to the end and return the weights file."""
    return steps.finish(loop.train(settings))


def stop_after(settings: Recipe, step: int) -> None:
    """Train until `step` is done, then close the generator, as a user does who stops."""
    training = loop.train(settings)
    for progress in training:
        if progress.step == step:
            training.close()


def assert_equal_weights(first: Path, second: Path) -> None:
    a, b = load_file(first), load_file(second)
    assert a.keys() == b.keys()
    unequal = [name for name in a if not torch.equal(a[name], b[name])]
    assert unequal == []


@pytest.fixture(scope="module")
def uninterrupted(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a run that was never stopped."""
    return finish(recipe(tmp_path_factory.mktemp("uninterrupted")))


@pytest.mark.parametrize("step", [1, 3, 4])
def test_resuming_equals_never_having_stopped(
    uninterrupted: Path, tmp_path: Path, step: int
) -> None:
    stop_after(recipe(tmp_path), step)
    torch.manual_seed(99)  # whatever happened in between
    assert_equal_weights(finish(recipe(tmp_path)), uninterrupted)


def test_resuming_from_the_last_checkpoint_equals_never_having_been_killed(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    training = loop.train(recipe(tmp_path))
    for _ in range(3):
        next(training)
    with monkeypatch.context() as patch:  # in the middle of step 4, when the weights have moved
        patch.setattr(loop, "average_weights", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(training)
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert checkpoint["step"] == 2
    assert_equal_weights(finish(recipe(tmp_path)), uninterrupted)


def test_worker_processes_change_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    stop_after(recipe(tmp_path, "workers=1"), 3)
    assert_equal_weights(finish(recipe(tmp_path, "workers=1")), uninterrupted)


def test_another_seed_gives_other_weights(uninterrupted: Path, tmp_path: Path) -> None:
    other = load_file(finish(recipe(tmp_path, "seed=1")))
    ours = load_file(uninterrupted)
    assert any(not torch.equal(ours[name], other[name]) for name in ours)


def test_steps_may_be_added_until_the_rate_falls(tmp_path: Path) -> None:
    stop_after(recipe(tmp_path / "a"), 3)
    extended = finish(recipe(tmp_path / "a", "steps=8"))
    assert_equal_weights(extended, finish(recipe(tmp_path / "b", "steps=8")))
    stop_after(recipe(tmp_path / "c"), 5)
    with pytest.raises(DataError, match="other values of steps"):
        next(loop.train(recipe(tmp_path / "c", "steps=8")))


def test_a_run_may_start_from_other_weights(uninterrupted: Path, tmp_path: Path) -> None:
    weights = uninterrupted
    settings = recipe(tmp_path, f"init={weights}")
    begun = start_state(settings, CPU).model.state_dict()
    for name, value in load_weights(weights).state_dict().items():
        assert name == "prototypes" or torch.equal(begun[name], value)
    calibrated = load_weights(weights)
    calibrated.subspace = torch.ones(2, 8)
    save_weights(calibrated, tmp_path / "calibrated.safetensors")
    again = start_state(recipe(tmp_path, f"init={tmp_path}/calibrated.safetensors"), CPU).model
    assert again.subspace is None
    for name, value in again.state_dict().items():
        assert torch.equal(begun[name], value)
    with pytest.raises(DataError, match=r"init: the domains of .* are .*rain"):
        start_state(recipe(tmp_path, f"init={weights}", "data.batch={noise=2}"), CPU)


def test_final_weights_may_keep_a_share_of_the_first(uninterrupted: Path, tmp_path: Path) -> None:
    trained = finish(recipe(tmp_path / "a", f"init={uninterrupted}", "half_precision_file=false"))
    shared = finish(
        recipe(
            tmp_path / "b", f"init={uninterrupted}", "half_precision_file=false", "init_share=0.25"
        )
    )
    first, last, between = (load_file(path) for path in (uninterrupted, trained, shared))
    for name, value in between.items():
        if name == "prototypes":
            torch.testing.assert_close(value, last[name])
        else:
            torch.testing.assert_close(value, 0.25 * first[name].float() + 0.75 * last[name])
    assert any(not torch.equal(last[name], value) for name, value in between.items())
    scores = [(path.parent / "log.csv").read_text().splitlines() for path in (trained, shared)]
    assert scores[0][:-1] == scores[1][:-1]
    assert scores[0][-1] != scores[1][-1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [(["init_share=0.5"], "needs init"), (["init=x", "init_share=1.0"], "less than 1")],
)
def test_shares_that_make_no_sense_are_refused(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        recipe(tmp_path, *overrides)


def test_parts_that_the_first_weights_lack_cannot_be_shared(
    uninterrupted: Path, tmp_path: Path
) -> None:
    settings = recipe(tmp_path, f"init={uninterrupted}", "init_share=0.5", "network.spectrum=8")
    with pytest.raises(DataError, match=r"init_share: .* has no spectrum"):
        start_state(settings, CPU)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    stop_after(recipe(tmp_path), 1)
    with pytest.raises(DataError, match="other values of seed"):
        next(loop.train(recipe(tmp_path, "seed=1")))
    training = loop.train(recipe(tmp_path, "seed=1", "resume=false"))
    assert next(training).step == 1
    training.close()


def test_checkpoints_of_older_recipes_go_on(uninterrupted: Path, tmp_path: Path) -> None:
    stop_after(recipe(tmp_path), 3)
    path = tmp_path / CHECKPOINT
    checkpoint = torch.load(path, weights_only=True)
    for section, key in (
        ("data", "layout"),
        ("data", "epoch"),
        ("data", "shuffled"),
        ("data", "sigmas"),
        ("data", "incomplete"),
        ("losses", "congruence"),
    ):
        del checkpoint["recipe"][section][key]  # as it was before these keys were
    torch.save(checkpoint, path)
    assert_equal_weights(finish(recipe(tmp_path)), uninterrupted)
    torch.save(checkpoint, path)
    with pytest.raises(DataError, match="other values of losses"):
        next(loop.train(recipe(tmp_path, "losses.congruence=penalty")))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match=r"checkpoint\.pt cannot be read"):
        next(loop.train(recipe(tmp_path)))


def test_devices_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="device"):
        next(loop.train(recipe(tmp_path, "device=cuda:99")))


def test_the_output_is_one_weights_file_that_says_where_it_comes_from(uninterrupted: Path) -> None:
    assert list(uninterrupted.parent.glob("*.safetensors")) == [uninterrupted]
    model = load_weights(uninterrupted)
    assert model.domains == ("noise", "rain", "low light")
    assert model.prototypes is not None
    assert model.prototypes.shape[0] == 3
    assert model.provenance["steps"] == 6
    assert model.provenance["recipe"]["seed"] == 0
    assert model.provenance["image_kind"] == "photo"
    assert str(uninterrupted.parent) not in str(model.provenance)  # nothing of this computer
    with (uninterrupted.parent / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "6"]
    assert float(rows[0]["psnr rain"]) > 0


def one_step(tmp_path: Path, *overrides: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters of network and potentials before the first step and after it."""
    settings = recipe(tmp_path, "optimizer.clip=1e9", *overrides)
    state = start_state(settings, CPU)
    before = {
        f"{part}.{name}": p.detach().clone()
        for part, module in (("network", state.model), ("potentials", state.potentials))
        for name, p in module.named_parameters()
    }
    data = settings.data
    files = load_clean_files("skimage", "photo")
    batch = PairDataset(files, data.profile, data.batch, data.patch, settings.seed)[0]
    loop.training_step(state, settings, batch, CPU, None)
    after = {
        f"{part}.{name}": p.detach()
        for part, module in (("network", state.model), ("potentials", state.potentials))
        for name, p in module.named_parameters()
    }
    return before, after


def changed(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    """Which parts of the network hold a parameter that differs."""
    return {
        ".".join(name.split(".")[:2]) if name.startswith("network") else "potentials"
        for name in first
        if not torch.equal(first[name], second[name])
    }


def test_a_step_moves_network_and_potentials(tmp_path: Path) -> None:
    parts = {"network.encoder", "network.barycenter_map", "network.decoder", "potentials"}
    assert changed(*one_step(tmp_path)) == parts


def test_only_the_barycenter_map_pays_for_transport(tmp_path: Path) -> None:
    # The barycenter terms move T alone when their gradient stops at z, and E too when it does not.
    plain = ("losses.residual_weight=0", "optimizer.kind=rmsprop")
    _, without = one_step(tmp_path, *plain, "losses.barycenter_weight=0")
    _, detached = one_step(tmp_path, *plain, "losses.barycenter_weight=10")
    _, attached = one_step(
        tmp_path, *plain, "losses.barycenter_weight=10", "losses.detach_source=false"
    )
    assert changed(without, detached) == {"network.barycenter_map"}
    assert changed(without, attached) == {"network.barycenter_map", "network.encoder"}


def test_mixtures_train_the_decoder_and_stay_out_of_the_game(tmp_path: Path) -> None:
    settings = recipe(tmp_path, "data.in_turn=2")
    files = load_clean_files("skimage", "photo")
    data = settings.data
    batch = PairDataset(files, data.profile, data.batch, data.patch, 0, data.in_turn)[0]
    with_mixtures = loop.training_step(start_state(settings, CPU), settings, batch, CPU, None)
    alone = Batch(*(values[:-2] for values in batch))
    without = loop.training_step(start_state(settings, CPU), settings, alone, CPU, None)
    assert with_mixtures["fidelity"] != without["fidelity"]
    for term in ("transport", "potential", "contrast"):
        assert with_mixtures[term] == pytest.approx(without[term], rel=1e-4, abs=1e-6)


def test_the_smoke_recipe_learns(tmp_path: Path) -> None:
    small = ["steps=20", "data.patch=32", "data.validation_images=1", "data.validation_side=64"]
    settings = load_recipe("smoke", [f"output={tmp_path}", "device=cpu", *small])
    fidelity = [progress.terms["fidelity"] for progress in loop.train(settings)]
    assert sum(fidelity[-10:]) < sum(fidelity[:10])


def test_the_command_trains_and_says_where_the_weights_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [*TINY, "steps=2", f"output={tmp_path}"]
    assert main(["train", "smoke", *settings]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^step 2/2: fidelity ", err, re.MULTILINE)  # no terminal, no bar
    assert "step 2: PSNR noise" in err
    assert out.splitlines()[-1] == f"weights: {tmp_path / 'smoke.safetensors'}"
    assert main(["train", "smoke", *settings, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["train", "smoke", *settings, "--verbose"]) == 0
    assert "recipe: " in capsys.readouterr().err
    assert main(["train", "smoke", *settings, "seed=1"]) == 2
    assert "other values of seed" in capsys.readouterr().err
