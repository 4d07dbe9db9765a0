"""Read the pickle inside a checkpoint as data: nothing that it names is imported or called.

Python's own unpickler is a small machine that builds objects by calling whatever the file names.
Here the same instructions are walked, but they can only make plain values and the records of
`inert_values`. Names outside an exact list are refused.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from typing import Any

from napari_baryir.errors import UnsafeWeightsError, WeightsError
from napari_baryir.weights.inert_values import (
    MODULES,
    InertModule,
    Name,
    allowed,
    called,
    plain_key,
    refused_call,
    storage_reference,
)


def read_inert(data: bytes) -> Any:
    """Read a pickle as plain values, `InertModule` and `TensorRef`, running nothing.

    Parameters
    ----------
    data
        The pickle, of any protocol.

    Raises
    ------
    UnsafeWeightsError
        If it names or calls anything outside the list; the message says what.
    WeightsError
        If it is damaged or not a checkpoint's pickle.
    """
    try:
        with warnings.catch_warnings():
            # Of strings with unknown escapes; damaged files have them, and none is looked up.
            warnings.simplefilter("ignore", DeprecationWarning)
            return _Reader().run(data)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        if isinstance(error, WeightsError):
            raise
        detail = f"{type(error).__name__}: {error}"[:200]
        raise WeightsError(f"its pickle is damaged or cut off ({detail})") from None


class _Reader:
    """The stack machine of the pickle format, over values that cannot act."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return self.stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise UnsafeWeightsError(
                    f"its pickle uses the instruction {opcode.name}, which no checkpoint needs; "
                    "nothing of it was run"
                )
            step(self, argument)
        raise WeightsError("its pickle has no end")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def take(self, count: int) -> list[Any]:
        """Pop `count` values, deepest first."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise IndexError("stack underflow")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def take_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def top(self, kind: type) -> Any:
        """Return the value on top of the stack, which must be of a kind."""
        value = self.stack[-1]
        if type(value) is not kind:
            raise ValueError(f"expected a {kind.__name__}, found a {type(value).__name__}")
        return value

    def store(self, pairs: list[Any]) -> None:
        """Set alternating keys and values in the dict on top."""
        target = self.top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[plain_key(key)] = value

    def memoize(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def refer(self, module: Any, name: Any) -> None:
        self.push(allowed(module, name))

    def make_instance(self, _: Any) -> None:
        """Push an inert module for ``class.__new__(class)``."""
        cls, arguments = self.take(2)
        if not (isinstance(cls, Name) and (cls.module, cls.name) in MODULES and arguments == ()):
            raise refused_call(cls)
        self.push(InertModule(cls.name))

    def call(self, _: Any) -> None:
        """Push what stands for ``function(*arguments)``."""
        function, arguments = self.take(2)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise refused_call(function)
        self.push(called(function, arguments))

    def build(self, _: Any) -> None:
        """Give the object on top its attributes."""
        target, state = self.take(2)
        self.push(target)
        if isinstance(target, InertModule) and type(state) is dict:
            target.state.update(state)
        elif type(target) is not dict:  # a state dict's _metadata is of no use here
            raise refused_call(target)

    def refer_to_storage(self, _: Any) -> None:
        (reference,) = self.take(1)
        self.push(storage_reference(reference))


def _global(reader: _Reader, argument: str) -> None:
    reader.refer(*argument.split(" ", 1))


def _old_instance(reader: _Reader, argument: str) -> None:
    reader.refer(*argument.split(" ", 1))  # refuses, naming it, what is not on the list
    raise refused_call(reader.stack[-1])


def _constant(value: Any) -> Callable[[_Reader, Any], None]:
    return lambda reader, _: reader.push(value)


def _tuple_of(count: int) -> Callable[[_Reader, Any], None]:
    return lambda reader, _: reader.push(tuple(reader.take(count)))


def _add_to_set(reader: _Reader, _: Any) -> None:
    items = reader.take_to_mark()
    reader.top(set).update(map(plain_key, items))


def _append(reader: _Reader, items: list[Any]) -> None:
    reader.top(list).extend(items)


_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
)

_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(_LITERALS, _Reader.push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda reader, _: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Reader.memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda r, index: r.push(r.memo[index])),
    "MEMOIZE": lambda reader, _: reader.memoize(len(reader.memo)),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": lambda reader, _: reader.push([]),
    "EMPTY_DICT": lambda reader, _: reader.push({}),
    "EMPTY_SET": lambda reader, _: reader.push(set()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "MARK": lambda reader, _: reader.marks.append(len(reader.stack)),
    "TUPLE": lambda reader, _: reader.push(tuple(reader.take_to_mark())),
    "APPEND": lambda reader, _: _append(reader, reader.take(1)),
    "APPENDS": lambda reader, _: _append(reader, reader.take_to_mark()),
    "SETITEM": lambda reader, _: reader.store(reader.take(2)),
    "SETITEMS": lambda reader, _: reader.store(reader.take_to_mark()),
    "ADDITEMS": _add_to_set,
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda reader, _: reader.refer(*reader.take(2)),
    "INST": _old_instance,
    "NEWOBJ": _Reader.make_instance,
    "REDUCE": _Reader.call,
    "BUILD": _Reader.build,
    "BINPERSID": _Reader.refer_to_storage,
}
"""What each instruction does. Those left out (extension codes, buffers, OBJ, ...) are refused."""
