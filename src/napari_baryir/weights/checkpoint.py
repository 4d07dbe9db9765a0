"""Read the checkpoints that torch.save wrote without running anything from them."""

from __future__ import annotations

import os
import pickletools
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pickle import UnpicklingError
from typing import Any

import torch

from napari_baryir.errors import UnsafeWeightsError, WeightsError

MAX_PICKLE_BYTES = 16 * 2**20
"""The published checkpoint's pickle has about 0.3 MB; walking 16 MB takes some seconds."""
MAX_DEPTH = 8
"""Tuples within tuples. A checkpoint has three; hashing 100,000 would overflow the C stack."""

MODULES = (
    *(f"model_bary {name}" for name in ("Attention", "BaryNet", "Downsample", "FeedForward")),
    *(f"model_bary {name}" for name in ("LayerNorm", "OverlapPatchEmbed", "Potentials")),
    *(f"model_bary {name}" for name in ("TransformerBlock", "Upsample", "WithBias_LayerNorm")),
    *("torch.nn.modules.activation LeakyReLU", "torch.nn.modules.container ModuleList"),
    *("torch.nn.modules.container Sequential", "torch.nn.modules.conv Conv2d"),
    *("torch.nn.modules.flatten Flatten", "torch.nn.modules.linear Linear"),
    *(f"torch.nn.modules.pixelshuffle {name}" for name in ("PixelShuffle", "PixelUnshuffle")),
)
"""Classes of a published checkpoint, as a pickle names them; `InertModule` stands in for each."""

NAMES = frozenset(
    (
        *MODULES,
        *("__builtin__ set", "builtins set", "collections OrderedDict", "torch Size"),
        *("torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor_v2"),
        *(f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Bool")),
        *(f"torch {kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte")),
    )
)
"""The exact list of what a pickle may name. torch.load alone allows more, some of it unsafe."""


class InertModule:
    """Stands in for a network module: it keeps the module's attributes and can do nothing."""

    state: dict[Any, Any]

    def __new__(cls) -> InertModule:
        module = super().__new__(cls)
        module.state = {}
        return module

    def __init__(self) -> None:  # reading a module does not come here, calling its class does
        raise ValueError("it calls a module")

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict:
            raise ValueError("the attributes of a module are not a dict")
        self.state = state


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Read plain values, tensors and `InertModule` from a zip archive of torch.save.

    Raises `UnsafeWeightsError` if its pickle names anything outside an exact list, and
    `WeightsError` if it is damaged or compressed, or its blocks of numbers have other sizes than it
    says.
    """
    stand_ins: list[Any] = [(InertModule, name.replace(" ", ".")) for name in MODULES]
    blocks: Counter[int] = Counter()

    def count(storage: Any, _: str) -> Any:
        blocks[storage.nbytes()] += 1
        return storage

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # a damaged file draws many
            sizes = _check_archive(path)
            # Mapped, as a block that claims too many numbers then cannot leave the file.
            read = torch.load(path, map_location=count, mmap=True, weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # of nearly any type, where a file is damaged
        # The context, as torch wraps it in the advice to load the file unsafely.
        reason = str(error.__context__ or error).partition("\n")[0].partition(". ")[0][:200]
        kind = UnsafeWeightsError if isinstance(error, UnpicklingError) else WeightsError
        raise kind(
            f"it is damaged, cut off or not a checkpoint ({reason}); nothing of it was run"
        ) from None
    if wrong := set(blocks - sizes) - {0}:
        raise WeightsError(f"it has no blocks of numbers of {sorted(wrong)[:9]} bytes")
    return read


def _check_archive(path: str | os.PathLike[str]) -> Counter[int]:
    """Check the archive and the pickle in it, and return the sizes of its blocks of numbers."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1 or len(entries) != len(archive.infolist()):
            raise WeightsError(
                f"it is a zip archive with {len(pickles)} entries named data.pkl instead of one, "
                "or two entries of one name, so it was not written by torch.save"
            )
        for name, entry in entries.items():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise WeightsError(f"its entry {name} is compressed, which torch.save never does")
        if sum(entry.file_size for entry in entries.values()) > os.path.getsize(path):
            raise WeightsError("its entries claim more bytes than the file holds")
        size, root = entries[pickles[0]].file_size, pickles[0].removesuffix("data.pkl")
        if size > MAX_PICKLE_BYTES:
            raise WeightsError(f"its pickle has {size} bytes; at most {MAX_PICKLE_BYTES} expected")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise WeightsError("its numbers are not little-endian; save it again on this computer")
        if (damaged := archive.testzip()) is not None:
            raise WeightsError(f"its entry {damaged} is damaged")
        _check_pickle(archive.read(pickles[0]))
        return Counter(e.file_size for n, e in entries.items() if n.startswith(f"{root}data/"))


def _check_pickle(data: bytes) -> None:
    """Walk a pickle without building anything; refuse names and nesting that no checkpoint has."""
    depths: list[int] = []  # of the values on the stack: 0, or how deep tuples are nested
    marks: list[int] = []
    memo: dict[int, int] = {}
    steps: Iterator[tuple[Any, Any, Any]] = pickletools.genops(data)
    for opcode, argument, _ in steps:
        if opcode.name == "PROTO" and argument > 2:
            raise WeightsError(
                f"its pickle has protocol {argument}, which torch does not read safely; ask "
                "for the file saved again with protocol 2, the one that torch.save uses by itself"
            )
        if opcode.name in ("GLOBAL", "INST") and argument not in NAMES:
            named = ascii(argument.replace(" ", "."))[:200]
            raise UnsafeWeightsError(
                f"it names {named}, which is not on the list of names that a published checkpoint "
                "may use; nothing of it was run"
            )
        if opcode.name == "MARK":
            marks.append(len(depths))
            continue
        taken = len(opcode.stack_before)
        if pickletools.markobject in opcode.stack_before:
            taken = opcode.stack_before.index(pickletools.markobject) + len(depths) - marks.pop()
        rest = len(depths) - taken
        depth = 1 + max(depths[rest:], default=0) if opcode.stack_after == _TUPLE else 0
        del depths[rest:]
        if opcode.name.endswith("PUT"):
            memo[argument] = depths[-1]
        elif opcode.name.endswith("GET"):
            depth = memo[argument]
        if depth > MAX_DEPTH:
            raise WeightsError("its tuples are nested without end")
        depths += [depth] * len(opcode.stack_after)


_TUPLE = [pickletools.pytuple]
