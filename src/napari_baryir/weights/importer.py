"""Import of published checkpoints: from a pickle that is never run to one of our files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from napari_baryir.errors import InputError, UnsafeWeightsError, WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.weights.files import (
    check_tensors,
    empty_model,
    fill_model,
    save_weights,
    shapes,
    weights_hash,
)
from napari_baryir.weights.header import HEADER_KEY, damaged, refuse_auto, require_file
from napari_baryir.weights.inert_pickle import read_inert
from napari_baryir.weights.inert_values import InertModule, TensorRef
from napari_baryir.weights.published import UNUSED, published_names, read_config
from napari_baryir.weights.torch_archive import open_archive

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
        with open_archive(path) as archive:
            tensors = find_tensors(read_inert(archive.read_pickle()))
            found = {name: tensor.shape for name, tensor in tensors.items()}
            return _make_model(found, lambda name: archive.read_tensor(tensors[name]))
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


def find_tensors(checkpoint: Any) -> dict[str, TensorRef]:
    """Find the network's tensors, by published name, in what a checkpoint holds.

    Raises
    ------
    WeightsError
        If there is no network where one was expected.
    """
    for _ in range(len(CONTAINERS) + 1):
        if isinstance(checkpoint, InertModule):
            return dict(_walk(checkpoint, "", MAX_NESTING, itertools.count()))
        if not isinstance(checkpoint, dict) or not checkpoint:
            break
        if any(isinstance(value, TensorRef) for value in checkpoint.values()):
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
) -> Iterator[tuple[str, TensorRef]]:
    """Yield the tensors of a module and its children, named as torch's state_dict names them."""
    # A file can make a module its own child, or share children so that walking takes for ever.
    if depth == 0 or next(visits) > MAX_MODULES:
        raise WeightsError("its modules are nested without end")
    for group in ("_parameters", "_buffers"):
        for name, tensor in _named(module, group):
            if isinstance(tensor, TensorRef):
                yield f"{prefix}{name}", tensor
    for name, child in _named(module, "_modules"):
        if isinstance(child, InertModule):
            yield from _walk(child, f"{prefix}{name}.", depth - 1, visits)


def _named(module: InertModule, group: str) -> Iterator[tuple[str, Any]]:
    entries = module.state.get(group, {})
    if not isinstance(entries, dict):
        raise WeightsError(f"the {group} of a {module.name} is not a dict")
    for name, value in entries.items():
        if not isinstance(name, str):
            raise WeightsError(f"a {module.name} has an entry of {group} without a name")
        yield name, value


def _state_dict(entries: Mapping[Any, Any]) -> dict[str, TensorRef]:
    odd = [
        ascii(name)[:60] if isinstance(name, str) else f"an entry named by a {type(name).__name__}"
        for name, value in entries.items()
        if not (isinstance(name, str) and isinstance(value, TensorRef))
    ]
    if odd:
        raise WeightsError(f"among its tensors is what is none: {', '.join(odd[:10])}")
    return dict(entries)


def _make_model(found: Mapping[str, Sequence[int]], read: Callable[[str], Tensor]) -> BaryIR:
    """Make the network whose tensors have these published names and shapes.

    Parameters
    ----------
    found
        Name in the file, with or without a ``module.`` prefix, to shape.
    read
        Gives the tensor of a name in the file.
    """
    prefix = "module." if found and all(name.startswith("module.") for name in found) else ""
    plain = {name.removeprefix(prefix): shape for name, shape in found.items()}
    config = read_config(plain)
    model = empty_model(config)
    names, ours = published_names(config), shapes(model)
    used = {name: shape for name, shape in plain.items() if name not in UNUSED}
    check_tensors(used, {name: ours[our] for name, our in names.items()}, source="the file")
    tensors = {our: read(prefix + name).to(torch.float32) for name, our in names.items()}
    fill_model(model, tensors, source="the file")
    return model
