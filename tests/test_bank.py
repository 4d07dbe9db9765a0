"""Filters against blur learn by themselves: to undo it, and to leave alone what is not blurred."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_baryir.errors import DataError
from napari_baryir.training.bank import bank_composition, start_bank
from napari_baryir.training.data import load_data
from napari_baryir.training.recipe import Recipe, load_recipe
from napari_baryir.training.state import start_state

CPU = torch.device("cpu")


def recipe(output: Path, *overrides: str) -> Recipe:
    return load_recipe("smoke", [f"output={output}", "device=cpu", "data.patch=32", *overrides])


def test_a_taught_bank_undoes_blur_and_nothing_else_of_the_network_changes(tmp_path: Path) -> None:
    settings = recipe(tmp_path, "network.spectrum=16", "network.deblurring=6", "bank_steps=40")
    state = start_state(settings, CPU)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    dataset, _ = load_data(settings)
    start_bank(state, settings, dataset, CPU)
    after = state.model.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any(name.startswith("decoder.deblurring.filters") for name in changed)
    assert all(name.startswith("decoder.deblurring.") or name in READERS for name in changed)
    for name, value in state.averaged.state_dict().items():
        torch.testing.assert_close(value, after[name])
    again = start_state(settings, CPU)
    start_bank(again, settings, dataset, CPU)
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, after[name])


READERS = {"encoder.spectrum.mean", "encoder.spectrum.spread"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "deblurring"),
        (
            ("network.spectrum=4", "network.deblurring=2", "data.batch={noise=2, haze=2}"),
            '"blur"',
        ),
    ],
)
def test_a_recipe_without_what_it_takes_is_refused(
    overrides: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    settings = recipe(tmp_path, "bank_steps=1", *overrides)
    dataset, _ = load_data(settings)
    with pytest.raises(DataError, match=message):
        start_bank(start_state(settings, CPU), settings, dataset, CPU)


def test_most_samples_are_blurred() -> None:
    composition = bank_composition(["noise", "blur", "clean"])
    assert composition["blur"] > composition["noise"] + composition["clean"]
