"""What a checkpoint's pickle may name, and the inert records that stand for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_baryir.errors import UnsafeWeightsError

STORAGES = frozenset(
    f"{kind}Storage"
    for kind in (
        "Float",
        "Half",
        "BFloat16",
        "Double",
        "Long",
        "Int",
        "Short",
        "Char",
        "Byte",
        "Bool",
    )
)
"""Names of torch's storages, one for each type of number."""

MODULES = frozenset(
    {
        ("model_bary", "Attention"),
        ("model_bary", "BaryNet"),
        ("model_bary", "Downsample"),
        ("model_bary", "FeedForward"),
        ("model_bary", "LayerNorm"),
        ("model_bary", "OverlapPatchEmbed"),
        ("model_bary", "Potentials"),
        ("model_bary", "TransformerBlock"),
        ("model_bary", "Upsample"),
        ("model_bary", "WithBias_LayerNorm"),
        ("torch.nn.modules.activation", "LeakyReLU"),
        ("torch.nn.modules.container", "ModuleList"),
        ("torch.nn.modules.container", "Sequential"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch.nn.modules.flatten", "Flatten"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch.nn.modules.pixelshuffle", "PixelShuffle"),
        ("torch.nn.modules.pixelshuffle", "PixelUnshuffle"),
    }
)
"""Classes of a published checkpoint, (module, name): each becomes an `InertModule`."""

FUNCTIONS = frozenset(
    {
        ("__builtin__", "set"),
        ("builtins", "set"),
        ("collections", "OrderedDict"),
        ("torch", "Size"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor_v2"),
    }
)
"""What a checkpoint calls: `called` says what stands for each call."""

ALLOWED = MODULES | FUNCTIONS | {("torch", name) for name in STORAGES}
"""The exact list of names. Everything else is refused."""

MAX_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Name:
    """A name that the file refers to; on the list, and never resolved."""

    module: str
    name: str


@dataclass(slots=True)
class InertModule:
    """What stands in for a network module: its class's name and its attributes."""

    name: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A block of numbers in the archive, not read yet."""

    kind: str
    """One of `STORAGES`."""
    key: str
    """Name of its entry; digits only."""
    count: int
    """Number of elements."""


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A view of a storage, not read yet; it lies within it and no larger than it."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def allowed(module: Any, name: Any) -> Name:
    """Check a name against the list.

    Raises
    ------
    UnsafeWeightsError
        Saying what was named.
    """
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError("a name that is not text")
    if (module, name) not in ALLOWED:
        named = ascii(f"{module}.{name}")[:200]
        raise UnsafeWeightsError(
            f"it names {named}, which is not on the list of names that a published checkpoint may "
            "use; nothing of it was run"
        )
    return Name(module, name)


def refused_call(value: Any) -> UnsafeWeightsError:
    """Describe a call of an allowed name, or of a value, that no checkpoint makes."""
    what = (
        f"{value.module}.{value.name}" if isinstance(value, Name) else f"a {type(value).__name__}"
    )
    return UnsafeWeightsError(
        f"it calls {what} in a way that no checkpoint does; nothing of it was run"
    )


def called(function: Name, arguments: tuple[Any, ...]) -> Any:
    """Say what stands for a call of a name on the list."""
    match function.name, arguments:
        case "OrderedDict", ():
            return {}
        case "OrderedDict", (list() as pairs,):
            return {plain_key(key): value for key, value in pairs}
        case "set", (list() as items,):
            return {plain_key(item) for item in items}
        case "set", ():
            return set()
        case "Size", (tuple() as sizes,):
            return sizes
        case "_rebuild_parameter", (TensorRef() as tensor, bool(), _):
            return tensor
        case "_rebuild_tensor_v2", (StorageRef() as storage, offset, shape, stride, *_):
            return _tensor(storage, offset, shape, stride)
    raise refused_call(function)


def _tensor(storage: StorageRef, offset: Any, shape: Any, stride: Any) -> TensorRef:
    """Check that a view lies within its storage."""
    for numbers in ((offset,), shape, stride):
        if not isinstance(numbers, tuple) or len(numbers) > MAX_DIMENSIONS:
            raise ValueError("a tensor's shape or stride is not a short tuple")
        if any(type(number) is not int or not 0 <= number < 2**48 for number in numbers):
            raise ValueError("a tensor's offset, shape or stride is not a whole number")
    elements, last = 1, offset
    for size, step in zip(shape, stride, strict=True):
        elements *= size
        last += (size - 1) * step
    if elements > storage.count or (elements and last >= storage.count):
        raise ValueError("a tensor reaches beyond its storage")
    return TensorRef(storage, offset, shape, stride)


def plain_key(key: Any) -> Any:
    """Check a key of a dict or an item of a set."""
    # Hashing a deeply nested tuple would overflow the C stack.
    if isinstance(key, str | int | float | bytes | None):
        return key
    raise ValueError(f"a {type(key).__name__} as a key")


def storage_reference(reference: Any) -> StorageRef:
    """Check a reference to a storage, ``("storage", type, key, device, count)``."""
    if not (isinstance(reference, tuple) and len(reference) == 5):
        raise ValueError("a reference to a storage has not 5 parts")
    tag, kind, key, _device, count = reference
    if tag != "storage" or not isinstance(kind, Name) or kind.name not in STORAGES:
        raise ValueError("a reference to something other than a storage")
    if not (isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10):
        raise ValueError("a storage's key is not a number")
    if type(count) is not int or count < 0:
        raise ValueError("a storage's size is not a number of elements")
    return StorageRef(kind.name, key, count)
