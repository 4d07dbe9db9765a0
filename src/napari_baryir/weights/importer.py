"""Import published checkpoints: the pickle is never run, and becomes one of our files."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from napari_baryir.errors import InputError, UnsafeWeightsError, WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.weights.checkpoint import InertModule, read_checkpoint
from napari_baryir.weights.files import check_tensors, empty_model, fill_model, save_weights, shapes
from napari_baryir.weights.header import (
    HEADER_KEY,
    damaged,
    refuse_auto,
    require_file,
    weights_hash,
)
from napari_baryir.weights.published import UNUSED, published_names, read_config

CONTAINERS = ("BaryIR", "state_dict", "params", "model")
"""Keys under which a checkpoint may hold the network, in the order in which they are tried."""
MAX_NESTING = 32
MAX_MODULES = 10_000


def import_published_weights(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Convert a published checkpoint to one of our weights files, running nothing from it.

    Parameters
    ----------
    path
        A ``.pth`` file of torch.save (a whole pickled network, or a state dict, bare or under
        ``BaryIR``, ``state_dict``, ``params`` or ``model``, with or without a ``module.`` prefix),
        or a safetensors file with the published names.
    out
        The file to write: another one than `path`, named ``*.safetensors``.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If `out` cannot be the name of a weights file, or is the file to read.
    ModelUnavailableError
        If there is no such file.
    UnsafeWeightsError
        If the file names anything outside an exact list; the message says what.
    WeightsError
        If it is damaged or its tensors are not those of a published network; the message names
        those that are missing, unexpected or of the wrong shape.
    """
    path = Path(path)
    require_file(path)
    _check_out(path, Path(out))
    try:
        model = _read_published(path)
    except UnsafeWeightsError as error:
        raise UnsafeWeightsError(f"{path.name} is refused: {error}") from None
    except WeightsError as error:
        raise WeightsError(f"{path.name} cannot be imported: {error}") from None
    model.provenance = {
        "title": "Imported published BaryIR weights",
        "imported_from": path.name,
        "imported_sha256": weights_hash(path),
        "method": "BaryIR, Tang et al.",
    }
    save_weights(model, out)
    return Path(out)


def _check_out(path: Path, out: Path) -> None:
    refuse_auto(out)
    if out.suffix.lower() != ".safetensors":
        raise InputError(
            f"{out} would not be found as weights; name it {out.with_suffix('.safetensors').name}"
        )
    if out.exists() and out.samefile(path):
        raise InputError(f"{out} is the file to import; give another name to write to")


def _read_published(path: Path) -> BaryIR:
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK\x03\x04"):
        tensors = find_tensors(read_checkpoint(path))
        check_numbers(tensors, path.stat().st_size)
        return _make_model({name: t.shape for name, t in tensors.items()}, tensors.__getitem__)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    raise WeightsError(
        "it is neither a zip archive of torch.save nor safetensors. The formats of torch before "
        "version 1.6 are not read; ask for the file saved again with a newer one"
    )


def _read_safetensors(path: Path) -> BaryIR:
    try:
        with safe_open(path, framework="pt") as file:
            if HEADER_KEY in (file.metadata() or {}):
                raise WeightsError("it is one of our own files already; use it as it is")
            names = file.keys()
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            return _make_model(found, file.get_tensor)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from None


def check_numbers(tensors: Mapping[str, Tensor], file_size: int) -> None:
    """Raise `WeightsError` for tensors that are no floats, or that repeat the file's numbers."""
    for tensor in tensors.values():
        if not tensor.is_floating_point():
            raise WeightsError(f"it has weights of {tensor.dtype}; floats were expected")
    if sum(math.prod(t.shape) * t.itemsize for t in tensors.values()) > file_size:
        raise WeightsError("its tensors claim more numbers than the file holds")


def find_tensors(checkpoint: Any) -> dict[str, Tensor]:
    """Find the network's tensors, by published name, in what a checkpoint holds.

    Raises `WeightsError` if there is no network where one was expected.
    """
    for _ in range(len(CONTAINERS) + 1):
        if isinstance(checkpoint, InertModule):
            return dict(_walk(checkpoint, "", MAX_NESTING, itertools.count()))
        if not isinstance(checkpoint, dict) or not checkpoint:
            break
        if any(isinstance(value, Tensor) for value in dict.values(checkpoint)):
            return _state_dict(checkpoint)
        inner = [key for key in CONTAINERS if key in checkpoint]
        if not inner:
            keys = ", ".join(ascii(k)[:40] for k in list(checkpoint)[:10] if isinstance(k, str))
            raise WeightsError(
                f"it holds {keys}, but none of {', '.join(CONTAINERS)} and no tensors, so there is "
                "no network in it"
            )
        checkpoint = checkpoint[inner[0]]
    raise WeightsError(f"it holds a {type(checkpoint).__name__} where a network was expected")


def _walk(
    module: InertModule, prefix: str, depth: int, visits: Iterator[int]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a module and its children, named as torch's state_dict names them."""
    # A file can make a module its own child, or share children so that walking takes for ever.
    if depth == 0 or next(visits) > MAX_MODULES:
        raise WeightsError("its modules are nested without end")
    for group in ("_parameters", "_buffers"):
        for name, tensor in _named(module, group):
            if isinstance(tensor, Tensor):
                yield f"{prefix}{name}", tensor
    for name, child in _named(module, "_modules"):
        if isinstance(child, InertModule):
            yield from _walk(child, f"{prefix}{name}.", depth - 1, visits)


def _named(module: InertModule, group: str) -> Iterator[tuple[str, Any]]:
    entries = module.state.get(group, {})
    if not isinstance(entries, dict):
        raise WeightsError(f"the {group} of a module is not a dict")
    for name, value in dict.items(entries):
        if not isinstance(name, str):
            raise WeightsError(f"a module has an entry of {group} without a name")
        yield name, value


def _state_dict(entries: dict[Any, Any]) -> dict[str, Tensor]:
    odd = [
        ascii(name)[:60] if isinstance(name, str) else f"an entry named by a {type(name).__name__}"
        for name, value in dict.items(entries)
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if odd:
        raise WeightsError(f"among its tensors is what is none: {', '.join(odd[:10])}")
    return dict(dict.items(entries))


def _make_model(found: Mapping[str, Sequence[int]], read: Callable[[str], Tensor]) -> BaryIR:
    """Make the network whose tensors have these published names and shapes.

    Names in the file may have the prefix ``module.``; `read` gives the tensor of such a name.
    """
    prefix = "module." if found and all(name.startswith("module.") for name in found) else ""
    plain = {name.removeprefix(prefix): shape for name, shape in found.items()}
    config = read_config(plain)
    model = empty_model(config)
    names, ours = published_names(config), shapes(model)
    used = {name: shape for name, shape in plain.items() if name not in UNUSED}
    check_tensors(used, {name: ours[our] for name, our in names.items()}, where="the file")
    tensors = {
        our: read(prefix + name).detach().to(torch.float32, copy=True)
        for name, our in names.items()
    }
    fill_model(model, tensors, where="the file")
    return model
