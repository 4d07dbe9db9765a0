# ruff: noqa: E501 (tables with a row per case)
"""Write images in many kinds of each format, some of them odd; each writer is named."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from PIL import Image

Array = np.ndarray[Any, Any]
Writer = Callable[[Path, np.random.Generator], None]


def picture(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "u1") -> Array:
    """Return noise over a slope, in most of the range of its dtype."""
    slope = np.linspace(0.1, 0.8, shape[-2])[:, np.newaxis]
    values = np.clip(slope + rng.normal(0, 0.1, shape), 0, 1)
    kind = np.dtype(dtype)
    return (values if kind.kind == "f" else values * np.iinfo(kind).max).astype(kind)


def _tiff(shape: tuple[int, ...], dtype: str = "u1", **options: Any) -> Writer:
    def write(path: Path, rng: np.random.Generator) -> None:
        tifffile.imwrite(path, picture(rng, shape, dtype), **options)

    return write


def _pil(mode: str, kind: str, **options: Any) -> Writer:
    def write(path: Path, rng: np.random.Generator) -> None:
        samples = {"RGB": 3, "RGBA": 4, "LA": 2, "CMYK": 4}.get(mode)
        if mode == "1":
            image = Image.fromarray(picture(rng, (20, 30)) > 100)
        elif mode == "P":
            image = Image.fromarray(picture(rng, (20, 30, 3))).quantize(16)
        elif mode == "I;16":
            image = Image.fromarray(picture(rng, (20, 30), "u2"))
        else:
            shape = (36, 40) if samples is None else (36, 40, samples)
            image = Image.fromarray(picture(rng, shape), mode)
        image.save(path, kind, **options)

    return write


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _zarr(
    shape: tuple[int, ...], axes: str, version: str, dtype: str = "u2", levels: int = 1, **odd: Any
) -> Writer:
    def write(path: Path, rng: np.random.Generator) -> None:
        group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
        chunks = tuple(max(1, n // 2 + 1) for n in shape)
        datasets = []
        for level in range(levels):
            part = picture(rng, tuple(max(1, n >> level) for n in shape), dtype)
            stored = group.create_array(f"s{level}", shape=part.shape, dtype=part.dtype,
                                        chunks=tuple(map(min, chunks, part.shape)))  # fmt: skip
            stored[...] = part
            steps = [{"type": "scale", "scale": [float(2**level)] * len(shape)}]
            datasets.append({"path": f"s{level}", "coordinateTransformations": steps})
        listed = [{"name": letter.lower(), "type": "space"} for letter in axes]
        multiscale = {"version": version, "axes": listed, "datasets": datasets, **odd}
        holder = {"multiscales": [multiscale]}
        group.attrs.update({"ome": holder | {"version": version}} if version == "0.5" else holder)

    return write


def _zipped(path: Path, rng: np.random.Generator) -> None:
    folder = path.with_name("to-zip")
    _zarr((2, 20, 30), "ZYX", "0.5")(folder, rng)
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder).as_posix())
            if file.is_file():
                file.unlink()
    for each in sorted(folder.rglob("*"), reverse=True):
        each.rmdir()
    folder.rmdir()


WRITERS: dict[str, dict[str, Writer]] = {
    ".tif": {
        "plain": _tiff((20, 30)),
        "RGB": _tiff((20, 30, 3), photometric="rgb"),
        "RGBA planar": _tiff((4, 20, 30), photometric="rgb", planarconfig="separate",
                             extrasamples=["unassalpha"]),
        "associated alpha": _tiff((20, 30, 4), photometric="rgb", extrasamples=["assocalpha"]),
        "ImageJ": _tiff((2, 3, 20, 30), "u2", imagej=True, metadata={"axes": "ZCYX", "unit": "um"}),
        "OME": _tiff((2, 2, 20, 30), "u2", ome=True, metadata={"axes": "TCYX", "PhysicalSizeX": 0.1}),
        "OME float": _tiff((3, 20, 30), "f4", ome=True, metadata={"axes": "ZYX"}),
        "big": _tiff((20, 30), "f8", bigtiff=True),
        "big-endian": _tiff((3, 20, 30), "i2", byteorder=">"),
        "32 bits": _tiff((20, 30), "u4"),
        "64 bits": _tiff((20, 30), "i8"),
        "half": _tiff((20, 30), "f2"),
        "deflate": _tiff((20, 30), "u2", compression="zlib", predictor=True),
        "zstd tiles": _tiff((40, 50, 3), photometric="rgb", compression="zstd", tile=(16, 16)),
        "lzw": _tiff((20, 30), compression="lzw"),
        "JPEG": _tiff((32, 32, 3), photometric="rgb", compression="jpeg"),
        "min is white": _tiff((20, 30), photometric="miniswhite"),
        "palette": _tiff((20, 30), photometric="palette",
                         colormap=np.arange(768, dtype=np.uint16).reshape(3, 256) * 80),
        "bits": lambda path, rng: tifffile.imwrite(path, picture(rng, (20, 30)) > 100),
        "complex": lambda path, rng: tifffile.imwrite(path, np.ones((20, 30), np.complex64)),
        "NaN": lambda path, rng: tifffile.imwrite(path, np.full((20, 30), np.nan, np.float32)),
        "one pixel": _tiff((1, 1)),
        "line": _tiff((1, 300)),
        "many pages": _tiff((40, 9, 9)),
        "CMYK": _pil("CMYK", "TIFF"),
        "turned": _tiff((20, 30), extratags=[(274, 3, 1, 6, True)]),
    },
    ".png": {
        **{mode: _pil(mode, "PNG") for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "I;16")},
        "EXIF": _pil("RGB", "PNG", exif=_exif(6), dpi=(72, 72)),
        "16 bit RGB": lambda path, rng: _png16(path, picture(rng, (20, 30, 3), "u2")),
    },
    ".jpg": {
        **{mode: _pil(mode, "JPEG") for mode in ("L", "RGB", "CMYK")},
        "turned": _pil("RGB", "JPEG", exif=_exif(8)),
        "progressive": _pil("RGB", "JPEG", progressive=True),
        "comment": _pil("L", "JPEG", comment=b"\xff\0odd"),
    },
    ".webp": {"RGB": _pil("RGB", "WEBP"), "RGBA": _pil("RGBA", "WEBP", lossless=True)},
    ".avif": {"RGB": _pil("RGB", "AVIF")},
    ".bmp": {"RGB": _pil("RGB", "BMP"), "P": _pil("P", "BMP"), "1": _pil("1", "BMP")},
    ".ome.zarr": {
        "0.5": _zarr((2, 20, 30), "CYX", "0.5"),
        "0.4": _zarr((2, 3, 20, 30), "TZYX", "0.4", levels=2),
        "float": _zarr((20, 30), "YX", "0.5", "f4"),
        "odd axes": _zarr((20, 30), "AB", "0.4"),
        "colours": _zarr((3, 20, 30), "CYX", "0.4", "u1"),
    },
    ".ozx": {"0.5": _zipped},
}  # fmt: skip


def _png16(path: Path, array: Array) -> None:
    import imagecodecs

    path.write_bytes(bytes(imagecodecs.png_encode(array)))


def damage(path: Path, how: str, rng: np.random.Generator) -> None:
    """Damage a file, or a file inside of a folder."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        path = files[int(rng.integers(len(files)))]
    content = bytearray(path.read_bytes())
    if how == "missing part":
        path.unlink()
        return
    if how == "cut off":
        del content[int(rng.integers(len(content))) :]
    elif how == "flipped bits":
        for place in rng.integers(0, len(content), int(rng.integers(1, 6))):
            content[place] ^= 1 << int(rng.integers(8))
    elif how == "wrong header":
        for place in rng.integers(0, min(len(content), 400), int(rng.integers(1, 4))):
            content[place] = int(rng.choice([0, 1, 127, 128, 255]))
    elif how == "digits" and (places := [i for i, byte in enumerate(content) if 48 <= byte <= 57]):
        for place in rng.choice(places, 2):  # of sizes and of JSON
            content[place] = 48 + int(rng.integers(10))
    elif how == "zeros":
        start = int(rng.integers(len(content)))
        content[start : start + 64] = bytes(len(content[start : start + 64]))
    elif how == "tail":
        content += rng.bytes(100)
    elif how == "empty":
        content.clear()
    elif how == "noise":
        content = bytearray(rng.bytes(200))
    path.write_bytes(content)


DAMAGES = (
    "missing part", "cut off", "flipped bits", "wrong header", "digits", "zeros", "tail", "empty",
    "noise",
)  # fmt: skip
