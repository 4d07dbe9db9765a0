"""Checkpoints are read within their own numbers, and nothing that they name is run."""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_baryir.errors import UnsafeWeightsError, WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.weights.checkpoint import read_checkpoint
from napari_baryir.weights.importer import check_numbers, import_published_weights
from published_checkpoints import (
    Call,
    Persistent,
    assert_refused,
    pickle_of,
    published_state_dict,
    replace_pickle,
    write_archive,
)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (os.system, f"{os.name}.system"),
        (subprocess.Popen, r"commands\.Popen"),  # its name in Python 2, whose protocol torch uses
        (builtins.exec, "__builtin__.exec"),
        (builtins.getattr, "__builtin__.getattr"),
        (torch.load, "torch.serialization.load"),
        (torch.nn.Module, "torch.nn.modules.module.Module"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_file_that_names_what_is_not_listed_is_refused_unexecuted(
    tmp_path: Path, out: Path, function: object, named: str, nested: bool
) -> None:
    canary = tmp_path / "canary"
    attack: object = Call(function, f"touch {canary}")
    if nested:
        attack = {"epoch": 1, "state_dict": OrderedDict({"a": [1, (attack,)]})}
    write_archive(tmp_path / "hostile.pth", pickle_of(attack))
    assert_refused(tmp_path / "hostile.pth", out, named, UnsafeWeightsError)
    assert not canary.exists()


def hostile_pickles(canary: Path) -> dict[str, bytes]:
    """Make pickles by hand that Python's own writer would not make."""
    command = f"touch {canary}".encode()
    text = b"X" + len(command).to_bytes(4, "little") + command
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    linear = b"ctorch.nn.modules.linear\nLinear\n"
    return {
        "old protocol": b"cos\nsystem\n(S'" + command + b"'\ntR.",
        "INST": b"(S'" + command + b"'\nios\nsystem\n.",
        "INST of a listed class": b"(itorch.nn.modules.linear\nLinear\n.",
        "OBJ": b"(" + linear + text + b"o.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + text + b"\x85R.",
        "dotted STACK_GLOBAL": b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93" + text + b"\x85R.",
        "extension code": b"\x82\x01)R.",
        "class called": linear + b")R.",
        "class made with arguments": linear + text + b"\x85\x81.",
        "function made": rebuild + b")\x81.",
        "function given a state": rebuild + b"}X\x08\x00\x00\x00__code__NsNbR.",
        "function given slots": rebuild + b"N}X\x0c\x00\x00\x00__defaults__Ns\x86b.",
        "class given a state": linear + b"}X\x03\x00\x00\x00abcNsb.",
        "string called": text + b")R.",
        "result called": b"ccollections\nOrderedDict\n)R)R.",
        "OrderedDict of a call": b"ccollections\nOrderedDict\n" + text + b"\x85R.",
        "list given a state": b"](NN}tb.",
        "storage called": b"ctorch\nFloatStorage\n" + text + b"\x85R.",
        "text reference": b"Pabc\n.",
        "out-of-band buffer": b"\x80\x05\x97.",
    }


@pytest.mark.parametrize("case", sorted(hostile_pickles(Path("canary"))))
def test_trick_of_the_pickle_machine_is_refused_unexecuted(
    case: str, tmp_path: Path, out: Path
) -> None:
    canary = tmp_path / "canary"
    write_archive(tmp_path / "hostile.pth", hostile_pickles(canary)[case])
    assert_refused(tmp_path / "hostile.pth", out, "nothing of it was run|safely", WeightsError)
    assert not canary.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x02",
        b"}",
        b"t.",
        b"0.",
        b"h\x05.",
        b"NNs.",
        b"}]Ns.",
        b"(NNNu.",
        b"\x80\x04]\x93.",
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
        b"Nr\xff\xff\xff\xff.",
        b"\x8d" + (2**62).to_bytes(8, "little") + b"a.",
        b"})" + b"\x85" * 200_000 + b"Ns.",
        b"})" + b"\x85" * 200_000 + b"NsN.",
        b")" + b"\x85" * 200_000 + b".",
        b"]" * 200_000 + b"a" * 199_999 + b".",
        b"(" * 100_000 + b".",
        b"I" + b"9" * 10_000 + b"\n.",
        b"S'\\y'\n.",  # an escape that Python warns of
    ],
)
def test_broken_pickle_is_an_error_of_ours(data: bytes, tmp_path: Path, out: Path) -> None:
    write_archive(tmp_path / "broken.pth", data)
    assert_refused(tmp_path / "broken.pth", out, "cannot be imported|is refused", WeightsError)


