"""Models by name: shipped, the user's own, and those that are not there."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_baryir.errors import ModelUnavailableError, WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights import registry
from napari_baryir.weights.cache import FOLDER_VARIABLE, model_folder
from napari_baryir.weights.files import save_weights, weights_hash
from napari_baryir.weights.registry import (
    REGISTRY,
    available_models,
    choose_model,
    load_model,
    removable_by,
)

MAX_SHIPPED_BYTES = 5_000_000
"""2.5 million parameters in 16 bits: the largest that a compact model may be."""


@pytest.mark.parametrize("name", ["photo-compact", "microscopy-compact"])
def test_shipped_model_loads_by_name(name: str) -> None:
    card = REGISTRY[name]
    assert card.path.stat().st_size <= MAX_SHIPPED_BYTES
    assert card.card_path is not None
    model = load_model(name)
    assert model.domains
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 16, 24)).restored.shape == (1, 3, 16, 24)


def test_missing_shipped_file_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(
        REGISTRY, "photo-compact", replace(REGISTRY["photo-compact"], folder=tmp_path)
    )
    with pytest.raises(ModelUnavailableError, match=r"photo-compact\.safetensors.*reinstall"):
        load_model("photo-compact")


def test_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(ModelUnavailableError, match=r"did you mean photo-compact.*microscopy"):
        load_model("foto-compact")


def test_registry_names_are_those_of_the_cards_and_of_auto() -> None:
    assert all(name == card.name for name, card in REGISTRY.items())
    assert {choose_model(True), choose_model(False)} <= set(REGISTRY)
    assert REGISTRY[choose_model(True)].image_kind == "photo"
    assert REGISTRY[choose_model(False)].image_kind == "microscopy"


def test_path_is_loaded(tiny_model: BaryIR, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(tiny_model, path)
    assert load_model(path).config == tiny_model.config
    assert load_model(str(path)).weights_hash == weights_hash(path)


def test_path_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="mine"):
        load_model(tmp_path / "mine.safetensors")


def test_published_checkpoint_is_refused_with_the_way_to_import_it(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "published.pth")
    with pytest.raises(WeightsError, match="import-weights"):
        load_model(tmp_path / "published.pth")


@pytest.mark.parametrize("name", ["worms", "worms-0.2"])
def test_own_model_is_listed_and_loaded_by_name(tiny_model: BaryIR, name: str) -> None:
    tiny_model.provenance = {"title": "My worms", "image_kind": "microscopy", "licence": "CC0-1.0"}
    save_weights(tiny_model, model_folder() / f"{name}.safetensors")
    (card,) = (card for card in available_models() if card.name == name)
    assert (card.title, card.image_kind, card.licence) == ("My worms", "microscopy", "CC0-1.0")
    assert card.available
    assert load_model(name).config == tiny_model.config


@pytest.mark.parametrize(("steering", "names"), [(0, ()), (2, ("noise", "haze"))])
def test_card_names_what_can_be_removed_alone(steering: int, names: tuple[str, ...]) -> None:
    config = VARIANTS["tiny"].model_copy(update={"steering": steering})
    model = BaryIR(config, domains=("noise", "haze", "clean"))
    path = model_folder() / "mine.safetensors"
    save_weights(model, path)
    (card,) = (card for card in available_models() if card.name == "mine")
    assert card.removable == removable_by("mine") == removable_by(path) == names
    assert (model.degradations if model.subspaces is not None else ()) == names
    path.write_bytes(b"damaged")
    assert removable_by("mine") == ()


def test_published_networks_remove_all_that_they_find(tiny_model: BaryIR) -> None:
    save_weights(tiny_model, model_folder() / "published.safetensors")
    assert removable_by("published") == ()
    assert removable_by("nobody") == ()


def test_own_model_cannot_take_a_registered_name(tiny_model: BaryIR) -> None:
    save_weights(tiny_model, model_folder() / "photo-compact.safetensors")
    cards = [card for card in available_models() if card.name == "photo-compact"]
    assert cards == [REGISTRY["photo-compact"]]


def test_damaged_own_model_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    (model_folder() / "broken.safetensors").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING):
        assert "broken" not in [card.name for card in available_models()]
    assert "broken.safetensors" in caplog.text


def test_model_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "elsewhere"))
    assert model_folder() == tmp_path / "elsewhere"
    assert available_models() == list(REGISTRY.values())  # a folder that does not exist is empty
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert "napari-baryir" in model_folder().parts


def test_listing_models_does_not_import_torch() -> None:
    code = (
        f"import sys; from {registry.__name__} import available_models; "
        "available_models(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
