"""Where and in which precision to train."""

from __future__ import annotations

import torch

from napari_baryir.errors import DeviceError
from napari_baryir.training.processes import Launched, launched
from napari_baryir.training.recipe import DeviceSettings


def choose_device(recipe: DeviceSettings) -> tuple[torch.device, torch.dtype | None]:
    """Device of this process and dtype of autocast (None: float32 throughout)."""
    name = recipe.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    place = launched()
    if place.count > 1:
        name = _own_device(name, place)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name!r} cannot be used ({error}); try device=cpu") from None
    if recipe.precision == "float32":
        return device, None
    if recipe.precision == "bfloat16" or device.type == "cuda":
        return device, torch.bfloat16
    return device, torch.bfloat16 if computes_in_bfloat16() else None


def _own_device(name: str, place: Launched) -> str:
    """One GPU for each process of this computer, or the CPU for all."""
    if name not in ("cpu", "cuda"):
        raise DeviceError(
            f"device {name!r} cannot be shared by {place.count} processes; "
            "give device=cuda, for one GPU each, or device=cpu"
        )
    if name == "cpu":
        return name
    if torch.cuda.device_count() < place.local_count:
        raise DeviceError(
            f"{place.local_count} processes on a computer with {torch.cuda.device_count()} GPUs; "
            "start one for each GPU (torchrun --nproc-per-node), or give device=cpu"
        )
    return f"cuda:{place.local_number}"


def computes_in_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; emulated it would be slower than float32."""
    # Older torch lacks the list of capabilities, and builds for other processors lack mkldnn.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return (
        any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
        and torch.backends.mkldnn.is_available()
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