def test_pickle_too_large_to_be_one_is_refused(tmp_path: Path, out: Path) -> None:
    write_archive(tmp_path / "large.pth", bytes(17 * 2**20))
    assert_refused(tmp_path / "large.pth", out, "at most", WeightsError)


def test_module_that_contains_itself_is_refused(tmp_path: Path, out: Path) -> None:
    name = b"cmodel_bary\nBaryNet\n)\x81q\x00"
    own_child = b"}X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00ah\x00ssb."
    write_archive(tmp_path / "endless.pth", b"\x80\x02" + name + own_child)
    assert_refused(tmp_path / "endless.pth", out, "nested without end", WeightsError)


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_pickle_is_never_a_traceback(
    data: st.DataObject, checkpoint: Path, tmp_path: Path, out: Path
) -> None:
    with zipfile.ZipFile(checkpoint) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
        content = bytearray(archive.read(name))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pth"
    path.write_bytes(checkpoint.read_bytes())
    replace_pickle(path, bytes(content))
    with contextlib.suppress(WeightsError):
        import_published_weights(path, out)


def test_the_attacks_are_real(tmp_path: Path) -> None:
    # Python's own unpickler runs them: a test of the tests.
    canary = tmp_path / "canary"
    pickle.loads(hostile_pickles(canary)["old protocol"])
    assert canary.exists()


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
    read = read_checkpoint(path)
    check_numbers({"weight": read}, path.stat().st_size)
    return read.to(torch.float32, copy=True)


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
        (tensor(offset=1), "resize"),
        (tensor(offset=-1), "invalid storage offset"),
        (tensor(offset="0"), "invalid combination of arguments"),
        (tensor(offset=2**70), "Overflow"),
        (tensor(shape=(2, 3)), "resize"),
        (tensor(shape=(2**40, 2**40), stride=(0, 0)), "overflow"),
        (tensor(shape=(1000,), stride=(0,)), "more numbers than the file"),
        (tensor(shape=(2, -2)), "overflow"),
        (tensor(stride=(2,)), "unequal size length"),
        (tensor(stride=(-2, -1), offset=3), "overflow"),
        (tensor(stride=(2**45, 1)), "resize"),
        (tensor(key="../0"), "locating file data/../0"),
        (tensor(key="1"), "locating file data/1"),
        (tensor(key="\u0660"), "locating file"),
        (tensor(count=5), r"no blocks of numbers of \[20\] bytes"),
        (tensor(count=4, kind=torch.DoubleStorage), r"of \[32\] bytes"),
        (tensor(count=4, kind=torch.HalfStorage), r"of \[8\] bytes"),
        (tensor(count=4, kind=torch.IntStorage), "torch.int32; floats were expected"),
        (tensor(count=3), "resize"),
        (tensor(count=-4), "resize"),
        (tensor(count=True), "resize"),
        (tensor(count=2**60), "no blocks of numbers"),
        (tensor(kind="FloatStorage"), "has no attribute 'dtype'"),
        (tensor(kind=OrderedDict), "has no attribute 'dtype'"),
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
        (lambda n, d: None if n.endswith("/data/0") else (n, d), "locating file data/0"),
        (lambda n, d: (n, d[:-4] if n.endswith("/data/0") else d), "no blocks of numbers"),
        (lambda n, d: (n, d + d if n.endswith("/data/0") else d), "no blocks of numbers"),
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


def test_entries_that_lie_over_each_other_are_refused(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "overlap.pth"
    write_archive(path, pickle_of({}), {"0": bytes(1000), "1": b"1"})
    with zipfile.ZipFile(path, "a") as archive:
        first, second = (archive.getinfo(f"archive/data/{key}") for key in "01")
        second.header_offset, second.orig_filename = first.header_offset, second.filename
        second.file_size = second.compress_size = first.file_size
        archive._didModify = True  # writes the table of contents again
    assert_refused(path, out, "more bytes than the file|cut off", WeightsError)


def test_entries_of_the_same_name_are_refused(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "twice.pth"
    write_archive(path, pickle_of({}))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", pickle_of({}))
    assert_refused(path, out, "entries of one name", WeightsError)


def test_one_block_under_many_names_does_not_multiply(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = published_state_dict(tiny_model)
    block = torch.zeros(max(t.numel() for t in tensors.values()))
    shared = {k: block[: v.numel()].view(v.shape) for k, v in tensors.items()}
    torch.save(shared, tmp_path / "shared.pth")
    assert_refused(tmp_path / "shared.pth", out, "more numbers than the file", WeightsError)


@settings(max_examples=60)
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
