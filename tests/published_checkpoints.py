"""Checkpoints in the published forms, made here from a tiny network."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from napari_baryir.network import BaryIR, RestormerConfig
from napari_baryir.weights.importer import import_published_weights
from napari_baryir.weights.published import UNUSED, published_names


def published_state_dict(model: BaryIR) -> dict[str, Tensor]:
    """Name a network's tensors as published, the six unused ones included."""
    assert isinstance(model.config, RestormerConfig)
    ours = model.state_dict()
    tensors = {theirs: ours[our].clone() for theirs, our in published_names(model.config).items()}
    return tensors | {name: torch.zeros(2, 2, 1, 1) for name in sorted(UNUSED)}


@contextmanager
def fake_source() -> Iterator[types.ModuleType]:
    """Let a module ``model_bary`` exist for as long as a checkpoint is being written."""
    module = types.ModuleType("model_bary")
    for name in ("BaryNet", "TransformerBlock", "Potentials"):
        setattr(module, name, type(name, (nn.Module,), {"__module__": "model_bary"}))
    sys.modules["model_bary"] = module
    try:
        yield module
    finally:
        del sys.modules["model_bary"]


def save_whole_module(model: BaryIR, path: Path) -> None:
    """Write a checkpoint that pickles whole modules, as published."""
    with fake_source() as source:
        network = source.BaryNet()
        for name, tensor in published_state_dict(model).items():
            *parents, leaf = name.split(".")
            node = network
            for parent in parents:
                if parent not in node._modules:
                    node.add_module(parent, source.TransformerBlock())
                node = node._modules[parent]
            node.register_parameter(leaf, nn.Parameter(tensor))
        potentials = source.Potentials()
        potentials.linear = nn.Linear(2, 2)
        torch.save({"epoch": 3, "BaryIR": network, "Pots": potentials}, path)


def write_archive(path: Path, data: bytes, storages: Mapping[str, bytes] | None = None) -> None:
    """Write a zip as torch.save does, around any pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        for key, numbers in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", numbers)


def replace_pickle(path: Path, data: bytes) -> None:
    """Put another pickle into an archive, and keep its blocks of numbers."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(name, data if name.endswith("/data.pkl") else content)


def pickle_of(value: object, protocol: int = 2) -> bytes:
    """Pickle a value in which `Persistent` stands for references to storages."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=protocol).dump(value)
    return buffer.getvalue()


class Persistent:
    """Stands for a reference to a storage in `pickle_of`."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return obj.parts if isinstance(obj, Persistent) else None


class Call:
    """Pickles as a call of a function with arguments, and optionally a state."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[object, ...]:
        return self.reduced


def assert_refused(path: Path, out: Path, message: str, kind: type[Exception]) -> None:
    """A file is not imported: the error names it, and nothing is written."""
    with pytest.raises(kind, match=message) as caught:
        import_published_weights(path, out)
    assert path.name in str(caught.value)
    assert not out.exists()
