"""Take arrays of xarray by what they have, and give the same back with other values.

xarray is no dependency.
"""

from __future__ import annotations

from typing import Any

from napari_baryir.errors import InputError

LETTERS = {
    "t": "T", "time": "T", "z": "Z", "depth": "Z", "c": "C", "channel": "C", "band": "C",
    "y": "Y", "row": "Y", "x": "X", "column": "X", "s": "S", "sample": "S", "rgb": "S",
}  # fmt: skip
"""Names of dimensions, in small letters and the singular, to axes."""


def is_labelled(image: Any) -> bool:
    """Return whether an image is an array with named dimensions, coordinates and attributes."""
    return all(hasattr(image, name) for name in ("dims", "coords", "attrs", "data", "copy"))


def values_of(image: Any) -> Any:
    """Return the NumPy or dask array of an image that may be labelled."""
    return image.data if is_labelled(image) else image


def named_axes(image: Any) -> str | None:
    """Read the names of the dimensions as axes; None without names, which leaves them to a guess.

    Raises
    ------
    InputError
        If a name is not known.
    """
    if not is_labelled(image):
        return None
    names = [str(dim) for dim in image.dims]
    if names == [f"dim_{number}" for number in range(len(names))]:
        return None
    axes = [LETTERS.get(name.lower()) or LETTERS.get(name.lower()[:-1]) for name in names]
    for name, letter in zip(names, axes, strict=True):
        if letter is None:
            raise InputError(
                f"dimension {name!r} of the image is not known as an axis; rename it to one of "
                "t, z, c, y, x, s (samples of RGB), or give axes"
            )
    return "".join(filter(None, axes))
