"""Arrays of any dtype, byte order, shape, strides, container and content, with any options."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import torch
import zarr
from hypothesis import strategies as st

from benchmarks.attack.guard import require, watched
from benchmarks.attack.networks import DOMAINS, small_network
from napari_baryir import estimate_degradation, restore
from napari_baryir.errors import BaryIRError

Array = np.ndarray[Any, Any]

NUMBERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
CONTENTS = ["random", "random", "constant", "extremes", "odd", "no number", "bits"]
MOST = 2**14
"""Most values of a case, where each turn of an ensemble counts: some hundred tiles, 10 ms each."""
HOSTILE = ["?", "c8", "c16", "g", "O", "M8[s]", "m8[s]", "U3", "S2", "V4", "u1,u1"]


class _Sub(np.ndarray[Any, np.dtype[Any]]):
    """A subclass, as libraries of units and labels have."""


class _Door:
    """What is no array and becomes one."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self._array


def _unaligned(array: Array) -> Array:
    odd = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:]
    return odd.view(array.dtype).reshape(array.shape)


def _strided(array: Array) -> Array:
    if array.ndim < 2:
        return array[:]
    wide = np.repeat(np.repeat(array, 2, axis=-1), 2, axis=0)
    return wide[::2, ..., ::2]


def _mapped(array: Array) -> Array:
    with tempfile.TemporaryFile() as file:  # the map outlives its file
        mapped: Array = np.memmap(file, array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    return mapped


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "negative": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "strided": _strided,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": _unaligned,
    "read-only": lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
    "mapped": _mapped,
    "subclass": lambda a: a.view(_Sub),
}
CONTAINERS: dict[str, Callable[[Array], Any]] = {
    "dask": lambda a: da.from_array(a, chunks=tuple(max(1, n // 2) for n in a.shape)),
    "whole dask": lambda a: da.from_array(a, chunks=-1),
    "zarr": lambda a: zarr.array(a, chunks=tuple(max(1, n // 2 + 1) for n in a.shape)),
    "list": lambda a: a.tolist(),
    "torch": lambda a: torch.from_numpy(np.ascontiguousarray(a)),
    "masked": lambda a: np.ma.MaskedArray(a, mask=np.zeros(a.shape, bool)),
    "door": _Door,
    "text": str,
    "nothing": lambda a: None,
    "pair": lambda a: [a, a[..., :0]],
}


@dataclass(frozen=True)
class ArrayCase:
    """One case; its repr is all that is needed to make it again."""

    shape: tuple[int, ...]
    dtype: str
    content: str
    layout: str
    container: str
    axes: Any
    options: dict[str, Any]
    scene: bool
    seed: int

    def array(self) -> Array:
        """Make the array."""
        values = _values(self)
        return values if values.size == 0 or not values.ndim else LAYOUTS[self.layout](values)


def _values(case: ArrayCase) -> Array:
    rng = np.random.default_rng(case.seed)
    if case.dtype in HOSTILE:
        raw = rng.integers(0, 2, case.shape)
        return np.zeros(case.shape, case.dtype) if case.dtype == "u1,u1" else raw.astype(case.dtype)
    dtype = np.dtype(case.dtype)
    low, high = (-1.0, 1.0) if dtype.kind == "f" else (0.0, 200.0 if dtype.kind == "u" else 100.0)
    values = rng.uniform(low, high, case.shape).astype(dtype)
    chosen = rng.random(case.shape) < rng.choice((0.01, 0.3))
    if case.content == "constant":
        values[...] = 7
    elif case.content == "extremes":
        info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        values[chosen] = rng.choice(np.array([info.min, info.max], dtype), int(chosen.sum()))
    elif case.content == "odd" and dtype.kind == "f":
        odd = np.array([np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).tiny / 2], dtype)
        values[chosen] = rng.choice(odd, int(chosen.sum()))
    elif case.content == "no number" and dtype.kind == "f":
        values[...] = np.nan
    elif case.content == "bits":
        values = np.frombuffer(rng.bytes(values.nbytes), dtype).reshape(case.shape)
    return values


ANYTHING: Any = st.one_of(
    st.none(), st.text(max_size=5), st.floats(), st.integers(-9, 9), st.just(10**30),
    st.lists(st.integers(0, 3), max_size=2), st.just({}), st.just(np.array([0, 4000])),
)  # fmt: skip

OPTIONS: dict[str, Any] = {
    "tile": st.sampled_from([16, 24, 32, 17, "whole", np.int64(16)]),
    "overlap": st.sampled_from([0, 3, 8, "auto"]),
    "strength": st.sampled_from([0, 0.0, 0.5, 1, True, np.float32(0.25)]),
    "intensity": st.sampled_from(
        ["full", "percentile", (0, 255), (-1e300, 1e300), (0, 5e-324), {"low": 0, "high": 1},
         [(0, 1), (0, 2)], (1e300, 1.0000001e300)]
    ),
    "remove": st.sampled_from(["noise", "noise,haze", {"haze": 0.5}, ["noise"], "fog", {}]),
    "ensemble": st.booleans(),
    "precision": st.sampled_from(["auto", "float32", "bfloat16", "float16"]),
    "device": st.sampled_from(["cpu", "auto", "cuda:99", "meta"]),
}  # fmt: skip


def bound(shape: list[int], turns: int) -> None:
    """Halve the longest axes of an image until that many turns of it take seconds."""
    while turns * math.prod(shape) > MOST:
        shape[shape.index(max(shape))] //= 2


@st.composite
def array_cases(draw: Any) -> ArrayCase:
    """Draw a case; most of what is drawn can be restored."""
    length = st.integers(1, 40)
    outer = draw(st.lists(st.integers(1, 3), max_size=draw(st.sampled_from([0, 1, 1, 2, 4]))))
    shape = [*outer, draw(length), draw(length)]
    if draw(st.booleans()):
        shape.append(draw(st.sampled_from([1, 2, 3, 3, 4, 5])))
    if draw(st.integers(0, 30)) == 0:
        shape = draw(st.lists(st.integers(0, 4), max_size=7))
    order = draw(st.sampled_from("<>"))
    hostile = draw(st.integers(0, 15)) == 0
    dtype = draw(st.sampled_from(HOSTILE)) if hostile else order + draw(st.sampled_from(NUMBERS))
    axes: Any = None
    if draw(st.booleans()):
        letters = "".join(draw(st.permutations("TZCYXS"))[: len(shape)])
        axes = draw(st.one_of(
            st.just(letters), st.just(letters.lower()), st.just("TZCYXS"[-len(shape) :]),
            st.just("TZC"[: max(0, len(shape) - 2)] + "YX"), st.text(max_size=6), ANYTHING,
        ))  # fmt: skip
    options = {}
    for name, usual in OPTIONS.items():
        if draw(st.integers(0, 4)) == 0:
            options[name] = draw(ANYTHING if draw(st.integers(0, 12)) == 0 else usual)
    bound(shape, 8 if options.get("ensemble") is True else 1)
    container = draw(st.sampled_from(["numpy"] * 6 + ["dask"] * 3 + list(CONTAINERS)))
    return ArrayCase(
        tuple(shape), dtype,
        draw(st.sampled_from(CONTENTS)),
        draw(st.sampled_from(list(LAYOUTS))), container, axes, options,
        draw(st.booleans()), draw(st.integers(0, 2**32 - 1)),
    )  # fmt: skip


def attack_array(case: ArrayCase) -> None:
    """Restore and estimate a case, and check all promises."""
    try:
        array = case.array()
        image = array if case.container == "numpy" else CONTAINERS[case.container](array)
    except (TypeError, ValueError, IndexError, NotImplementedError):
        return  # the layout or the container cannot hold it
    before = array.tobytes() if array.dtype != object else b""
    model = small_network(scene=case.scene)
    with watched():
        try:
            result = restore(image, axes=case.axes, model=model, **case.options)
        except BaryIRError as error:
            require(len(str(error)) > 20, f"says too little: {error}")
            result = None
        if result is not None:
            dtype = getattr(image, "dtype", None)
            if isinstance(dtype, np.dtype):
                require(result.image.dtype == dtype, "another dtype")
            _check_restored(array, result, result.image, case, model)
        chosen = {k: case.options[k] for k in ("tile", "overlap", "intensity") if k in case.options}
        try:
            found = estimate_degradation(
                image, axes=case.axes, model=model, **chosen,
                contributions=case.options.get("ensemble") is True,
            )  # fmt: skip
        except BaryIRError:
            found = None
        if found is not None:
            _check_estimate(found)
    require(array.dtype == object or array.tobytes() == before, "the input has changed")


def _check_restored(array: Array, result: Any, image: Any, case: ArrayCase, model: Any) -> None:
    lazy = hasattr(image, "dask")
    values = np.asarray(image.compute() if lazy else image)
    original = np.asarray(array)
    if case.container == "list":
        original = np.asarray(original.tolist())
    require(values.shape == original.shape, f"shape {values.shape}")
    # Where it joins chunks, NumPy turns them into the computer's own byte order.
    require(values.dtype.newbyteorder("=") == original.dtype.newbyteorder("="), "dtype in chunks")
    json.dumps(result.record, allow_nan=False)
    if original.dtype.kind == "f":
        odd = ~np.isfinite(original)
        require(np.array_equal(~np.isfinite(values), odd), "NaN and inf are elsewhere")
        require(np.array_equal(values[odd], original[odd], equal_nan=True), "NaN or inf is changed")
        require(lazy or result.non_finite is not None, "NaN are not counted")
    floats = original.dtype.kind == "f"
    if result.strength == 0:
        require(np.array_equal(values, original, equal_nan=floats), "strength 0")
    if "S" in result.axes:
        place = result.axes.index("S")
        if original.shape[place] in (2, 4):
            last = [np.take(each, [-1], axis=place) for each in (values, original)]
            require(np.array_equal(*last, equal_nan=floats), "alpha is changed")
    if case.seed % 4 == 0 and not lazy:
        again = restore(original, **(json.loads(json.dumps(result.settings)) | {"model": model}))
        same = np.array_equal(again.image, values, equal_nan=floats)
        require(same, "its settings do not repeat it")


def _check_estimate(found: Any) -> None:
    probabilities, severity = np.asarray(found.probabilities), np.asarray(found.severity)
    require(bool(np.isfinite(probabilities).all()), "probabilities are not finite")
    require(bool(np.isfinite(severity).all()), "severity is not finite")
    sums = probabilities.sum(axis=-3)
    require(bool(np.allclose(sums, 1, atol=1e-3)), "probabilities do not add up to 1")
    require(bool(((severity >= 0) & (severity <= 1)).all()), "severity is outside of 0 to 1")
    require(set(found.domains) == {*DOMAINS, "unknown"}, "other domains")
