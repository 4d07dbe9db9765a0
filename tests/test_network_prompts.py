"""The decoder with prompts: its mathematics, and the published network underneath."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from napari_baryir.errors import InputError
from napari_baryir.network import BaryIR, PromptConfig, RestormerConfig, parse_config
from napari_baryir.network.prompts import PromptBlock, PromptGeneration
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights.files import empty_model, load_weights, save_weights

CONFIG = VARIANTS["tiny-promptir"]
BLOCKS = ("prompt3", "prompt2", "prompt1")


def seeded(config: RestormerConfig, seed: int = 0) -> BaryIR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BaryIR(config).eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def model() -> BaryIR:
    """A network whose prompts have a say: `reduce` is not at its start, zero."""
    assert isinstance(CONFIG, RestormerConfig)
    network = seeded(CONFIG)
    generator = torch.Generator().manual_seed(1)
    for name in BLOCKS:
        weight = network.decoder.get_submodule(name).reduce.weight
        with torch.no_grad():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    return network


def slow_prompt(module: PromptGeneration, features: Tensor) -> Tensor:
    """Equation by equation, number by number, before the last convolution."""
    batch, channels, height, width = features.shape
    length, depth, side, _ = module.components.shape
    answer = torch.zeros(batch, depth, height, width, dtype=torch.float64)
    for i in range(batch):
        mean = [float(features[i, c].sum()) / (height * width) for c in range(channels)]
        scores = [
            float(module.choose.bias[n])
            + sum(float(module.choose.weight[n, c]) * mean[c] for c in range(channels))
            for n in range(length)
        ]
        total = sum(math.exp(score) for score in scores)
        for n in range(length):
            share = math.exp(scores[n]) / total
            for y in range(height):
                for x in range(width):
                    for d in range(depth):
                        value = between(module.components[n, d], y, x, height, width, side)
                        answer[i, d, y, x] += share * value
    return answer


def between(plane: Tensor, y: int, x: int, height: int, width: int, side: int) -> float:
    """Bilinear value of a component at the middle of a pixel of the features."""
    value = 0.0
    corners = []
    for place, size in ((y, height), (x, width)):
        at = max((place + 0.5) * side / size - 0.5, 0.0)
        low = min(int(at), side - 1)
        high = min(low + 1, side - 1)
        corners.append(((low, 1 - (at - low)), (high, at - low)))
    for row, row_weight in corners[0]:
        for column, column_weight in corners[1]:
            value += row_weight * column_weight * float(plane[row, column])
    return value


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (9, 6), (2, 1)])
@torch.no_grad()
def test_prompt_equals_the_slow_form(size: tuple[int, int]) -> None:
    module = PromptGeneration(6, length=3, channels=2, size=4).double()
    for seed, parameter in enumerate(module.parameters()):
        parameter.copy_(noise(*parameter.shape, seed=seed))
    features = noise(2, 6, *size, seed=9)
    expected = nn.functional.conv2d(slow_prompt(module, features), module.smooth.weight, padding=1)
    torch.testing.assert_close(module(features), expected, rtol=1e-10, atol=1e-10)


def test_prompt_weights_sum_to_one_and_follow_the_features() -> None:
    module = PromptGeneration(6, length=5, channels=2, size=4).double()
    features = noise(7, 6, 8, 16)
    weights = module.weights(features)
    assert weights.shape == (7, 5)
    assert bool((weights > 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(7, dtype=torch.float64))
    assert float((weights[0] - weights[1]).detach().abs().max()) > 1e-6
    # A mean over places: where something lies does not matter, what there is does.
    turned = features.flip(3).transpose(2, 3)
    torch.testing.assert_close(module.weights(turned), weights)


def test_block_without_a_say_returns_its_input() -> None:
    block = PromptBlock(8, length=2, channels=4, size=4, heads=4, expansion=2.0)
    features = noise(2, 8, 6, 6).float()
    assert torch.equal(block(features), features)


def test_prompts_of_no_effect_leave_the_published_network() -> None:
    assert isinstance(CONFIG, RestormerConfig)
    plain = seeded(CONFIG.model_copy(update={"prompts": None}))
    prompted = seeded(CONFIG, seed=5)
    found = prompted.load_state_dict(plain.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert {name.split(".")[1] for name in found.missing_keys} == set(BLOCKS)
    x = noise(2, 3, 16, 24).float()
    with torch.inference_mode():
        torch.testing.assert_close(prompted(x).restored, plain(x).restored, rtol=0, atol=0)
        nn.init.normal_(prompted.decoder.get_submodule("prompt2").reduce.weight)
        assert not torch.allclose(prompted(x).restored, plain(x).restored, atol=1e-3)


def test_without_prompts_the_state_dict_is_the_published_one() -> None:
    names = empty_model(VARIANTS["tiny-restormer"]).state_dict()
    assert not [name for name in names if "prompt" in name]


# Prompts are at home at 16 pixels here: smaller, equal, not square, and many times as large.
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (8, 40), (72, 24), (136, 128)])
def test_any_multiple_of_eight_is_restored(model: BaryIR, size: tuple[int, int]) -> None:
    x = noise(2, 3, *size).float()
    with torch.inference_mode():
        restored, z, b, r = model(x)
    assert restored.shape == x.shape
    assert z.shape == b.shape == r.shape == (2, 64, size[0] // 8, size[1] // 8)
    assert bool(torch.isfinite(restored).all())


def test_each_image_of_a_batch_has_its_own_prompt(model: BaryIR) -> None:
    x = noise(3, 3, 16, 32).float()
    with torch.inference_mode():
        together = model(x).restored
        apart = torch.cat([model(image[None]).restored for image in x])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_decoding_without_an_embedding_reads_zeros_in_its_place(model: BaryIR) -> None:
    x = noise(1, 3, 16, 16).float()
    with torch.inference_mode():
        latents = model.encode(x)
        whole = model.decode(x, latents)
        torch.testing.assert_close(whole, model(x).restored, rtol=0, atol=0)
        for left_out in ("barycenter", "residual"):
            without = model.decode(x, latents, **{f"use_{left_out}": False})
            zeroed = latents._replace(**{left_out: torch.zeros_like(latents.source)})
            torch.testing.assert_close(without, model.decode(x, zeroed), rtol=0, atol=0)
            assert not torch.allclose(without, whole)


def test_gradient_reaches_every_parameter(model: BaryIR) -> None:
    x = noise(2, 3, 32, 32).float()
    restored, z, b, _ = model(x)
    (restored.square().mean() + (z - b).square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().max()) > 0, name


def test_every_parameter_moves_though_reduce_starts_at_zero() -> None:
    assert isinstance(CONFIG, RestormerConfig)
    network = seeded(CONFIG).train()
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0)
    for _ in range(2):  # the first step moves `reduce`, the second what stands before it
        optimizer.zero_grad()
        network(noise(1, 3, 32, 32).float()).restored.square().mean().backward()
        optimizer.step()
    still = [n for n, p in network.named_parameters() if torch.equal(p, before[n])]
    assert still == []


def test_latents_stay_float32_under_autocast(model: BaryIR) -> None:
    x = noise(1, 3, 16, 24).float()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        answer = model(x)
    assert {t.dtype for t in answer} == {torch.float32}


def test_weights_file_carries_the_prompts(model: BaryIR, tmp_path: Path) -> None:
    save_weights(model, tmp_path / "model.safetensors")
    again = load_weights(tmp_path / "model.safetensors")
    assert again.config == CONFIG
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    x = noise(1, 3, 16, 16).float()
    with torch.inference_mode():
        torch.testing.assert_close(again(x).restored, model(x).restored, rtol=1e-4, atol=1e-5)


def test_variant_has_the_stated_number_of_parameters() -> None:
    parameters = {
        name: sum(p.numel() for p in empty_model(VARIANTS[name]).parameters())
        for name in ("published", "promptir")
    }
    assert parameters == {"published": 53_549_774, "promptir": 61_959_155}


def test_configuration_is_read_from_plain_values() -> None:
    config = parse_config({"backbone": "restormer", "prompts": {}})
    assert config == VARIANTS["promptir"]
    with pytest.raises(InputError, match=r"prompts\.length"):
        parse_config({"backbone": "restormer", "prompts": {"length": 0}})
    assert parse_config({"backbone": "restormer"}) == VARIANTS["published"]


def test_channels_that_do_not_divide_into_heads_are_refused() -> None:
    prompts = PromptConfig(channels=(6, 8, 8))
    with pytest.raises(InputError, match=r"38 channels do not divide into 4 heads.*prompts"):
        BaryIR(RestormerConfig(width=8, prompts=prompts))
