"""``napari-baryir models`` and ``import-weights``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from napari_baryir import available_models, cli, load_model
from napari_baryir.errors import InputError, ModelUnavailableError
from napari_baryir.network import BaryIR
from napari_baryir.weights.files import save_weights


def test_models_lists_shipped_and_own_models(
    own_model_folder: Path, tiny_model: BaryIR, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_model.provenance = {"title": "Zebrafish at night", "licence": "CC0-1.0"}
    save_weights(tiny_model, own_model_folder / "zebrafish.safetensors")
    (own_model_folder / "zebrafish.md").write_text("Trained on one fish.", encoding="utf-8")
    assert cli.main(["models"]) == 0
    text = capsys.readouterr().out
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert {"photo-compact", "microscopy-compact", "zebrafish"} <= set(lines)
    assert "Zebrafish at night" in lines["zebrafish"]
    assert str(own_model_folder) in lines["zebrafish"]
    assert "Trained on one fish" not in text
    assert cli.main(["models", "zebrafish", "--verbose"]) == 0
    text = capsys.readouterr().out
    assert "Trained on one fish." in text
    assert "photo-compact" not in text


def test_published_models_are_listed_until_they_are_imported(
    own_model_folder: Path, tiny_model: BaryIR, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(tiny_model, own_model_folder / "published-5d.safetensors")
    assert cli.main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines["published-3d"].endswith("not here yet")
    assert "published-weights/" in lines["How"]
    assert str(own_model_folder) in lines["published-5d"]
    # The table is as wide as the user's own folder; what we ship and name fits a wide terminal.
    assert max(len(lines[name]) for name in ("photo-compact", "published-3d", "How")) < 160
    with pytest.raises(ModelUnavailableError, match=r"published-3d.*published-weights"):
        load_model("published-3d")


def test_models_as_json_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "photo-compact", "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert (card["name"], card["images"], card["available"]) == ("photo-compact", "photo", True)
    assert Path(card["path"]).is_file()
    assert cli.main(["models", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_model_card_in_another_encoding_is_shown_all_the_same(
    own_model_folder: Path, tiny_model: BaryIR, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(tiny_model, own_model_folder / "FISH.SAFETENSORS")
    (own_model_folder / "FISH.md").write_bytes(b"Zebrab\xe4rblinge")
    assert cli.main(["models", "FISH", "--verbose"]) == 0
    assert "Zebrab" in capsys.readouterr().out
    assert load_model("FISH").domains == tiny_model.domains


def test_no_model_is_named_auto(
    own_model_folder: Path, tiny_model: BaryIR, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_model_folder / "auto.safetensors"
    with pytest.raises(InputError, match="use another name"):
        save_weights(tiny_model, path)
    assert cli.main(["import-weights", str(checkpoint), "-o", str(path)]) == 2
    assert "'auto' means the model that suits an image" in capsys.readouterr().err
    assert not path.exists()
    save_weights(tiny_model, own_model_folder / "worms.safetensors")
    (own_model_folder / "worms.safetensors").rename(path)
    assert "auto" not in [card.name for card in available_models()]


def test_import_weights_asks_once_where_to_write(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "imported.SAFETENSORS"
    assert cli.main(["import-weights", str(checkpoint)]) == 2
    assert cli.main(["import-weights", str(checkpoint), "x", "-o", str(out)]) == 2
    assert capsys.readouterr().err.count("-o OUT.safetensors") == 2
    assert cli.main(["import-weights", str(checkpoint), "-o", str(out)]) == 0
    assert load_model(out).config is not None


def test_an_unknown_model_name_is_answered_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["models", "nonesuch"]) == 2
    assert "photo-compact" in capsys.readouterr().err


def test_import_weights_writes_what_can_be_loaded(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared / "conformance" / "whole_module_checkpoint.pth"
    out = tmp_path / "published.safetensors"
    assert cli.main(["import-weights", str(source), str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    with torch.inference_mode():
        assert load_model(out)(torch.rand(1, 3, 16, 16)).restored.shape == (1, 3, 16, 16)
