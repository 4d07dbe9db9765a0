"""Import of published checkpoints: every published form is read, and nothing in a file is run."""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from napari_baryir.errors import InputError, ModelUnavailableError, UnsafeWeightsError, WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.weights.files import load_weights, save_weights
from napari_baryir.weights.importer import import_published_weights
from napari_baryir.weights.inert_pickle import read_inert
from napari_baryir.weights.torch_archive import open_archive
from published_checkpoints import (
    Call,
    Persistent,
    pickle_of,
    published_state_dict,
    replace_pickle,
    save_whole_module,
    write_archive,
)

StateDict = dict[str, torch.Tensor]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.safetensors"


@pytest.fixture
def checkpoint(tiny_model: BaryIR, tmp_path: Path) -> Path:
    path = tmp_path / "whole.pth"
    save_whole_module(tiny_model, path)
    return path


def assert_imports_as(model: BaryIR, path: Path, out: Path) -> None:
    assert import_published_weights(path, out) == out
    again = load_weights(out)
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def assert_refused(path: Path, out: Path, message: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=message) as caught:
        import_published_weights(path, out)
    assert path.name in str(caught.value)
    assert not out.exists()


def test_conformance_checkpoint_answers_as_published(shared: Path, out: Path) -> None:
    import_published_weights(shared / "conformance/whole_module_checkpoint.pth", out)
    model = load_weights(out)
    with np.load(shared / "conformance/whole_module_vectors.npz") as arrays:
        vectors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    with torch.inference_mode():
        answer = model(vectors["x"])
    for mine, name in (
        (answer.restored, "restored"),
        (answer.source, "source_latent"),
        (answer.barycenter, "barycenter_latent"),
    ):
        error = float((mine - vectors[name]).abs().max() / vectors[name].abs().max())
        assert error <= 1e-4, name


def test_whole_module_is_imported_without_its_classes(
    tiny_model: BaryIR, checkpoint: Path, out: Path
) -> None:
    assert "model_bary" not in sys.modules
    assert_imports_as(tiny_model, checkpoint, out)
    assert "model_bary" not in sys.modules


@pytest.mark.parametrize("container", [None, "BaryIR", "state_dict", "params", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("protocol", [2, 4])
def test_state_dict_is_imported_from_any_container(
    tiny_model: BaryIR, tmp_path: Path, out: Path, container: str | None, prefix: str, protocol: int
) -> None:
    tensors = {prefix + k: v for k, v in published_state_dict(tiny_model).items()}
    path = tmp_path / "state.pth"
    whole = tensors if container is None else {"epoch": 7, container: tensors}
    torch.save(whole, path, pickle_protocol=protocol)
    assert_imports_as(tiny_model, path, out)


def test_state_dict_of_a_module_with_metadata_is_imported(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = OrderedDict(published_state_dict(tiny_model))
    tensors._metadata = OrderedDict({"": {"version": 1}})  # as Module.state_dict() leaves it
    torch.save(tensors, tmp_path / "state.pth")
    assert_imports_as(tiny_model, tmp_path / "state.pth", out)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_with_published_names_is_imported(
    tiny_model: BaryIR, tmp_path: Path, out: Path, prefix: str
) -> None:
    tensors = {prefix + k: v for k, v in published_state_dict(tiny_model).items()}
    save_file(tensors, tmp_path / "state.safetensors")
    assert_imports_as(tiny_model, tmp_path / "state.safetensors", out)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(
    tiny_model: BaryIR, tmp_path: Path, out: Path, dtype: torch.dtype
) -> None:
    tensors = {k: v.to(dtype) for k, v in published_state_dict(tiny_model).items()}
    torch.save(tensors, tmp_path / "state.pth")
    import_published_weights(tmp_path / "state.pth", out)
    weight = load_weights(out).state_dict()["encoder.stem.weight"]
    assert torch.equal(weight, tensors["patch_embed.proj.weight"].float())


def test_views_with_strides_keep_their_values(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = published_state_dict(tiny_model)
    weight = tensors["output.weight"]
    tensors["output.weight"] = weight.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    padded = torch.zeros(100)
    padded[7:71] = tensors["LN.body.bias"]
    tensors["LN.body.bias"] = padded[7:71]
    torch.save(tensors, tmp_path / "state.pth")
    assert_imports_as(tiny_model, tmp_path / "state.pth", out)


def test_a_name_that_cannot_be_written_to_is_refused(
    tiny_model: BaryIR, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"name it weights\.safetensors"):
        import_published_weights(checkpoint, tmp_path / "weights.pth")
    published = tmp_path / "published.safetensors"
    save_file(dict(published_state_dict(tiny_model)), published)
    before = published.read_bytes()
    with pytest.raises(InputError, match="is the file to import"):
        import_published_weights(published, published)
    assert published.read_bytes() == before


def test_imported_file_says_where_it_comes_from(checkpoint: Path, out: Path) -> None:
    import_published_weights(checkpoint, out)
    assert load_weights(out).provenance["imported_from"] == checkpoint.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("LN.body.bias"), "LN.body.bias: missing"),
        (lambda t: t.pop("patch_embed.proj.weight"), "patch_embed.proj.weight is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra: unexpected"),
        (
            lambda t: t.update({"output.weight": torch.zeros(3, 5, 3, 3)}),
            r"output.weight: shape \(3, 5, 3, 3\) instead of \(3, 16, 3, 3\)",
        ),
        (lambda t: t["output.weight"].fill_(float("nan")), "not finite.*decoder.output.weight"),
        (lambda t: t.update({"output.weight": t["output.weight"].int()}), "IntStorage"),
        (lambda t: t.update(best="psnr"), "best"),
        (lambda t: t.clear(), "where a network was expected"),
    ],
)
def test_wrong_tensors_are_named(
    tiny_model: BaryIR,
    tmp_path: Path,
    out: Path,
    change: Callable[[StateDict], None],
    message: str,
) -> None:
    tensors = published_state_dict(tiny_model)
    change(tensors)
    torch.save(tensors, tmp_path / "state.pth")
    assert_refused(tmp_path / "state.pth", out, message, WeightsError)


def test_stage_that_is_missing_altogether_is_named(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = published_state_dict(tiny_model)
    torch.save({k: v for k, v in tensors.items() if "barylatent" not in k}, tmp_path / "state.pth")
    assert_refused(tmp_path / "state.pth", out, "barylatent.0.norm1.body.weight", WeightsError)


def test_checkpoint_without_a_network_says_what_it_holds(tmp_path: Path, out: Path) -> None:
    torch.save({"optimizer": {}, "epoch": 1}, tmp_path / "state.pth")
    assert_refused(tmp_path / "state.pth", out, "'optimizer', 'epoch'", WeightsError)


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
    ],
)
def test_broken_pickle_is_an_error_of_ours(data: bytes, tmp_path: Path, out: Path) -> None:
    write_archive(tmp_path / "broken.pth", data)
    assert_refused(tmp_path / "broken.pth", out, "cannot be imported|is refused", WeightsError)


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


