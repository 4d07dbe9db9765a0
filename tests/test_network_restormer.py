"""The published backbone: its published numbers, and its fast form against the plain one."""

from __future__ import annotations

import copy
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import restormer_oracle as oracle
from napari_baryir.errors import InputError
from napari_baryir.network import BaryIR, RestormerConfig
from napari_baryir.network.layers import LayerNorm2d, on_device
from napari_baryir.network.transformer import ChannelAttention, TransformerBlock
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights.files import empty_model, fill_model, shapes
from napari_baryir.weights.published import UNUSED, published_names, read_config

LATENT_TOLERANCE = 1e-4
PIXEL_TOLERANCE = 5e-4


def ruled_weights(key: str, shape: tuple[int, ...]) -> Tensor:
    """Values of a published tensor by the rule of the conformance vectors."""
    values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    values = values.astype(np.float32)
    if key.endswith("temperature") or (len(shape) == 1 and key.endswith("weight")):
        return torch.from_numpy(1 + np.float32(0.1) * values)
    if len(shape) == 1:
        return torch.from_numpy(np.float32(0.1) * values)
    return torch.from_numpy(values / np.sqrt(np.prod(shape[1:], dtype=np.float32)))


@pytest.fixture(scope="module")
def published(shared: Path) -> BaryIR:
    entries = json.loads((shared / "conformance/barynet_state_dict.json").read_text())["entries"]
    found = {e["key"]: tuple(e["shape"]) for e in entries}
    names = published_names(read_config(found))
    model = empty_model(read_config(found))
    tensors = {ours: ruled_weights(theirs, found[theirs]) for theirs, ours in names.items()}
    fill_model(model, tensors, where="the rule")
    return on_device(model, "cpu").eval()


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "conformance/barynet_vectors.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.mark.timeout(600)
def test_published_vectors_are_met(published: BaryIR, vectors: dict[str, Tensor]) -> None:
    x = vectors["x"]
    with torch.inference_mode():
        answer = published(x)
        latents = published.encode(x)
        without_b = published.decode(x, latents, use_barycenter=False)
        without_r = published.decode(x, latents, use_residual=False)
    for mine, theirs, tolerance in (
        (answer.source, "source_latent", LATENT_TOLERANCE),
        (answer.barycenter, "barycenter_latent", LATENT_TOLERANCE),
        (answer.residual, "residual_latent", LATENT_TOLERANCE),
        (answer.restored, "restored", PIXEL_TOLERANCE),
        (without_b, "restored_without_barycenter", PIXEL_TOLERANCE),
        (without_r, "restored_without_residual", PIXEL_TOLERANCE),
    ):
        assert mine.dtype == torch.float32
        assert float((mine - vectors[theirs]).abs().max()) <= tolerance, theirs


def test_published_state_dict_is_covered_but_for_the_six_unused(shared: Path) -> None:
    entries = json.loads((shared / "conformance/barynet_state_dict.json").read_text())["entries"]
    used = {e["key"] for e in entries if e["used_in_forward"]}
    config = VARIANTS["published"]
    assert isinstance(config, RestormerConfig)
    names = published_names(config)
    assert set(names) == used
    assert {e["key"] for e in entries} - used == UNUSED
    assert sorted(names.values()) == sorted(shapes(empty_model(config)))


