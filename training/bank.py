"""Start the bank of filters against blur, and teach it alone before the network around is trained.

It starts as the components of the filters that undo blur; from a random start it takes long to find
out that blur is undone by sharpening along the very line that it smoothed. The best linear filter
against a known blur is known (Wiener, 1949; here of finite size), and mixtures of a few principal
components of many such filters come close to each. Alone the bank is a small network that reads the
spectrum, and learns in minutes to undo blur and to leave alone what is not blurred; within the
whole network, what it gains is small beside what the other parts gain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from napari_baryir.errors import DataError
from napari_baryir.network import BaryIR
from napari_baryir.network.banks import DeblurringBank
from napari_baryir.network.config import GatedConfig
from napari_baryir.network.spectrum import LogSpectrum, SpectrumReader
from napari_baryir.training.data.made_pairs import PairDataset
from napari_baryir.training.data.scene_pairs import ScenePairs
from napari_baryir.training.degradations import random_blur
from napari_baryir.training.degradations.fields import Array
from napari_baryir.training.processes import WHOLE
from napari_baryir.training.recipe import Recipe

if TYPE_CHECKING:
    from napari_baryir.training.state import TrainingState

logger = logging.getLogger(__name__)

BLUR = "blur"
BLURRED = 8
"""Samples of a batch that are blurred; of every other domain there is one."""
LOOKED_AT = 12
"""Batches that give mean and scale of the spectra."""
RATE, WARM_UP, FILTERS_SHARE = 2e-3, 30, 0.3
"""Learning rate, the steps until it is reached, and its part for the filters, which are good."""
OTHER_SEED = 1000
"""Added to the recipe's, so that the bank and the network around it see different patches."""
LENIENT = 0.7
"""Part of the steps after which samples that are not blurred count as much as blurred ones."""
FLOOR = 2e-4
"""Floor of the mean square error, as in `fidelity_loss`."""

BLURS = 200
"""Random blurs whose filters are taken apart."""
SIDE = 128
"""Side of the grid of the spectra, pixels."""
NOISE = 1.2e-3
"""Standard deviation of the noise allowed for: that of rounding to 8 bits."""
MEAN, CONTRAST = 0.5, 0.25
"""Mean and standard deviation of the images allowed for."""

Kernel = Callable[[np.random.Generator], Array]


def seed_bank(model: BaryIR, profile: str) -> None:
    """Start the filters against blur, if the network has any, as `deblurring_filters`."""
    if isinstance(model.config, GatedConfig) and model.config.deblurring:
        filters = deblurring_filters(
            partial(random_blur, profile), model.config.deblurring, model.config.kernel_size
        )
        with torch.no_grad():
            model.get_parameter("decoder.deblurring.filters.weight").copy_(filters[:, None])


