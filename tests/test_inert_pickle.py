"""Pickles are read without running what they name, however they ask for it."""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_baryir.errors import UnsafeWeightsError, WeightsError
from napari_baryir.weights.importer import import_published_weights
from published_checkpoints import (
    Call,
    assert_refused,
    pickle_of,
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
    assert_refused(tmp_path / "hostile.pth", out, "nothing of it was run", UnsafeWeightsError)
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


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
