"""The network that restores, in a form that can travel to another process."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from napari_baryir.errors import InputError, WeightsError
from napari_baryir.weights.registry import choose_model, load_model


@dataclass(frozen=True, eq=False)
class PortableModel:
    """A network and where it came from.

    Pickled by name and hash where it has a name, so that a graph of thousands of tasks stays small;
    a network that exists in memory only is pickled whole.
    """

    name: str
    """Name or path as given; for a network in memory, what its weights call themselves."""
    weights_hash: str | None
    """SHA-256 of the weights file; None for a network that did not come from one."""
    loadable: bool
    """Whether `name` is enough to load it again."""
    module: nn.Module | None
    """The network; None after travelling by name."""

    def load(self) -> nn.Module:
        """Return the network, loading it where it travelled by name.

        Raises `WeightsError` if other weights go by that name here.
        """
        if self.module is not None:
            return self.module
        module = load_model(self.name)
        if module.weights_hash != self.weights_hash:
            raise WeightsError(
                f"model '{self.name}' has other weights in this process (SHA-256 "
                f"{module.weights_hash}) than where the work was planned ({self.weights_hash}); "
                "install the same file on every computer"
            )
        return module

    def token(self) -> str:
        """Return the same text for the same weights, in every process; reads all of them."""
        if self.loadable and self.weights_hash is not None:
            return self.weights_hash
        return _state_hash(self.load())

    def __getstate__(self) -> dict[str, Any]:
        return dict((replace(self, module=None) if self.loadable else self).__dict__)


def check_model(model: Any) -> None:
    """Raise `InputError` unless `model` is a name, a path or a network."""
    if isinstance(model, str | os.PathLike) or (
        isinstance(model, nn.Module) and hasattr(model, "size_multiple")
    ):
        return
    raise InputError(
        f"model must be 'auto', a name, the path of a weights file or a BaryIR network, "
        f"not {type(model).__name__}"
    )


def find_model(model: Any, *, rgb: bool) -> PortableModel:
    """Load a network by name or path, or take the one given; `rgb` chooses for "auto"."""
    if isinstance(model, nn.Module):
        provenance = getattr(model, "provenance", {}) or {}
        name = str(provenance.get("name", type(model).__name__))
        known = getattr(model, "weights_hash", None)
        return PortableModel(name, known, loadable=False, module=model)
    name = choose_model(rgb) if model == "auto" else os.fspath(model)
    module = load_model(name)
    return PortableModel(name, module.weights_hash, loadable=True, module=module)


def _state_hash(model: nn.Module) -> str:
    """Return the SHA-256 over the class, the names and the values of a network."""
    digest = hashlib.sha256(f"{type(model).__qualname__} {getattr(model, 'config', '')}".encode())
    for name, tensor in model.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