def test_pickle_too_large_to_be_one_is_refused(tmp_path: Path, out: Path) -> None:
    write_archive(tmp_path / "large.pth", bytes(17 * 2**20))
    assert_refused(tmp_path / "large.pth", out, "at most", WeightsError)


def test_one_block_under_many_names_does_not_multiply(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    tensors = published_state_dict(tiny_model)
    block = torch.zeros(max(t.numel() for t in tensors.values()))
    shared = {k: block[: v.numel()].view(v.shape) for k, v in tensors.items()}
    torch.save(shared, tmp_path / "shared.pth")
    assert_refused(tmp_path / "shared.pth", out, "more numbers than the file", WeightsError)


def test_module_that_contains_itself_is_refused(tmp_path: Path, out: Path) -> None:
    name = b"cmodel_bary\nBaryNet\n)\x81q\x00"
    own_child = b"}X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00ah\x00ssb."
    write_archive(tmp_path / "endless.pth", b"\x80\x02" + name + own_child)
    assert_refused(tmp_path / "endless.pth", out, "nested without end", WeightsError)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"PK", b"PK\x03\x04", b"PK\x03\x04" * 100, b"x" * 50),
        *(b"12345678{", b"\xff" * 8 + b"{}"),
    ],
)
def test_other_file_is_refused(content: bytes, tmp_path: Path, out: Path) -> None:
    (tmp_path / "other.pth").write_bytes(content)
    assert_refused(tmp_path / "other.pth", out, "cannot be imported", WeightsError)


def test_legacy_torch_file_is_refused_with_advice(
    tiny_model: BaryIR, tmp_path: Path, out: Path
) -> None:
    path = tmp_path / "legacy.pth"
    torch.save(published_state_dict(tiny_model), path, _use_new_zipfile_serialization=False)
    assert_refused(path, out, "saved again", WeightsError)


def test_file_of_ours_is_not_imported_twice(tiny_model: BaryIR, tmp_path: Path, out: Path) -> None:
    save_weights(tiny_model, tmp_path / "ours.safetensors")
    assert_refused(tmp_path / "ours.safetensors", out, "one of our own", WeightsError)


def test_missing_file_is_said_to_be_missing(tmp_path: Path, out: Path) -> None:
    assert_refused(tmp_path / "nowhere.pth", out, "there is no", ModelUnavailableError)


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
