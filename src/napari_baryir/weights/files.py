"""Write and read weights files: safetensors with configuration, domains and provenance."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from napari_baryir.atomic import written_aside
from napari_baryir.errors import BaryIRError, WeightsError
from napari_baryir.network import BaryIR, BaryIRConfig, parse_config
from napari_baryir.network.layers import on_device
from napari_baryir.weights.header import (
    FORMAT,
    HEADER_KEY,
    damaged,
    parse_header,
    refuse_auto,
    require_file,
    weights_hash,
)

MAX_NAMES_LISTED = 40
"""A message lists this many tensors by name before it counts the rest."""

ESTIMATES = ("prototypes", "subspace")
"""Tensors that only the degradation estimates read, in files that have them."""

_FLOAT_TYPES = {"F16", "BF16", "F32", "F64"}


def save_weights(
    model: BaryIR, path: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a network to one safetensors file, whole or not at all.

    Parameters
    ----------
    model
        Its config, domains, prototypes, calibration and provenance travel with the tensors.
    path
        File to write; replaced if it is there. The folder is made when missing.
    dtype
        Precision of the tensors in the file; float16 halves its size. Prototypes and subspace stay
        float32.

    Raises
    ------
    InputError
        If the model would be named "auto".
    WeightsError
        If a value is not finite (in `dtype`), prototypes do not fit the domains, or calibration or
        provenance is not plain JSON.
    """
    refuse_auto(path)
    if model.prototypes is not None:
        _check_prototypes(model.prototypes.shape, model.domains, Path(path).name)
    tensors = {}
    for name, tensor in model.state_dict().items():
        kept = torch.float32 if name in ESTIMATES else dtype
        tensors[name] = tensor.detach().to("cpu", kept).contiguous()
    _refuse_non_finite(tensors, f"cannot save {Path(path).name} in {dtype}")
    header = {
        "format": FORMAT,
        "config": model.config.model_dump(mode="json"),
        "domains": list(model.domains),
        "calibration": model.calibration,
        "provenance": model.provenance,
    }
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"calibration and provenance must be plain JSON values to be saved: {error}"
        ) from None
    with written_aside(Path(path)) as aside:
        # save_file would make a file that only its owner may read.
        aside.write_bytes(save(tensors, metadata={HEADER_KEY: text}))


def load_weights(path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> BaryIR:
    """Read a network from a file that `save_weights` wrote.

    Parameters
    ----------
    path
        A safetensors file. 16-bit tensors are widened to float32.
    device
        Where the network is put.

    Returns
    -------
    BaryIR
        In evaluation mode, channels-last, float32.

    Raises
    ------
    ModelUnavailableError
        If there is no such file.
    WeightsError
        If the file is damaged, is not ours, or a tensor is missing, unknown, of the wrong shape
        or not finite; the message names them.
    """
    path = Path(path)
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            model = _read(file, path.name)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from None
    model.weights_hash = weights_hash(path)
    return on_device(model, device).eval()


def check_tensors(
    found: Mapping[str, Sequence[int]], expected: Mapping[str, Sequence[int]], *, where: str
) -> None:
    """Compare two mappings of a tensor's name to its shape; `where` names the file.

    Raises `WeightsError` that names every tensor that is missing, unexpected or of the wrong shape.
    """
    problems = [f"{name}: missing" for name in expected if name not in found]
    problems += [f"{name}: unexpected" for name in found if name not in expected]
    problems += [
        f"{name}: shape {tuple(found[name])} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    if problems:
        raise WeightsError(
            f"{where} does not fit the network it describes: {_listed(problems)}. "
            "Use the file that belongs to this configuration; one that an earlier version wrote "
            "has to be trained anew, by `napari-baryir train` or `finetune`"
        )


def empty_model(config: BaryIRConfig, *, domains: tuple[str, ...] = ()) -> BaryIR:
    """Build a network without memory or random numbers (on torch's meta device).

    Raises `WeightsError` if it cannot be, for instance with sizes beyond 64 bits.
    """
    try:
        with torch.device("meta"):
            return BaryIR(config, domains=domains)
    except (BaryIRError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"the file asks for a network that cannot be: {reason}") from None


def fill_model(model: BaryIR, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Put tensors whose names and shapes were checked into a network made by `empty_model`.

    Raises `WeightsError` if a tensor has values that are not finite.
    """
    _refuse_non_finite(tensors, where)
    model.load_state_dict(dict(tensors), strict=True, assign=True)
    assert not any(t.is_meta for t in (*model.parameters(), *model.buffers()))


def _read(file: Any, where: str) -> BaryIR:
    """Check an open safetensors file and make the network that it holds."""
    header = parse_header(file.metadata(), where)
    try:
        config = parse_config(header.config)
    except BaryIRError as error:
        raise WeightsError(f"the header of {where} cannot be read: {error}") from None
    model = empty_model(config, domains=header.domains)
    model.calibration, model.provenance = dict(header.calibration), dict(header.provenance)
    names = file.keys()  # of a file, which is no mapping
    slices = {name: file.get_slice(name) for name in names}
    odd = [f"{n}: {s.get_dtype()}" for n, s in slices.items() if s.get_dtype() not in _FLOAT_TYPES]
    if odd:
        raise WeightsError(f"{where} has tensors that are not floating point: {_listed(odd)}")
    found = {name: tuple(part.get_shape()) for name, part in slices.items()}
    prototypes, subspace = (found.pop(name, None) for name in ESTIMATES)
    if prototypes is not None:
        _check_prototypes(prototypes, header.domains, where)
    if subspace is not None and (len(subspace) != 2 or 0 in subspace):
        raise WeightsError(f"{where}: subspace has shape {subspace}, expected rows of directions")
    check_tensors(found, shapes(model), where=where)
    # A copy: the network must not hang on to the memory-mapped file.
    tensors = {name: file.get_tensor(name).to(torch.float32, copy=True) for name in slices}
    for name in ESTIMATES:
        setattr(model, name, tensors.get(name))
    fill_model(model, tensors, where=where)
    return model


def _check_prototypes(shape: Sequence[int], domains: Sequence[str], where: str) -> None:
    if len(shape) != 2 or shape[0] != len(domains):
        raise WeightsError(
            f"{where}: prototypes have shape {tuple(shape)}, expected one row for each of the "
            f"{len(domains)} domains"
        )


def shapes(model: BaryIR) -> dict[str, tuple[int, ...]]:
    """Map the name of every tensor of a network to its shape."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _refuse_non_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise WeightsError(
            f"{where}: values that are not finite (NaN or infinite) in {_listed(bad)}"
        )


def _listed(problems: Sequence[str]) -> str:
    # Names come from the file: no control characters and no endless ones on the terminal.
    shown = [p if p.isprintable() else ascii(p) for p in problems[:MAX_NAMES_LISTED]]
    rest = len(problems) - len(shown)
    return "; ".join(p[:300] for p in shown) + (f"; and {rest} more" if rest else "")
