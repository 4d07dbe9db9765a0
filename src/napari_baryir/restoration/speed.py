"""How fast and in how much memory a model restores here, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from napari_baryir.devices import Precision, choose_device, choose_precision
from napari_baryir.errors import DeviceError
from napari_baryir.weights.registry import load_model

EXACT = 50.0
"""Agreement with float32 in dB from which a precision is as good: of 8 bits, one level is 48."""
SMALL = 64
"""Side of the picture that warms up, pixels."""
MEGA = 1e6


@dataclass(frozen=True)
class Speed:
    """Speed and memory of a model on a device in a precision."""

    model: str
    device: str
    precision: Precision
    megapixels_per_second: float
    """The fastest of the runs."""
    peak_memory: int
    """Bytes: of the whole process, PyTorch included; on CUDA, of the device."""
    agreement: float | None
    """PSNR in dB, beside the answer in float32 and a range of 1; None where it is the same."""
    auto: bool
    """Whether "auto" chooses this precision."""


def iter_speeds(
    models: list[tuple[str, bool]], device: str, side: int, runs: int
) -> Generator[Speed, None, None]:
    """Measure models, given by name or path and whether they restore RGB, in each precision.

    The picture is `side` pixels high and wide; the fastest of `runs` counts. Yields float32 first
    for each model. Raises `DeviceError` if the device is not there or out of memory, and
    `WeightsError` if a model is unknown or damaged.
    """
    chosen = choose_device(device)
    auto = choose_precision("auto", chosen)
    for model, rgb in models:
        exact: NDArray[np.float32] | None = None
        for precision in get_args(Precision):
            try:
                choose_precision(precision, chosen)
            except DeviceError:
                continue
            # A new process for each, since a process never forgets its peak.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                task = process.submit(_measure, model, rgb, str(chosen), precision, side, runs)
                seconds, memory, restored = task.result()
            exact = restored if exact is None else exact
            error = float(np.square(restored.astype(np.float64) - exact).mean())
            yield Speed(
                model, str(chosen), precision, side * side / seconds / MEGA, memory,
                -10 * float(np.log10(error)) if error else None, precision == auto,
            )  # fmt: skip


def best(speeds: list[Speed]) -> Speed:
    """Return the fastest of a model's speeds whose answer agrees with float32 to `EXACT`."""
    exact = [speed for speed in speeds if (speed.agreement or EXACT) >= EXACT]
    return max(exact, key=lambda speed: speed.megapixels_per_second)


def _measure(
    model: str, rgb: bool, device: str, precision: str, side: int, runs: int
) -> tuple[float, int, NDArray[np.float32]]:
    """Return the seconds of the fastest run, the peak memory in bytes, and the restored picture."""
    from napari_baryir.restoration.restoration import restore

    network = load_model(model)
    shape = (side, side, 3) if rgb else (side, side)
    noise = np.random.default_rng(0).normal(0, 0.08, shape)
    down, right = np.mgrid[:side, :side]
    clean = 0.3 + 0.4 * (np.sin(down / 7) + np.sin(right / 5) > 0.3)
    picture = np.clip((clean[..., None] if rgb else clean) + noise, 0, 1).astype(np.float32)

    def run(image: NDArray[np.float32]) -> Any:
        return restore(
            image, axes="YXS" if rgb else "YX", model=network, device=device, precision=precision,
            intensity=(0.0, 1.0),
        ).image  # fmt: skip

    run(picture[:SMALL, :SMALL])
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        restored = run(picture)
        seconds.append(time.perf_counter() - begin)
    return min(seconds), _peak_memory(device), restored


def _peak_memory(device: str) -> int:
    """Return the most bytes that this process held at once, on CUDA those of the device."""
    import torch

    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
