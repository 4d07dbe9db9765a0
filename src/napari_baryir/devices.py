"""Choose the device, the precision and the largest tile that fits the memory."""

from __future__ import annotations

import math
from typing import Any, Literal, cast, get_args

import psutil
import torch

from napari_baryir.errors import DeviceError, InputError
from napari_baryir.forks import prepare_for_forks

prepare_for_forks()

Precision = Literal["float32", "bfloat16", "float16"]

SMALLEST_TILE = 64
"""Pixels. Running out of memory above this halves the tile; at this, it is an error."""

PREFERRED_TILE = {"cpu": 512, "cuda": 1024, "mps": 512}
"""Pixels, by kind of device. Larger tiles gain little speed and cost memory."""

WHOLE_PLANE = 1.25
"""A plane of up to this many preferred tiles a side is not cut at all."""

MEMORY_SHARE = 0.5
"""The part of the free memory that tiles may take; the rest is for the image and other programs."""

_ALLOCATION_FAILURES = ("DefaultCPUAllocator: not enough memory", "MPS backend out of memory")
"""Texts of the plain RuntimeErrors that torch raises where it has no class for lack of memory."""


def choose_device(device: str | torch.device) -> torch.device:
    """Turn "auto" or a device's name into a device that this computer has.

    Raises `DeviceError` if the device is unknown or absent.
    """
    if str(device) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        raise DeviceError(
            f"device {device!r} is unknown; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"
        ) from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        found = f"{count} CUDA device{'s' * (count != 1)}" if count else "no CUDA device"
        raise DeviceError(f"device {device!r}: torch sees {found} here; use 'auto' or 'cpu'")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"device {device!r} is not available here; use 'auto' or 'cpu'")
    if chosen.type not in PREFERRED_TILE:
        raise DeviceError(f"device {device!r} is not supported; use 'cpu', 'cuda' or 'mps'")
    return chosen


def choose_precision(precision: object, device: torch.device) -> Precision:
    """Turn "auto" into bfloat16 on devices that are faster in it, and float32 elsewhere.

    These are CUDA devices that have it, and CPUs with AVX-512 BF16. On one core of such a CPU both
    shipped models restore 512x512 pixels 1.5 times as fast, at 57 dB or more from float32.

    Raises `DeviceError` if the device cannot compute in the precision asked for, and `InputError`
    if there is no such precision.
    """
    known = ("auto", *get_args(Precision))
    if not isinstance(precision, str) or precision not in known:
        names = ", ".join(known)
        raise InputError(f"precision {precision!r} is unknown; use one of {names}")
    bfloat16 = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported())
    if precision == "auto":
        # Torch has no public name for it. Other CPUs compute in bfloat16 too, but slower.
        fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        return "bfloat16" if bfloat16 and fast else "float32"
    if (precision == "bfloat16" and not bfloat16) or (
        precision == "float16" and device.type == "cpu"
    ):
        raise DeviceError(f"{device} does not compute in {precision}; use precision='auto'")
    return cast("Precision", precision)


def free_memory(device: torch.device) -> int:
    """Return how many bytes can still be allocated on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # torch keeps memory that it no longer uses; that is free to us too.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return int(psutil.virtual_memory().available)


def bytes_per_pixel(model: Any) -> int:
    """Estimate the memory in bytes that a network takes at its widest, per pixel of a tile.

    Peaks measured with float32 on a CPU: gated 540 to 610 bytes at width 32 and 870 at 48;
    restormer 10,500 at width 48. Half precision takes about half.
    """
    config = getattr(model, "config", None)
    width = int(getattr(config, "width", 48))
    return 256 + (16 if getattr(config, "backbone", "") == "gated" else 220) * width


def choose_tile(height: int, width: int, model: Any, device: torch.device) -> int:
    """Choose the side of the tiles for a plane: the whole plane if it is small, else what fits.

    In pixels, a multiple of 64 unless it is the whole plane.
    """
    budget = MEMORY_SHARE * free_memory(device) / bytes_per_pixel(model)
    preferred = PREFERRED_TILE[device.type]
    if max(height, width) <= WHOLE_PLANE * preferred and height * width <= budget:
        return max(height, width, SMALLEST_TILE)
    side = int(math.sqrt(budget)) // SMALLEST_TILE * SMALLEST_TILE
    return min(max(side, SMALLEST_TILE), preferred)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, and nothing else."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return type(error) is RuntimeError and any(text in str(error) for text in _ALLOCATION_FAILURES)


def release_memory(device: torch.device) -> None:
    """Give unused memory back, so that a smaller tile finds it in one piece."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