def deblurring_filters(random_kernel: Kernel, count: int, size: int) -> Tensor:
    """Compute the first `count` principal components of the filters that undo random blurs.

    `random_kernel` draws a blur: (h, w), odd sides, sums to 1. Returns (count, size, size),
    float32, of cross-correlation with the image as `torch.nn.Conv2d` does it. What they give is
    added to the image, so the image itself is taken off; a mixture weight of each has a standard
    deviation of about 1.
    """
    rng = np.random.default_rng(0)
    filters = np.stack([wiener_filter(random_kernel(rng), size).ravel() for _ in range(BLURS)])
    filters[:, filters.shape[1] // 2] -= 1
    _, lengths, components = np.linalg.svd(filters, full_matrices=False)
    found = lengths[:count, None] / np.sqrt(BLURS) * components[:count]
    bank = np.zeros((count, size * size))
    bank[: len(found)] = found
    return torch.from_numpy(bank.reshape(count, size, size)).float()


def wiener_filter(kernel: Array, size: int) -> NDArray[np.float64]:
    """Compute the filter, (size, size), that best undoes a blur in natural images (least squares).

    Natural images have a power that falls with the square of the frequency (Field, J. Opt. Soc. Am.
    A 1987). With that, the normal equations of the filter's values are solved.
    """
    frequencies = np.fft.fftfreq(SIDE)
    square = frequencies[:, None] ** 2 + frequencies[None, :] ** 2
    power = 1 / (square + 1 / SIDE**2)
    power *= CONTRAST**2 / power.mean()
    padded = np.zeros((SIDE, SIDE))
    height, width = kernel.shape
    padded[:height, :width] = kernel
    blur = np.fft.fft2(np.roll(padded, (-(height // 2), -(width // 2)), axis=(0, 1)))
    blurred = np.fft.ifft2(power * np.abs(blur) ** 2).real + MEAN**2
    blurred[0, 0] += NOISE**2
    crossed = np.fft.ifft2(power * blur).real + MEAN**2
    offsets = np.arange(size) - size // 2
    down, right = (a.ravel() for a in np.meshgrid(offsets, offsets, indexing="ij"))
    normal = blurred[(down[:, None] - down) % SIDE, (right[:, None] - right) % SIDE]
    wanted = crossed[down % SIDE, right % SIDE]
    return np.asarray(np.linalg.solve(normal, wanted).reshape(size, size))


def start_bank(
    state: TrainingState, recipe: Recipe, dataset: Dataset[Any], device: torch.device
) -> None:
    """Let the bank of a run's network learn alone, before the run's first step."""
    network, config = state.model, state.model.config
    if not (isinstance(config, GatedConfig) and config.deblurring):
        raise DataError("bank_steps: only a compact network with deblurring has filters to teach")
    if isinstance(dataset, ScenePairs):
        dataset = dataset.patches()
    if not (isinstance(dataset, PairDataset) and BLUR in dataset.composition):
        raise DataError('bank_steps: give "blur" samples in data.batch')
    bank, reader = network.decoder.deblurring, network.encoder.spectrum
    log_spectrum = network.encoder.log_spectrum
    assert isinstance(bank, DeblurringBank)
    assert isinstance(reader, SpectrumReader)
    assert isinstance(log_spectrum, LogSpectrum)
    alone = replace(
        dataset,
        composition=bank_composition(list(dataset.composition)),
        seed=recipe.seed + OTHER_SEED,
        in_turn=0,
        side_by_side=0,
        share=WHOLE,
    )
    teach_bank(bank, alone, log_spectrum, recipe.bank_steps, device)
    usual = {"mean": bank.spectrum.mean, "spread": bank.spectrum.spread}
    reader.load_state_dict({**reader.state_dict(), **usual})
    state.averaged.load_state_dict(network.state_dict())


def bank_composition(domains: list[str]) -> dict[str, int]:
    """Decide how many samples of each domain a batch has."""
    return {domain: BLURRED if domain == BLUR else 1 for domain in domains}


def teach_bank(
    bank: DeblurringBank,
    dataset: PairDataset,
    log_spectrum: LogSpectrum,
    steps: int,
    device: torch.device,
) -> None:
    """Train the filters of a bank, and its reader of the spectrum, which the network takes.

    `dataset` has batches with blurred samples, as `bank_composition`. Logs the gain of blurred
    samples every hundred steps, in dB.
    """
    with torch.no_grad():
        seen = [dataset[step].degraded.to(device) for step in range(LOOKED_AT)]
        bank.spectrum.standardise(torch.cat([log_spectrum(x) for x in seen]))
    blurred_source = list(dataset.composition).index(BLUR)
    filters = list(bank.filters.parameters())
    optimizer = torch.optim.Adam(
        [
            {"params": list(bank.spectrum.parameters()), "share": 1.0},
            {"params": filters, "share": FILTERS_SHARE},
        ],
        betas=(0.9, 0.98),
    )
    gains: list[float] = []
    bank.train()
    for step in range(steps):
        batch = dataset[step]
        x, clean = batch.degraded.to(device), batch.clean.to(device)
        blurred = (batch.labels[:, 0, 0] == blurred_source).to(device)
        change = bank(x, log_spectrum(x))
        wanted = torch.where(blurred[:, None, None, None], clean - x, 0.0)
        error = (change - wanted).square().mean(dim=(1, 2, 3))
        # At first blur alone counts: a bank that has learnt nothing yet harms what it must leave
        # alone, and would sooner fall silent than find out what blur looks like.
        weights = torch.where(blurred, 1.0, min(1.0, step / (LENIENT * steps)) ** 2)
        # What is wrong with an image anyway hides a harm that is smaller.
        anyway = torch.where(blurred, 0.0, (clean - x).square().mean(dim=(1, 2, 3)))
        loss = (weights * torch.log(error + anyway + FLOOR)).mean()
        rate = RATE * min(1, (step + 1) / WARM_UP) * min(1, 2 * (steps - step) / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(bank.parameters(), 1.0)
        optimizer.step()
        before = wanted[blurred].square().mean(dim=(1, 2, 3))
        ratio = torch.log10((before + 1e-8) / (error[blurred].detach() + 1e-8)).mean()
        gains.append(10 * float(ratio))
        if step % 100 == 99:
            logger.info("bank: step %d of %d, %.2f dB", step + 1, steps, np.mean(gains[-100:]))
