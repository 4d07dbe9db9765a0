"""Decide whether an image can be restored, before any work and without torch.

Arrays of xarray are recognised by what they have, since xarray is no dependency.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from napari_baryir.errors import InputError
from napari_baryir.imaging.axes import PlaneLayout, axis_named, guess_axes

_ADVICE = {
    "b": "it has no intensities; convert it with image.astype('uint8') if it has",
    "c": "give image.real and image.imag, or abs(image), instead",
    "O": "give one array of numbers",
}


def is_dask(image: Any) -> bool:
    """Return whether `image` is a dask array, of whatever subclass."""
    modules = {kind.__module__.split(".")[0] for kind in type(image).__mro__}
    return "dask" in modules and hasattr(image, "chunks")


def is_zarr(image: Any) -> bool:
    """Return whether `image` is a zarr array."""
    return type(image).__module__.split(".")[0] == "zarr" and hasattr(image, "chunks")


def as_array(image: Any) -> Any:
    """Return a dask array as it is, zarr as dask, and anything else as NumPy.

    What xarray holds is taken out of it, and a tensor of torch is read from its device. Raises
    `InputError` if it is not one array, or is masked.
    """
    if image is None or isinstance(image, str | bytes | os.PathLike):
        raise InputError(
            f"the image is {image!r}, not an array; read the file first, for instance with "
            "napari_baryir.files.read_image or tifffile.imread"
        )
    image = values_of(image)
    advice = "of a multiscale image give level 0"
    if type(image).__module__.split(".")[0] == "torch":
        image, advice = image.detach().cpu(), "give image.float()"
    if is_dask(image):
        if any(length != length for length in image.shape):  # NaN: dask does not know it
            raise InputError(
                "the dask array has dimensions of unknown length; call its compute_chunk_sizes()"
            )
        return image
    if is_zarr(image):
        import dask.array

        lazy: Any = dask.array
        return lazy.from_zarr(image)
    if isinstance(image, np.ma.MaskedArray):
        raise InputError("the image is a masked array; give image.filled(numpy.nan) instead")
    try:
        return np.asarray(image)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the image ({type(image).__name__}) is not one array: {error}; {advice}"
        ) from None


def is_labelled(image: Any) -> bool:
    """Return whether an image is an array whose dimensions have names, as those of xarray."""
    return isinstance(getattr(image, "dims", None), tuple) and hasattr(image, "data")


def values_of(image: Any) -> Any:
    """Return the NumPy or dask array of an image that may be labelled."""
    return image.data if is_labelled(image) else image


def axes_of_dims(image: Any) -> str | None:
    """Read the names of an image's dimensions as axes; None where they have none.

    Raises `InputError` if a name is not known.
    """
    if not is_labelled(image) or list(image.dims) == [f"dim_{i}" for i in range(len(image.dims))]:
        return None
    axes = [axis_named(name) for name in image.dims]
    if "" in axes:
        raise InputError(
            f"dimension {str(image.dims[axes.index('')])!r} of the image is not known as an axis; "
            "rename it to one of t, z, c, y, x, s (samples of RGB), or give axes"
        )
    return "".join(axes)


def check_image(
    image: Any, axes: str | None = None, done: str = "restored"
) -> tuple[PlaneLayout, bool]:
    """Lay out an array from `as_array`, and say whether its axes were guessed.

    Raises `InputError` if the dtype is not an integer or a float of up to 64 bits, the image is
    empty, or the axes do not fit. `done` is the word for the work in its message.
    """
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        advice = _ADVICE.get(dtype.kind, "convert it to float32 first")
        raise InputError(f"images of dtype {dtype} cannot be {done}; {advice}")
    guessed = axes is None
    return PlaneLayout.of(image, guess_axes(image.shape) if axes is None else axes), guessed
