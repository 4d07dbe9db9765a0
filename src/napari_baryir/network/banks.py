"""Banks of large learnt filters, mixed per place: a wide receptive field."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from napari_baryir.network.layers import start_at_zero
from napari_baryir.network.spectrum import SpectrumReader, mirrored

MIX_GAIN = 4.0
"""Gain of what the spectrum says of the mixture: weights of filters are of the order of 1, and an
optimiser at the rate of a network's other parts would take long to get there."""


class KernelBank(nn.Module):
    """Large learnt filters, mixed per place: a wide receptive field.

    Adds ``sum_k w_k(p) (f_k * x)(p)`` to each colour channel; the weights w come from H/8.
    """

    def __init__(self, channels: int, kernels: int, size: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, kernels, 1)
        self.filters = nn.Conv2d(1, kernels, size, bias=False)
        start_at_zero(self.mix)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        weights = F.interpolate(self.mix(features).float(), size=x.shape[2:], mode="bilinear")
        # Mirrored, as zeros around the image would be a sharp edge to the filters.
        planes = mirrored(x.flatten(0, 1).unsqueeze(1), self.filters.kernel_size[0] // 2)
        filtered = self.filters(planes).unflatten(0, x.shape[:2])
        mixed: Tensor = (filtered * weights.unsqueeze(1)).sum(dim=2)
        return mixed


class DeblurringBank(nn.Module):
    """Large filters that undo blur, mixed per place by what the spectrum says of it.

    Gives ``sum_k w_k(p) (f_k * g)(p)``, (B, 1, H, W), of the mean g over colours, to be added to
    each colour: blur strikes all of them, and their detail is much the same.
    """

    def __init__(self, kernels: int, size: int, hidden: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, kernels, size, bias=False)
        self.spectrum = SpectrumReader(hidden, kernels)

    def forward(self, x: Tensor, spectrum: Tensor) -> Tensor:
        mix = MIX_GAIN * self.spectrum(spectrum).float()
        weights = F.interpolate(mix, size=x.shape[2:], mode="bilinear")
        grey = mirrored(x.mean(dim=1, keepdim=True), self.filters.kernel_size[0] // 2)
        mixed: Tensor = (self.filters(grey).float() * weights).sum(dim=1, keepdim=True)
        return mixed
