"""Teach the filters against blur to undo it by themselves, before the network around is trained.

Within the whole network the bank learns slowly: what it gains on blur is small beside what the
other parts gain on everything, and each step costs as much as they do. Alone it is a small network
that reads the spectrum, and learns in minutes what it needs: to undo blur, and to leave alone what
is not blurred.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from napari_baryir.errors import DataError
from napari_baryir.network.config import GatedConfig
from napari_baryir.network.gated import DeblurringBank
from napari_baryir.network.spectrum import SpectrumReader, log_spectrum
from napari_baryir.training.data.made_pairs import PairDataset
from napari_baryir.training.data.scene_pairs import ScenePairs
from napari_baryir.training.processes import WHOLE
from napari_baryir.training.recipe import Recipe
from napari_baryir.training.state import TrainingState

logger = logging.getLogger(__name__)

BLUR = "blur"
BLURRED = 8
"""Samples of a batch that are blurred; of every other domain there is one."""
LOOKED_AT = 12
"""Batches whose spectra say what is usual."""
RATE, WARM_UP, FILTERS_SHARE = 2e-3, 30, 0.3
"""Learning rate, the steps until it is reached, and its part for the filters, which are good."""
OTHER_SEED = 1000
"""Added to the recipe's, lest the bank and the network around it see the same patches."""
LENIENT = 0.7
"""Part of the steps over which what is not blurred comes to count as much as what is."""
FLOOR = 2e-4
"""As in `fidelity_loss`."""


def start_bank(
    state: TrainingState,
    recipe: Recipe,
    dataset: Dataset[Any],
    device: torch.device,
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
    assert isinstance(bank, DeblurringBank)
    assert isinstance(reader, SpectrumReader)
    alone = replace(
        dataset,
        composition=bank_composition(list(dataset.composition)),
        seed=recipe.seed + OTHER_SEED,
        in_turn=0,
        side_by_side=0,
        share=WHOLE,
    )
    teach_bank(bank, alone, config.context, recipe.bank_steps, device)
    usual = {"mean": bank.spectrum.mean, "spread": bank.spectrum.spread}
    reader.load_state_dict({**reader.state_dict(), **usual})
    state.averaged.load_state_dict(network.state_dict())


def bank_composition(domains: list[str]) -> dict[str, int]:
    """How many samples of each domain a batch has."""
    return {domain: BLURRED if domain == BLUR else 1 for domain in domains}


def teach_bank(
    bank: DeblurringBank, dataset: PairDataset, half_width: int, steps: int, device: torch.device
) -> float:
    """Train the filters of a bank, and what of it reads the spectrum.

    Parameters
    ----------
    bank
        Of a network on `device`.
    dataset
        Batches with blurred samples, as `bank_composition`.
    half_width
        Of `log_spectrum`, as the network has it.
    steps
        How many batches.
    device
        Where to train.

    Returns
    -------
    float
        What blurred samples gained over the last hundred steps, in dB.
    """
    with torch.no_grad():
        seen = [dataset[step].degraded.to(device) for step in range(LOOKED_AT)]
        bank.spectrum.standardise(torch.cat([log_spectrum(x, half_width) for x in seen]))
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
        blurred = (batch.places[:, 0, 0] == blurred_source).to(device)
        change = bank(x, log_spectrum(x, half_width))
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
            logger.info("bank: step %d of %d, %.2f dB", step + 1, steps, _last(gains))
    return _last(gains)


def _last(gains: list[float]) -> float:
    return math.fsum(gains[-100:]) / max(len(gains[-100:]), 1)
