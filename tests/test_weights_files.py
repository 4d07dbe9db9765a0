"""Weights files: what is written comes back, and what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_baryir.errors import ModelUnavailableError, WeightsError
from napari_baryir.network import BaryIR, GatedConfig, RestormerConfig
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights.files import load_weights, save_weights, weights_hash
from napari_baryir.weights.header import HEADER_KEY, read_header

NAME = "encoder.norm.weight"


@pytest.fixture
def saved(tiny_model: BaryIR, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_weights(tiny_model, path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, Tensor]], None], **header: object) -> None:
    """Change the tensors and header fields of a weights file."""
    kept = read_header(path).model_dump(mode="json") | header
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={HEADER_KEY: json.dumps(kept)})


def test_round_trip_gives_the_same_network(tiny_model: BaryIR, tmp_path: Path) -> None:
    tiny_model.domains = ("noise", "haze")
    tiny_model.prototypes = torch.arange(128.0).view(2, 64)
    tiny_model.calibration = {"temperature": 0.1, "edges": [0.0, 1.0]}
    tiny_model.provenance = {"recipe": "smoke", "steps": 3}
    path = tmp_path / "new folder" / "model.safetensors"
    save_weights(tiny_model, path)
    again = load_weights(path)
    assert again.config == tiny_model.config
    assert (again.domains, again.calibration, again.provenance) == (
        tiny_model.domains,
        tiny_model.calibration,
        tiny_model.provenance,
    )
    assert again.weights_hash == weights_hash(path)
    assert not again.training
    assert again.state_dict().keys() == tiny_model.state_dict().keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, tiny_model.state_dict()[name]), name


@settings(max_examples=8)
@given(
    config=st.one_of(
        st.builds(
            RestormerConfig,
            width=st.sampled_from([4, 8]),
            encoder_blocks=st.tuples(*[st.integers(0, 2)] * 4),
            barycenter_blocks=st.integers(0, 2),
            residual_blocks=st.tuples(*[st.integers(0, 1)] * 2),
            decoder_blocks=st.tuples(*[st.integers(0, 1)] * 3),
            refinement_blocks=st.integers(0, 1),
            heads=st.sampled_from([(1, 1, 1, 1), (1, 2, 2, 4)]),
            shared_norm=st.booleans(),
        ),
        st.builds(GatedConfig, width=st.sampled_from([4, 8]), barycenter_blocks=st.integers(1, 2)),
    )
)
def test_any_configuration_round_trips(
    config: RestormerConfig | GatedConfig, tmp_path: Path
) -> None:
    model = BaryIR(config).eval()
    save_weights(model, tmp_path / "model.safetensors")
    again = load_weights(tmp_path / "model.safetensors")
    assert again.config == config
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(again(x).restored, model(x).restored, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_files_load_as_float32(
    tiny_model: BaryIR, tmp_path: Path, dtype: torch.dtype
) -> None:
    path = tmp_path / "half.safetensors"
    save_weights(tiny_model, path, dtype=dtype)
    assert load_file(path)[NAME].dtype == dtype
    assert {t.dtype for t in load_weights(path).state_dict().values()} == {torch.float32}


def test_loading_uses_no_random_numbers(saved: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    load_weights(saved)
    assert torch.equal(torch.rand(1), expected)


def test_loaded_network_can_be_trained(saved: Path) -> None:
    assert all(parameter.requires_grad for parameter in load_weights(saved).parameters())


def test_others_may_read_what_is_saved(saved: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    assert saved.stat().st_mode == plain.stat().st_mode


def test_failed_save_leaves_the_old_file(tiny_model: BaryIR, saved: Path) -> None:
    before = saved.read_bytes()
    with torch.no_grad():
        tiny_model.encoder.norm.weight[0] = float("nan")
    with pytest.raises(WeightsError, match=NAME):
        save_weights(tiny_model, saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_interrupted_write_leaves_the_old_file(
    tiny_model: BaryIR, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def cut_off(path: Path, data: bytes) -> None:
        path.write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    with pytest.raises(KeyboardInterrupt):
        save_weights(tiny_model, saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_value_too_large_for_float16_is_refused(tiny_model: BaryIR, tmp_path: Path) -> None:
    with torch.no_grad():
        tiny_model.encoder.norm.weight[0] = 1e6
    with pytest.raises(WeightsError, match=f"not finite.*{NAME}"):
        save_weights(tiny_model, tmp_path / "half.safetensors", dtype=torch.float16)


def test_provenance_that_is_not_json_is_refused(tiny_model: BaryIR, tmp_path: Path) -> None:
    tiny_model.provenance = {"path": tmp_path}
    with pytest.raises(WeightsError, match="plain JSON"):
        save_weights(tiny_model, tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(NAME), f"{NAME}: missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra: unexpected"),
        (lambda t: t.update({NAME: torch.ones(7)}), rf"{NAME}: shape \(7,\) instead of \(64,\)"),
        (lambda t: t[NAME].fill_(float("nan")), f"not finite.*{NAME}"),
        (lambda t: t[NAME].fill_(float("inf")), f"not finite.*{NAME}"),
        (lambda t: t.update({NAME: torch.ones(64, dtype=torch.int32)}), f"{NAME}: I32"),
        (lambda t: t.update(prototypes=torch.ones(2, 64)), "one row for each of the 0 domains"),
    ],
)
def test_wrong_tensors_are_named(
    saved: Path, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    rewrite(saved, change)
    with pytest.raises(WeightsError, match=message):
        load_weights(saved)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 99}, "format 99.*update"),
        ({"config": {"backbone": "restormer", "depth": 3}}, "depth"),
        ({"config": {"backbone": "other"}}, "backbone"),
        ({"config": {"backbone": "restormer", "width": 5}}, "do not divide"),
        ({"config": {"backbone": "restormer", "width": 2**62}}, "cannot be"),
        ({"config": {"backbone": "restormer", "width": 2**80}}, "cannot be"),
        ({"config": {"backbone": "gated", "width": 2**62}}, "cannot be"),
        ({"domains": 3}, "domains"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_headers_are_refused(saved: Path, header: dict[str, object], message: str) -> None:
    rewrite(saved, lambda tensors: None, **header)
    with pytest.raises(WeightsError, match=message):
        load_weights(saved)


def test_file_of_others_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="import-weights"):
        load_weights(path)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_cut_off_file_is_refused(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=saved.name):
        load_weights(saved)


def test_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="nowhere"):
        load_weights(tmp_path / "nowhere.safetensors")


def test_long_list_of_problems_is_counted(saved: Path) -> None:
    rewrite(saved, lambda tensors: tensors.clear())
    with pytest.raises(WeightsError, match=r"missing; and \d+ more"):
        load_weights(saved)


def test_header_is_read_without_the_tensors(saved: Path) -> None:
    assert read_header(saved).config == VARIANTS["tiny-restormer"].model_dump(mode="json")