def test_published_variant_has_the_published_number_of_parameters() -> None:
    parameters = empty_model(VARIANTS["published"]).parameters()
    assert sum(p.numel() for p in parameters) == 53_549_774


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("batch", [1, 2])
def test_block_equals_the_straightforward_form(heads: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(heads)
    module = TransformerBlock(8, heads, 2.66).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(batch, 8, 6, 10, generator=generator, dtype=torch.float64)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        y = module(x.contiguous(memory_format=memory_format))
        torch.testing.assert_close(y, oracle.block(x, module), rtol=1e-10, atol=1e-10)


def test_gradients_equal_those_of_the_straightforward_form() -> None:
    generator = torch.Generator().manual_seed(0)
    module = TransformerBlock(8, 2, 2.0).double()
    x = torch.randn(2, 8, 4, 4, generator=generator, dtype=torch.float64)
    parameters = list(module.parameters())
    fast = torch.autograd.grad(module(x).square().sum(), parameters)
    plain = torch.autograd.grad(oracle.block(x, module).square().sum(), parameters)
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_layer_norm_centres_and_scales_each_pixel() -> None:
    norm = LayerNorm2d(16)
    y = norm(torch.randn(2, 16, 3, 5, generator=torch.Generator().manual_seed(0)) * 7 + 3)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 5), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(1, correction=0), torch.ones(2, 3, 5), rtol=0, atol=1e-4)


def test_attention_of_silence_is_finite() -> None:
    # Queries and keys of length 0 (a constant black plane) must not divide by zero.
    assert bool(torch.isfinite(ChannelAttention(8, 2)(torch.zeros(1, 8, 8, 8))).all())


def test_half_precision_attention_does_not_overflow_on_bright_pixels() -> None:
    attention = ChannelAttention(8, 2).half()
    q = torch.full((1, 4096, 8), 8.0, dtype=torch.float16)  # q k^T would be 262,144 > 65,504
    assert bool(torch.isfinite(attention._mixing_matrix(q, q)).all())


def test_shared_norm_is_one_module_with_one_name(tiny_model: BaryIR) -> None:
    names = [name for name in tiny_model.state_dict() if ".norm." in name]
    assert names == ["encoder.norm.weight", "encoder.norm.bias"]


def test_copy_shares_the_copied_norm_not_the_original(tiny_model: BaryIR) -> None:
    twin = copy.deepcopy(tiny_model)
    with torch.no_grad():
        twin.encoder.norm.bias.add_(1)
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        mine, theirs = tiny_model.encode(x), twin.encode(x)
    assert float((theirs.source - mine.source - 1).abs().max()) < 1e-5
    assert float((theirs.barycenter - mine.barycenter).abs().min()) > 1e-3


def test_separate_norm_gives_barycenter_its_own_tensors() -> None:
    config = VARIANTS["tiny-restormer"].model_copy(update={"shared_norm": False})
    assert "barycenter_map.norm.weight" in BaryIR(config).state_dict()


def test_latents_stay_float32_under_autocast(tiny_model: BaryIR) -> None:
    x = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        restored, z, b, r = tiny_model(x)
    assert {t.dtype for t in (restored, z, b, r)} == {torch.float32}
    assert restored.shape == x.shape
    assert z.shape == b.shape == r.shape == (1, 64, 2, 3)
    torch.testing.assert_close(r, z - b, rtol=0, atol=0)


def test_decoding_without_an_embedding_reads_zeros_in_its_place(tiny_model: BaryIR) -> None:
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        latents = tiny_model.encode(x)
        whole = tiny_model.decode(x, latents)
        for left_out in ("barycenter", "residual"):
            without = tiny_model.decode(x, latents, **{f"use_{left_out}": False})
            zeroed = latents._replace(**{left_out: torch.zeros_like(latents.source)})
            torch.testing.assert_close(without, tiny_model.decode(x, zeroed), rtol=0, atol=0)
            assert not torch.allclose(without, whole)


def test_zero_output_layer_returns_the_input(tiny_model: BaryIR) -> None:
    x = torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(tiny_model.decoder.output.weight)
    with torch.inference_mode():
        torch.testing.assert_close(tiny_model(x).restored, x, rtol=0, atol=0)


def test_width_that_does_not_divide_into_heads_is_refused() -> None:
    with pytest.raises(InputError, match="10 channels do not divide into 4 heads"):
        BaryIR(RestormerConfig(width=5))


def test_every_variant_can_be_built() -> None:
    for name, config in VARIANTS.items():
        assert shapes(empty_model(config)), name
