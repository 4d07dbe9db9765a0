"""Import of published checkpoints: every published form is read, and what is wrong is named."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_baryir.errors import InputError, ModelUnavailableError, WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.weights.files import load_weights, save_weights
from napari_baryir.weights.importer import import_published_weights
from published_checkpoints import (
    assert_refused,
    published_state_dict,
)

StateDict = dict[str, torch.Tensor]


def assert_imports_as(model: BaryIR, path: Path, out: Path) -> None:
    assert import_published_weights(path, out) == out
    again = load_weights(out)
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_conformance_checkpoint_answers_as_published(shared: Path, out: Path) -> None:
    import_published_weights(shared / "conformance/whole_module_checkpoint.pth", out)
    model = load_weights(out)
    with np.load(shared / "conformance/whole_module_vectors.npz") as arrays:
        vectors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    with torch.inference_mode():
        answer = model(vectors["x"])
    for mine, name in (
        (answer.restored, "restored"),
        (answer.source, "source_latent"),
        (answer.barycenter, "barycenter_latent"),
    ):
        error = float((mine - vectors[name]).abs().max() / vectors[name].abs().max())
        assert error <= 1e-4, name


def test_whole_module_is_imported_without_its_classes(
    tiny_model: BaryIR, checkpoint: Path, out: Path
) -> None:
    assert "model_bary" not in sys.modules
    assert_imports_as(tiny_model, checkpoint, out)
    assert "model_bary" not in sys.modules


@pytest.mark.parametrize("container", [None, "BaryIR", "state_dict", "params", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dict_is_imported_from_any_container(
    tiny_model: BaryIR, tmp_path: Path, out: Path, container: str | None, prefix: str
) -> None:
    tensors = {prefix + k: v for k, v in published_state_dict(tiny_model).items()}
    path = tmp_path / "state.pth"
    whole = tensors if container is None else {"epoch": 7, container: tensors}
    torch.save(whole, path)
    assert_imports_as(tiny_model, path, out)


def test_state_dict_of_a_module_with_metadata_is_imported(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = OrderedDict(published_state_dict(tiny_model))
    tensors._metadata = OrderedDict({"": {"version": 1}})  # as Module.state_dict() leaves it
    torch.save(tensors, tmp_path / "state.pth")
    assert_imports_as(tiny_model, tmp_path / "state.pth", out)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_with_published_names_is_imported(
    tiny_model: BaryIR, tmp_path: Path, out: Path, prefix: str
) -> None:
    tensors = {prefix + k: v for k, v in published_state_dict(tiny_model).items()}
    save_file(tensors, tmp_path / "state.safetensors")
    assert_imports_as(tiny_model, tmp_path / "state.safetensors", out)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(
    tiny_model: BaryIR, tmp_path: Path, out: Path, dtype: torch.dtype
) -> None:
    tensors = {k: v.to(dtype) for k, v in published_state_dict(tiny_model).items()}
    torch.save(tensors, tmp_path / "state.pth")
    import_published_weights(tmp_path / "state.pth", out)
    weight = load_weights(out).state_dict()["encoder.stem.weight"]
    assert torch.equal(weight, tensors["patch_embed.proj.weight"].float())


def test_views_with_strides_keep_their_values(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = published_state_dict(tiny_model)
    weight = tensors["output.weight"]
    tensors["output.weight"] = weight.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    padded = torch.zeros(100)
    padded[7:71] = tensors["LN.body.bias"]
    tensors["LN.body.bias"] = padded[7:71]
    torch.save(tensors, tmp_path / "state.pth")
    assert_imports_as(tiny_model, tmp_path / "state.pth", out)


def test_a_name_that_cannot_be_written_to_is_refused(
    tiny_model: BaryIR, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"name it weights\.safetensors"):
        import_published_weights(checkpoint, tmp_path / "weights.pth")
    published = tmp_path / "published.safetensors"
    save_file(dict(published_state_dict(tiny_model)), published)
    before = published.read_bytes()
    with pytest.raises(InputError, match="is the file to import"):
        import_published_weights(published, published)
    assert published.read_bytes() == before


def test_imported_file_says_where_it_comes_from(checkpoint: Path, out: Path) -> None:
    import_published_weights(checkpoint, out)
    assert load_weights(out).provenance["imported_from"] == checkpoint.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("LN.body.bias"), "LN.body.bias: missing"),
        (lambda t: t.pop("patch_embed.proj.weight"), "patch_embed.proj.weight is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra: unexpected"),
        (
            lambda t: t.update({"output.weight": torch.zeros(3, 5, 3, 3)}),
            r"output.weight: shape \(3, 5, 3, 3\) instead of \(3, 16, 3, 3\)",
        ),
        (lambda t: t["output.weight"].fill_(float("nan")), "not finite.*decoder.output.weight"),
        (lambda t: t.update({"output.weight": t["output.weight"].int()}), "torch.int32; floats"),
        (lambda t: t.update(best="psnr"), "best"),
        (lambda t: t.clear(), "where a network was expected"),
    ],
)
def test_wrong_tensors_are_named(
    tiny_model: BaryIR,
    tmp_path: Path,
    out: Path,
    change: Callable[[StateDict], None],
    message: str,
) -> None:
    tensors = published_state_dict(tiny_model)
    change(tensors)
    torch.save(tensors, tmp_path / "state.pth")
    assert_refused(tmp_path / "state.pth", out, message, WeightsError)


def test_stage_that_is_missing_altogether_is_named(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = published_state_dict(tiny_model)
    torch.save({k: v for k, v in tensors.items() if "barylatent" not in k}, tmp_path / "state.pth")
    assert_refused(tmp_path / "state.pth", out, "barylatent.0.norm1.body.weight", WeightsError)


def test_checkpoint_without_a_network_says_what_it_holds(tmp_path: Path, out: Path) -> None:
    torch.save({"optimizer": {}, "epoch": 1}, tmp_path / "state.pth")
    assert_refused(tmp_path / "state.pth", out, "'optimizer', 'epoch'", WeightsError)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"PK", b"PK\x03\x04", b"PK\x03\x04" * 100, b"x" * 50),
        *(b"12345678{", b"\xff" * 8 + b"{}"),
    ],
)
def test_other_file_is_refused(content: bytes, tmp_path: Path, out: Path) -> None:
    (tmp_path / "other.pth").write_bytes(content)
    assert_refused(tmp_path / "other.pth", out, "cannot be imported", WeightsError)


def test_pickle_of_another_protocol_is_refused_with_advice(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    torch.save(published_state_dict(tiny_model), tmp_path / "state.pth", pickle_protocol=4)
    assert_refused(tmp_path / "state.pth", out, "saved again with protocol 2", WeightsError)


def test_legacy_torch_file_is_refused_with_advice(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    path = tmp_path / "legacy.pth"
    torch.save(published_state_dict(tiny_model), path, _use_new_zipfile_serialization=False)
    assert_refused(path, out, "saved again", WeightsError)


def test_file_of_ours_is_not_imported_twice(tiny_model: BaryIR, tmp_path: Path, out: Path) -> None:
    save_weights(tiny_model, tmp_path / "ours.safetensors")
    assert_refused(tmp_path / "ours.safetensors", out, "one of our own", WeightsError)


def test_missing_file_is_said_to_be_missing(tmp_path: Path, out: Path) -> None:
    assert_refused(tmp_path / "nowhere.pth", out, "there is no", ModelUnavailableError)
