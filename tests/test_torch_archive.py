"""Archives of torch.save are read within their own numbers, and no further."""

from __future__ import annotations

import contextlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_baryir.errors import WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.weights.importer import import_published_weights
from napari_baryir.weights.inert_pickle import read_inert
from napari_baryir.weights.torch_archive import open_archive
from published_checkpoints import (
    Call,
    Persistent,
    assert_refused,
    pickle_of,
    published_state_dict,
    write_archive,
)


def tensor(
    offset: object = 0,
    shape: object = (2, 2),
    stride: object = (2, 1),
    key: object = "0",
    count: object = 4,
    kind: object = torch.FloatStorage,
) -> Call:
    """Pickle as a tensor, by default the whole of a block of four numbers."""
    storage = Persistent("storage", kind, key, "cpu", count)
    return Call(
        torch._utils._rebuild_tensor_v2, storage, offset, shape, stride, False, OrderedDict()
    )


def read_single_tensor(path: Path, pickled: Call) -> torch.Tensor:
    write_archive(path, pickle_of(pickled), {"0": np.arange(4, dtype="<f4").tobytes()})
    with open_archive(path) as archive:
        return archive.read_tensor(read_inert(archive.read_pickle()))


@pytest.mark.parametrize(
    ("pickled", "values"),
    [
        (tensor(), [[0, 1], [2, 3]]),
        (tensor(stride=(1, 2)), [[0, 2], [1, 3]]),
        (tensor(offset=1, shape=(3,), stride=(1,)), [1, 2, 3]),
        (tensor(offset=3, shape=(), stride=()), 3),
        (tensor(shape=(0, 5), stride=(5, 1)), []),
    ],
)
def test_tensor_within_its_numbers_is_read(pickled: Call, values: object, tmp_path: Path) -> None:
    assert read_single_tensor(tmp_path / "good.pth", pickled).tolist() == values


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (tensor(offset=1), "beyond its storage"),
        (tensor(offset=-1), "not a whole number"),
        (tensor(offset="0"), "not a whole number"),
        (tensor(offset=2**70), "not a whole number"),
        (tensor(shape=(2, 3)), "beyond its storage"),
        (tensor(shape=(2**40, 2**40), stride=(0, 0)), "beyond its storage"),
        (tensor(shape=(1000,), stride=(0,)), "beyond its storage"),
        (tensor(shape=(2, -2)), "not a whole number"),
        (tensor(shape=(1,) * 10_000, stride=(1,) * 10_000), "not a short tuple"),
        (tensor(shape=[2, 2]), "not a short tuple"),
        (tensor(stride=(2,)), "argument 2 is shorter"),
        (tensor(stride=(-2, -1), offset=3), "not a whole number"),
        (tensor(stride=(2**45, 1)), "beyond its storage"),
        (tensor(key="../0"), "key is not a number"),
        (tensor(key="1"), "data/1 is missing"),
        (tensor(key=0), "key is not a number"),
        (tensor(key="\u0660"), "key is not a number"),
        (tensor(count=5), "16 bytes instead of 20"),
        (tensor(count=4, kind=torch.DoubleStorage), "16 bytes instead of 32"),
        (tensor(count=4, kind=torch.HalfStorage), "16 bytes; at most 8"),
        (tensor(count=4, kind=torch.IntStorage), "IntStorage"),
        (tensor(count=3), "beyond its storage"),
        (tensor(count=-4), "not a number of elements"),
        (tensor(count=True), "not a number of elements"),
        (tensor(count=2**60), "16 bytes instead of"),
        (tensor(kind="FloatStorage"), "other than a storage"),
        (tensor(kind=OrderedDict), "other than a storage"),
    ],
)
def test_tensor_outside_its_numbers_is_refused(pickled: Call, message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=message):
        read_single_tensor(tmp_path / "bad.pth", pickled)


def rename_entries(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = [change(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            if entry is not None:
                archive.writestr(*entry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, d: None if n.endswith("/data/0") else (n, d), "data/0 is missing"),
        (lambda n, d: (n, d[:-4] if n.endswith("/data/0") else d), "bytes instead of"),
        (lambda n, d: (n, d + d if n.endswith("/data/0") else d), "at most"),
        (lambda n, d: None if n.endswith("data.pkl") else (n, d), "0 entries named data.pkl"),
        (lambda n, d: (n, b"big" if n.endswith("byteorder") else d), "little-endian"),
    ],
)
def test_archive_that_lacks_what_it_names_is_refused(
    checkpoint: Path,
    out: Path,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
    message: str,
) -> None:
    rename_entries(checkpoint, change)
    assert_refused(checkpoint, out, message, WeightsError)


def test_compressed_archive_is_refused_before_it_unfolds(tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**8))
    assert_refused(tmp_path / "bomb.pth", out, "compressed", WeightsError)


def test_one_block_under_many_names_does_not_multiply(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = published_state_dict(tiny_model)
    block = torch.zeros(max(t.numel() for t in tensors.values()))
    shared = {k: block[: v.numel()].view(v.shape) for k, v in tensors.items()}
    torch.save(shared, tmp_path / "shared.pth")
    assert_refused(tmp_path / "shared.pth", out, "more numbers than the file", WeightsError)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_anywhere_is_never_a_traceback(
    data: st.DataObject, checkpoint: Path, tmp_path: Path, out: Path
) -> None:
    content = bytearray(checkpoint.read_bytes())
    # Most of the file is numbers; the pickle and the tables lie at its ends.
    ends = st.one_of(st.integers(0, 40_000), st.integers(-12_000, -1))
    for place in data.draw(st.lists(ends, min_size=1, max_size=4)):
        content[place % len(content)] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    (tmp_path / "damaged.pth").write_bytes(content[:kept])
    with contextlib.suppress(WeightsError):
        import_published_weights(tmp_path / "damaged.pth", out)
