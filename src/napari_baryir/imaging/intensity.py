"""The map between an image's own values and the network's [0, 1].

One map serves a whole stack (per channel where there are several), never a single plane, so that
a movie does not flicker. Training and restoring see images through the same map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import InputError
from napari_baryir.imaging.no_data import no_data_value
from napari_baryir.imaging.sampling import extremes, sample_values

IntensityMode = Literal["auto", "full", "percentile"]
"""``full``: the nominal range of the dtype or of the bit depth; ``percentile``: robust percentiles;
``auto``: full for 8-bit and RGB images, percentile for the rest."""

IntensityKind = Literal["full", "percentile", "extremes", "constant", "given"]
"""The origin of `low` and `high`. ``extremes``: least and greatest value, where the percentiles
coincide (a few bright pixels on an empty plane); ``given``: by the caller."""

PERCENTILES = (0.1, 99.9)
"""Percent. Robust against hot and dead pixels, which are rarer than one in a thousand."""

SATURATED = 0.01
"""Largest share of saturated pixels that have no say: one column or more of 100."""

SATURATION_GAP = 4
"""So many times as far as all other values reach do saturated ones lie from the least value."""

BIT_DEPTHS = (8, 10, 12, 14, 16, 32, 64)
"""Depths at which cameras and files fill an integer."""

FLOAT_RANGES = (1.0, 255.0, 65535.0)
"""Largest nominal values of pictures that are stored as floats."""

UNIT_LIMIT = 2.0**15
"""Mapped values are held within plus or minus this, far outside any image, so that a stray 1e30
does not turn a whole tile into NaN."""

NETWORK_LOW, NETWORK_HIGH = -0.5, 2.0
"""Least and greatest mapped value that a network is shown, in training and in use: what lies far
beyond would spread through its filters. What it changes is added to the values as they were."""

FILLED = 0.75
"""A bit depth is that of an RGB image whose bright values (by percentile) fill this part of it.
What fills less goes by its percentiles, since it comes back as bright as it was."""

DARKEST = 1 / 255
"""Floats that are all below this, one level of 8 bits, are no picture in [0, 1]."""

DIM = 0.3
"""8-bit images that use less than this part of their range, by percentiles, go by these."""


@dataclass(frozen=True)
class IntensityMap:
    """A linear map: `low` goes to 0 and `high` to 1; values beyond go beyond.

    Both are in the image's units. Raises `InputError` if `low` is not below `high`, or one of them
    is not finite.
    """

    low: float
    high: float
    kind: IntensityKind = "given"
    no_data: float | None = None
    """Value of pixels that hold nothing, such as padding: they stay, and no network sees them."""

    def __post_init__(self) -> None:
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise InputError(
                f"an intensity map from {self.low} to {self.high} is not possible; "
                "give two finite numbers, the lower first"
            )

    @property
    def span(self) -> float:
        """Return the change in the image's units that is 1 in [0, 1]."""
        return self.high - self.low

    def missing(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where `array`, of any shape, holds nothing: NaN, inf, and `no_data`."""
        invalid = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
        return invalid if self.no_data is None else invalid | (array == self.no_data)

    def apply(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Map `array` (any shape, any real dtype) to float32, about [0, 1], not clipped."""
        # Up to 16 bits float32 is exact; wider values could cancel, so they go through float64.
        moderate = max(1 / self.span, self.span, abs(self.low)) < 2.0**64
        if array.dtype.kind in "ui" and array.dtype.itemsize <= 2 and moderate:
            small = array.astype(np.float32)
            return (small - np.float32(self.low)) / np.float32(self.span)
        with np.errstate(over="ignore", invalid="ignore"):  # signalling NaN are NaN, too
            wide = (array.astype(np.float64) - self.low) / self.span
        return np.clip(wide, -UNIT_LIMIT, UNIT_LIMIT).astype(np.float32)

    def add_change(self, original: NDArray[Any], change: NDArray[np.float32]) -> NDArray[Any]:
        """Add a change that was computed in [0, 1], float32 and finite, to values in the image's
        units.

        Adding the change, rather than inverting the restored values, keeps what float32 cannot
        hold: no change gives the original exactly, for 64-bit integers too. Returns the shape and
        dtype of `original`; integers are rounded and clipped.
        """
        dtype = original.dtype
        if dtype.kind in "ui" and dtype.itemsize == 8:
            return _add_to_wide_integers(original, change.astype(np.float64) * self.span)
        small = dtype.kind in "ui" and dtype.itemsize <= 2 and self.span < 2**17
        wide = np.dtype(np.float32 if small else np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            total = original.astype(wide) + change.astype(wide) * wide.type(self.span)
        return _to_dtype(total, dtype)

    def in_units(self, change: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a change in [0, 1] in the image's units, float32, held within what that holds."""
        return _to_dtype(change.astype(np.float64) * self.span, np.dtype(np.float32))

    def as_dict(self) -> dict[str, float | str]:
        """Return the map as plain values for a record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IntensityMap:
        """Read what `as_dict` wrote."""
        kind, no_data = values.get("kind", "given"), values.get("no_data")
        return cls(float(values["low"]), float(values["high"]), kind, no_data)


def read_intensity(text: str) -> IntensityMode | tuple[float, float]:
    """Read what a person typed: a mode, or two numbers with a comma or a space between.

    Raises `InputError` if it is neither.
    """
    text = text.strip().lower() or "auto"
    if text in get_args(IntensityMode):
        return cast("IntensityMode", text)
    try:
        low, high = (float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise InputError(
            f"intensity is '{text}'; give auto, full, percentile, or two numbers such as 100, 4000"
        ) from None
    return low, high


def check_mode(mode: str) -> IntensityMode:
    """Return `mode` if it is one; raise `InputError` otherwise."""
    if mode not in get_args(IntensityMode):
        raise InputError(
            f"intensity {mode!r} is unknown; use one of {', '.join(get_args(IntensityMode))}, "
            "a pair (low, high) or an IntensityMap"
        )
    return cast("IntensityMode", mode)


def choose_intensity(array: Any, *, rgb: bool, mode: IntensityMode = "auto") -> IntensityMap:
    """Choose the map for one channel of an image, or for an RGB image.

    8-bit images use their full range, dim grey ones their percentiles. RGB images of wider integers
    use the common bit depth that their bright values fill (a 12-bit camera's picture in uint16 goes
    from 0 to 4095); floats use [0, 1], [0, 255] or [0, 65535], whichever the bulk of the values
    fits. Other RGB images go from 0 to their 99.9 percentile. Everything else uses the 0.1 and 99.9
    percentiles of the whole array. No single value decides, no column of saturated pixels, and in
    grey images padding and missing tiles do not count (`no_data_value`).

    `array` is NumPy or dask, of any shape and real dtype, without alpha; large arrays are
    subsampled, always the same way. `mode` overrules the choice. Raises `InputError` if `mode` is
    unknown, the array is empty, or its dtype is not an integer or a float.
    """
    check_mode(mode)
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "uif":
        raise InputError(f"dtype {dtype} has no intensities; convert the image to numbers first")
    if 0 in array.shape:
        raise InputError(f"the image is empty (shape {tuple(array.shape)})")
    if dtype.itemsize == 1 and (
        mode == "full" or (mode == "auto" and rgb)
    ):  # whatever the values are
        return _whole_range(dtype)
    values = sample_values(array)
    no_data = None if rgb else no_data_value(values)
    used = _percentiles(values if no_data is None else values[values != no_data])
    return replace(_choose(array, used, rgb, mode), no_data=no_data)


def _choose(
    array: Any, used: tuple[float, float] | None, rgb: bool, mode: IntensityMode
) -> IntensityMap:
    """Choose as `choose_intensity`, where the values are within the percentiles `used`."""
    dtype, full = array.dtype, mode == "full" or (mode == "auto" and rgb)
    if mode == "auto" and dtype.itemsize == 1 and not _is_dim(used, _whole_range(dtype)):
        return _whole_range(dtype)
    nominal = _nominal_range(array, used, 0.0 if mode == "full" else FILLED) if full else None
    if nominal is not None:
        return IntensityMap(*nominal, kind="full")
    robust = _robust_range(array, used)
    if mode == "percentile":
        return robust
    # Black is black in a photograph, unless it has no use for it at all.
    if rgb and robust.kind == "percentile" and 0 < robust.low < robust.high / 2:
        return IntensityMap(0.0, robust.high, "percentile")
    return robust


def _percentiles(values: NDArray[Any]) -> tuple[float, float] | None:
    """Return `PERCENTILES` of finite values; None where there are none."""
    values = values.astype(np.float64)
    if values.size == 0:
        return None
    low, high = np.percentile(_without_saturated(values), PERCENTILES)
    return float(low), float(high)


def _without_saturated(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out the greatest value where few pixels have it, and all others lie far below it.

    This is a column that a sensor reads as full, or a scale bar. A bright object, saturated or not,
    has edges, whose values lie between.
    """
    top = values.max()
    others = values[values < top]
    if not 0 < values.size - others.size <= SATURATED * values.size:
        return values
    least, most = others.min(), others.max()
    return others if least < most < least + (top - least) / SATURATION_GAP else values


def _whole_range(dtype: np.dtype[Any]) -> IntensityMap:
    """Return the map of all that an integer holds."""
    info = np.iinfo(dtype)
    return IntensityMap(float(info.min), float(info.max), "full")


def _is_dim(used: tuple[float, float] | None, whole: IntensityMap) -> bool:
    """Return whether values use little of a range; a constant image does not count."""
    return used is not None and 0 < used[1] - used[0] < DIM * whole.span


def _nominal_range(
    array: Any, used: tuple[float, float] | None, filled: float
) -> tuple[float, float] | None:
    """Return the range that the dtype and the bulk of the values suggest; None if none fits.

    Bright values fill at least the part `filled` of it; `used` are the percentiles.
    """
    dtype = np.dtype(array.dtype)
    if used is None:
        return (0.0, 1.0) if dtype.kind == "f" else (0.0, float(np.iinfo(dtype).max))
    low, high = used
    if dtype.kind == "f":
        tiny = high < DARKEST and 0 < max(abs(float(end)) for end in extremes(array)) < DARKEST
        for top in FLOAT_RANGES:
            # Half a range of noise or overshoot on either side is still a picture in that range;
            # only in [0, 1] may it be dark.
            bright = high >= min(0.25, filled) * top or (top == FLOAT_RANGES[0] and not tiny)
            if bright and low >= -0.5 * top and high <= 1.5 * top:
                return 0.0, top
        return None
    tops = [2.0**bits - 1 for bits in BIT_DEPTHS]
    top = next((top for top in tops if high <= top), tops[-1])
    if low < -0.5 * top:
        signed = np.iinfo(dtype)
        return (float(signed.min), float(signed.max)) if signed.bits == 16 and not filled else None
    return (0.0, top) if high >= filled * top else None


def _robust_range(array: Any, used: tuple[float, float] | None) -> IntensityMap:
    """Return the percentiles, or the extremes where the percentiles coincide."""
    if used is None:
        return IntensityMap(0.0, 1.0, "constant")
    low, high = used
    if low < high and math.isfinite(high - low):
        return IntensityMap(low, high, "percentile")
    low, high = (float(v) for v in extremes(array))
    if low < high and math.isfinite(high - low):
        return IntensityMap(low, high, "extremes")
    # The next float up where adding 1 would be lost.
    return IntensityMap(low, max(low + 1.0, math.nextafter(low, math.inf)), "constant")


def _to_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cast floats to `dtype`: integers rounded and clipped, floats kept from overflowing to inf."""
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        # As a float, the greatest 64-bit integer rounds up to one that does not fit.
        top = float(info.max) if info.bits < 64 else math.nextafter(float(info.max), 0.0)
        values = np.clip(np.rint(values), float(info.min), top)
    else:
        largest = float(np.finfo(dtype).max)
        values = np.clip(values, -largest, largest)
    cast: NDArray[Any] = values.astype(dtype)
    return cast


def _add_to_wide_integers(original: NDArray[Any], change: NDArray[np.float64]) -> NDArray[Any]:
    """Exact sum of 64-bit integers and rounded floats, saturating instead of wrapping."""
    native = np.ascontiguousarray(original, dtype=original.dtype.newbyteorder("="))
    info = np.iinfo(native.dtype)
    # Modulo 2**64 the distances to both ends are right for signed and unsigned alike.
    bits = native.view(np.uint64)
    above = np.uint64(info.max) - bits
    below = bits - np.uint64(info.min % 2**64)
    up, down = _unsigned(np.rint(change)), _unsigned(np.rint(-change))
    total = bits + np.minimum(up, above) - np.minimum(down, below)
    result: NDArray[Any] = total.view(native.dtype).astype(original.dtype, copy=False)
    return result


def _unsigned(steps: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Cast to uint64; negative values become 0, and too large ones the greatest."""
    inside = np.clip(steps, 0, math.nextafter(2.0**64, 0)).astype(np.uint64)
    return np.where(steps >= 2.0**64, np.uint64(2**64 - 1), inside)
