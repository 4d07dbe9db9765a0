"""Read from the local power spectrum along which line, and how widely, an image is blurred.

A blur multiplies the spectrum by its own, and leaves the valleys of it there for all to see; white
noise adds a plain. Convolutions would first have to learn to look for either.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_baryir.network.layers import CELL, start_at_zero, window_mean

SIDE = 32
"""Side of the windows whose spectra are taken, pixels; one around each cell."""
BINS = SIDE * (SIDE // 2 + 1)
FEATURES = BINS + 1
"""Channels of `LogSpectrum`."""
FLOOR = 1e-5
"""Added to the power: somewhat above the variance of rounding to 8 bits."""
LEAST_SPREAD = 0.02
"""Added to the spread of a feature over training images."""
MEAN_LOG, SPREAD_LOG = -8.0, 3.0
"""Mean and spread of the mean log power of photographs, roughly: bring it to about [-1, 1]."""


def mirrored(planes: Tensor, margin: int) -> Tensor:
    """Continue (B, C, H, W) by its reflection, or its edge where it is narrower than that."""
    reflects = all(margin < length for length in planes.shape[-2:])
    mode = "reflect" if reflects else "replicate"
    return F.pad(planes, (margin,) * 4, mode=mode)


class LogSpectrum(nn.Module):
    """The log power spectrum around each cell: shape without contrast, and contrast.

    (B, 3, H, W), about [0, 1], H and W multiples of 8, to (B, FEATURES, H/8, W/8): for each
    frequency how far the log power is above that of natural images (which falls with the square of
    the frequency), and last the mean over frequencies. The mean over colours is looked at. No
    gradient runs through it. The power is averaged over ``2 * half_width + 1`` cells each way.
    """

    taper: Tensor
    expected: Tensor

    def __init__(self, half_width: int) -> None:
        super().__init__()
        self.half_width = half_width
        # On the CPU even where a network without memory is built on the meta device. No file has
        # them, so that nothing would fill them later.
        hann = torch.hann_window(SIDE, device="cpu")
        taper = hann[:, None] * hann
        down = torch.fft.fftfreq(SIDE, device="cpu")
        right = torch.fft.rfftfreq(SIDE, device="cpu")
        expected = -torch.log(down[:, None] ** 2 + right**2 + 1 / SIDE**2).flatten()
        # Hann window whose square sums to 1, (SIDE, SIDE); natural log power, (BINS,), mean 0.
        self.register_buffer("taper", taper / taper.square().sum().sqrt(), persistent=False)
        self.register_buffer("expected", expected - expected.mean(), persistent=False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        grey = image.mean(dim=1, keepdim=True)
        grey = mirrored(grey.float() if grey.dtype.itemsize < 4 else grey, (SIDE - CELL) // 2)
        windows = grey[:, 0].unfold(1, SIDE, CELL).unfold(2, SIDE, CELL)  # (B, h, w, SIDE, SIDE)
        windows = windows - windows.mean(dim=(-2, -1), keepdim=True)
        power = torch.view_as_real(torch.fft.rfft2(windows * self.taper)).square().sum(dim=-1)
        power = window_mean(power.flatten(-2).movedim(-1, 1), self.half_width)
        log_power = power.add_(FLOOR).log_()
        mean = log_power.mean(dim=1, keepdim=True)
        shape = log_power.sub_(mean + self.expected[:, None, None]).mul_(0.5)
        return torch.cat((shape, (mean - MEAN_LOG) / SPREAD_LOG), dim=1)


class SpectrumReader(nn.Module):
    """A small network on each cell's `LogSpectrum`: (B, FEATURES, h, w) to (B, channels, h, w).

    Answers 0 at the start, so that it can be added to a network that is trained already.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        # Mean and scale of each feature over training images; `standardise` sets them.
        self.register_buffer("mean", torch.zeros(FEATURES, 1, 1))
        self.register_buffer("spread", torch.ones(FEATURES, 1, 1))
        self.first = nn.Conv2d(FEATURES, hidden, 1)
        self.second = nn.Conv2d(hidden, hidden, 1)
        self.last = nn.Conv2d(hidden, channels, 1)
        start_at_zero(self.last)

    def standardise(self, spectra: Tensor) -> None:
        """Bring each feature to mean 0 and spread 1 over spectra, (B, FEATURES, h, w)."""
        self.mean.copy_(spectra.mean(dim=(0, 2, 3))[:, None, None])
        self.spread.copy_(spectra.std(dim=(0, 2, 3))[:, None, None] + LEAST_SPREAD)

    def forward(self, spectrum: Tensor) -> Tensor:
        y = F.relu(self.first((spectrum - self.mean) / self.spread))
        answer: Tensor = self.last(F.relu(self.second(y)))
        return answer
