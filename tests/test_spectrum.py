"""The local power spectrum tells blur from detail, whatever the contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_baryir.network import BaryIR
from napari_baryir.network.config import GatedConfig
from napari_baryir.network.spectrum import (
    BINS,
    FEATURES,
    SIDE,
    LogSpectrum,
    SpectrumReader,
    mirrored,
)
from napari_baryir.training.degradations.fields import convolve, line_kernel

SMALL = {"width": 8, "encoder_blocks": (1, 1, 1), "decoder_blocks": (1, 1, 1), "context": 2}


def log_spectrum(image: Tensor, half_width: int) -> Tensor:
    spectrum: Tensor = LogSpectrum(half_width)(image)
    return spectrum


def noise(*shape: int) -> Tensor:
    """White noise of standard deviation 0.1, (1, 3, H, W), the colours alike."""
    grey = np.random.default_rng(2).normal(0.5, 0.1, shape).astype(np.float32)
    return torch.from_numpy(grey).expand(1, 3, *shape)


def shape_at(spectrum: Tensor, down: int, right: int) -> float:
    """The mean over all cells at a frequency, in cycles per window."""
    return float(spectrum[0, down % SIDE * (SIDE // 2 + 1) + right].mean())


@pytest.mark.parametrize("size", [(8, 8), (8, 40), (24, 16), (64, 104)])
def test_there_is_a_spectrum_for_each_cell_of_any_size(size: tuple[int, int]) -> None:
    spectrum = log_spectrum(noise(*size), 2)
    assert spectrum.shape == (1, FEATURES, size[0] // 8, size[1] // 8)
    assert bool(torch.isfinite(spectrum).all())


def test_contrast_and_brightness_change_the_last_feature_only() -> None:
    image = noise(64, 64)
    strong, weak = log_spectrum(image, 2), log_spectrum(0.3 + 0.5 * image, 2)
    torch.testing.assert_close(strong[:, :BINS], weak[:, :BINS], rtol=0, atol=0.02)
    difference = strong[:, BINS] - weak[:, BINS]
    torch.testing.assert_close(
        difference, torch.full_like(difference, np.log(4) / 3), rtol=0.01, atol=0
    )


def test_a_flat_image_has_a_finite_spectrum() -> None:
    assert bool(torch.isfinite(log_spectrum(torch.full((1, 3, 32, 32), 0.5), 2)).all())


def test_motion_leaves_a_valley_across_its_line_and_none_along() -> None:
    # Motion over 8 pixels: its own spectrum is 0 at 4 cycles per 32 pixels along its line.
    sharp = noise(128, 128)
    blurred = convolve(sharp[0, 0].numpy(), line_kernel(7.0, 0.0, 0.1))
    spectra = [
        log_spectrum(image, 6)
        for image in (sharp, torch.from_numpy(blurred).expand(1, 3, -1, -1).contiguous())
    ]
    change = spectra[1] - spectra[0]
    assert shape_at(change, 0, 4) < shape_at(change, 4, 0) - 1.0
    assert shape_at(change, 0, 12) < shape_at(change, 12, 0) - 1.0


def test_cells_move_with_the_image() -> None:
    image = noise(128, 128)
    whole, part = log_spectrum(image, 1), log_spectrum(image[..., 8:, 16:], 1)
    torch.testing.assert_close(whole[..., 5:12, 6:12], part[..., 4:11, 4:10])


def test_half_precision_is_read_in_full() -> None:
    image = noise(64, 64)
    low = log_spectrum(image.bfloat16(), 2)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, log_spectrum(image.bfloat16().float(), 2))


def test_no_gradient_runs_through_the_spectrum() -> None:
    assert not log_spectrum(noise(32, 32).clone().requires_grad_(), 2).requires_grad


def test_a_reader_answers_zero_at_first_and_learns() -> None:
    torch.manual_seed(0)
    reader = SpectrumReader(16, 2)
    answer = reader(log_spectrum(noise(32, 32), 2))
    assert answer.shape == (1, 2, 4, 4)
    assert not bool(answer.any())
    answer.square().add(answer).sum().backward()
    assert reader.last.weight.grad is not None
    assert bool(reader.last.weight.grad.any())


def test_deblurring_without_the_spectrum_is_refused() -> None:
    with pytest.raises(ValueError, match="needs spectrum"):
        GatedConfig(deblurring=3)


def test_a_reader_sees_features_as_it_was_told_they_are_usual() -> None:
    reader, spectra = SpectrumReader(4, 2), log_spectrum(noise(64, 64), 2)
    reader.standardise(spectra)
    seen: list[Tensor] = []
    reader.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    reader(spectra)
    assert float(seen[0].mean(dim=(0, 2, 3)).abs().max()) < 1e-3
    assert float(seen[0].std()) < 1.0


def test_a_network_given_a_reader_answers_as_before() -> None:
    torch.manual_seed(0)
    without = BaryIR(GatedConfig(**SMALL, kernel_size=5), domains=("blur",)).eval()
    given = BaryIR(
        GatedConfig(**SMALL, kernel_size=5, spectrum=6, deblurring=3), domains=("blur",)
    ).eval()
    missing = given.load_state_dict(without.state_dict(), strict=False).missing_keys
    assert missing
    assert all(".spectrum." in n or n.startswith("decoder.deblurring.") for n in missing)
    image = noise(32, 48)
    with torch.no_grad():
        torch.testing.assert_close(given(image).restored, without(image).restored)


def test_deblurring_adds_the_same_to_each_colour() -> None:
    config = GatedConfig(**SMALL, kernel_size=5, spectrum=6, deblurring=3)
    model = BaryIR(config, domains=("blur",)).eval()
    torch.manual_seed(0)
    torch.nn.init.normal_(model.get_parameter("decoder.deblurring.spectrum.last.weight"))
    with torch.no_grad():
        change = model(noise(32, 48)).restored - noise(32, 48)
    assert float(change.abs().max()) > 1e-3
    torch.testing.assert_close(change, change[:, :1].expand_as(change))


@pytest.mark.parametrize("margin", [3, 9])
def test_margins_continue_the_picture(margin: int) -> None:
    picture = noise(8, 24)[:, :1]
    wider = mirrored(picture, margin)
    assert wider.shape == (1, 1, 8 + 2 * margin, 24 + 2 * margin)
    torch.testing.assert_close(wider[..., margin : margin + 8, margin : margin + 24], picture)
    assert float(wider.max()) <= float(picture.max())
