# ruff: noqa: E501 (tables with a row per case)
"""Images, checkpoints and settings that were made to do harm; each maker is named."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
import zarr

from napari_baryir.network import BaryIR, RestormerConfig
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights.published import published_names

Maker = Callable[[Path, np.random.Generator], None]

DEEP = "[" * 100_000
"""JSON and TOML that a parser which calls itself cannot read."""


class Call:
    """Pickles as a call, which unpickling would run."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


PICKLES: dict[str, bytes] = {
    "system": pickle.dumps(Call(os.system, "touch ../sprung"), 2),
    "exec": pickle.dumps(Call(exec, "open('../sprung', 'w')"), 2),
    "eval in a tensor": pickle.dumps(
        {"state_dict": {"a": Call(eval, "open('../sprung', 'w')")}}, 2
    ),
    "protocol 4": pickle.dumps(Call(os.system, "touch ../sprung"), 4),
    "getattr": pickle.dumps(Call(getattr, 1, "__class__"), 2),
    "nested tuples": b"\x80\x02)" + b"\x85" * 100_000 + b".",
    "nested lists": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "marks without end": b"\x80\x02" + b"(" * 100_000 + b".",
    "long number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "far memo": b"\x80\x02]r\xff\xff\xff\xff.",
    "empty stack": b"\x80\x020000.",
    "extension": b"\x80\x02\x82\x01.",
    "unknown name": b"\x80\x02ctorch\nload\n(X\x01\x00\x00\x00atR.",
    "instance": b"(ios\nsystem\n.",
    "size": b"\x80\x02ctorch\nSize\n(K\x01K\x02t\x85R.",
    "huge tensor": b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00"
    b"storageq\x01ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00\x8a\x06"
    b"\xff\xff\xff\xff\xff\x0f\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.",
    "no pickle": b"hello",
    "nothing": b"",
}


def _archive(data: bytes, **more: Any) -> Maker:
    def make(path: Path, rng: np.random.Generator) -> None:
        with zipfile.ZipFile(path, "w", more.get("packed", zipfile.ZIP_STORED)) as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/data/0", b"\0" * more.get("zeros", 4))
            archive.writestr("archive/version", "3\n")

    return make


def published(path: Path) -> None:
    """Write a sound checkpoint."""
    config = VARIANTS["tiny-restormer"]
    assert isinstance(config, RestormerConfig)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tensors = BaryIR(config).state_dict()
    names = published_names(config)
    torch.save({"state_dict": {old: tensors[new].clone() for old, new in names.items()}}, path)


def _changed_pickle(path: Path, rng: np.random.Generator) -> None:
    """Change bytes in the pickle of a sound checkpoint, whose checksums stay right."""
    published(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            changed = bytearray(content)
            if name.endswith("data.pkl"):
                for place in rng.integers(0, len(changed), int(rng.integers(1, 9))):
                    changed[place] = int(rng.integers(256))
            archive.writestr(name, bytes(changed))


def _cut_checkpoint(path: Path, rng: np.random.Generator) -> None:
    published(path)
    os.truncate(path, int(rng.integers(path.stat().st_size)))


CHECKPOINTS: dict[str, Maker] = {
    **{name: _archive(data) for name, data in PICKLES.items()},
    "bare pickle": lambda path, rng: _written(path, PICKLES["system"]),
    "packed zeros": _archive(PICKLES["nothing"], zeros=2**27, packed=zipfile.ZIP_DEFLATED),
    "changed pickle": _changed_pickle,
    "changed pickle again": _changed_pickle,
    "cut off": _cut_checkpoint,
    "text": lambda path, rng: _written(path, b"<!doctype html>not found"),
    "safetensors of nothing": lambda path, rng: _written(path, struct.pack("<Q", 2) + b"{}"),
}


def _png(width: int, height: int, *chunks: tuple[bytes, bytes], rows: bytes = b"\0" * 9) -> Maker:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    def make(path: Path, rng: np.random.Generator) -> None:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        body = b"".join(chunk(*each) for each in chunks)
        tail = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        _written(path, b"\x89PNG\r\n\x1a\n" + head + body + tail)

    return make


_ROWS = (b"\0" + bytes(range(16))) * 16
_ZEROS = zlib.compress(bytes(2**26))


def _tiff(tags: list[tuple[int, int, int, int]], tail: bytes = b"", next_ifd: int = 0) -> Maker:
    def make(path: Path, rng: np.random.Generator) -> None:
        ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        _written(path, b"II*\0\x08\0\0\0" + ifd + struct.pack("<I", next_ifd) + tail)

    return make


def _tags(width: int, height: int, packed: int, offset: int, count: int) -> Any:
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, packed),
            (262, 3, 1, 1), (273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, height),
            (279, 4, 1, count)]  # fmt: skip


def _described(description: str, **more: Any) -> Maker:
    def make(path: Path, rng: np.random.Generator) -> None:
        image = rng.integers(0, 200, (20, 30), np.uint8)
        tifffile.imwrite(path, image, description=description, metadata=None, **more)

    return make


_OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="I"><Pixels ID="P" DimensionOrder="XYCZT" Type="uint8" SizeX="{x}" SizeY="20" SizeC="1" SizeZ="{z}" SizeT="1">{more}</Pixels></Image></OME>'
_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {new} "{10 * f"&{old};"}">'
        for old, new in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + "]>"
)
_FILE = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def _zarr(change: Callable[[dict[str, Any], dict[str, Any]], Any], version: int = 2) -> Maker:
    """Write a sound OME-Zarr 0.4 and change the JSON of its group and of its array."""

    def make(path: Path, rng: np.random.Generator) -> None:
        group = zarr.open_group(path, mode="w", zarr_format=2)
        array = group.create_array("0", shape=(20, 30), chunks=(10, 30), dtype="u2")
        array[...] = rng.integers(0, 4000, (20, 30))
        axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
        files = path / ".zattrs", path / "0" / ".zarray"
        values = [json.loads(file.read_bytes()) for file in files]
        change(*values)
        for file, value in zip(files, values, strict=True):
            file.write_text(json.dumps(value))

    return make


def _zarr_pickle(path: Path, rng: np.random.Generator) -> None:
    """Write chunks that numcodecs would unpickle."""
    _zarr(lambda group, array: array.update(filters=None, compressor={"id": "pickle"}))(path, rng)
    for chunk in ("0.0", "1.0"):
        _written(path / "0" / chunk, PICKLES["system"])


def _zarr_objects(path: Path, rng: np.random.Generator) -> None:
    odd = {"filters": [{"id": "pickle"}], "compressor": None, "dtype": "|O", "fill_value": 0}
    _zarr(lambda group, array: array.update(odd))(path, rng)
    _written(path / "0" / "0.0", PICKLES["system"])


def _path(text: Any) -> Maker:
    return _zarr(lambda group, array: group["multiscales"][0].update(datasets=[{"path": text}]))


def _scales(value: Any) -> Maker:
    return _zarr(lambda group, array: group.update(multiscales=value))


def _deep_zarr(path: Path, rng: np.random.Generator) -> None:
    path.mkdir()
    _written(path / ".zgroup", b'{"zarr_format": 2}')
    _written(path / ".zattrs", DEEP.encode())


def _outside_zip(path: Path, rng: np.random.Generator) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../sprung", "x")
        archive.writestr("zarr.json", json.dumps({"zarr_format": 3, "node_type": "group",
                         "attributes": {"ome": {"version": "0.5", "multiscales": [{}]}}}))  # fmt: skip


IMAGES: dict[str, tuple[str, Maker]] = {
    "claims 10 GB": (".png", _png(100_000, 100_000)),
    "claims 2^31 pixels a side": (".png", _png(2**31 - 1, 2**31 - 1)),
    "no pixels": (".png", _png(0, 16)),
    "more rows than there are": (".png", _png(16, 4, rows=_ROWS)),
    "text of 64 MB": (".png", _png(16, 16, (b"zTXt", b"a\0\0" + _ZEROS), rows=_ROWS)),
    "profile of 64 MB": (".png", _png(16, 16, (b"iCCP", b"a\0\0" + _ZEROS), rows=_ROWS)),
    "odd EXIF": (".png", _png(16, 16, (b"eXIf", b"II*\0\xff\xff\xff\xff"), rows=_ROWS)),
    "odd density": (".png", _png(16, 16, (b"pHYs", b"\0" * 9), rows=_ROWS)),
    "huge TIFF": (".tif", _tiff(_tags(2**31, 2**31, 1, 8, 2**32 - 1), bytes(99))),
    "wide TIFF": (".tif", _tiff(_tags(2**20, 2**14, 1, 8, 2**32 - 1), bytes(99))),
    "packed TIFF": (".tif", _tiff(_tags(64, 64, 8, 122, len(_ZEROS)), _ZEROS)),
    "packed huge TIFF": (".tif", _tiff(_tags(2**17, 2**17, 8, 122, len(_ZEROS)), _ZEROS)),
    "loop of pages": (".tif", _tiff(_tags(16, 16, 1, 122, 256), bytes(256), next_ifd=8)),
    "page behind the end": (".tif", _tiff(_tags(16, 16, 1, 122, 256), bytes(256), next_ifd=2**31)),
    "no tags": (".tif", _tiff([])),
    "tag of 4 billion": (".tif", _tiff([*_tags(16, 16, 1, 134, 256), (270, 2, 2**32 - 1, 8)], bytes(256))),
    "ImageJ of a billion": (".tif", _described("ImageJ=1.5\nimages=1000000000\nslices=1000000000\n")),
    "ImageJ of minus one": (".tif", _described("ImageJ=1.5\nimages=-1\nframes=-1\n")),
    "OME of a billion": (".tif", _described(_OME.format(x=30, z=10**9, more="<TiffData/>"))),
    "OME of another size": (".tif", _described(_OME.format(x=31, z=1, more="<TiffData/>"))),
    "OME of nothing": (".tif", _described(_OME.format(x="", z="a", more=""))),
    "billion laughs": (".tif", _described(_LAUGHS + _OME.format(x=30, z=1, more="&j;"))),
    "XML of a file": (".tif", _described(_FILE + _OME.format(x=30, z=1, more="&a;"))),
    "deep XML": (".tif", _described(_OME.format(x=30, z=1, more="<a>" * 10**5))),
    "OME elsewhere": (".tif", _described(_OME.format(x=30, z=1, more='<TiffData><UUID FileName="/etc/passwd">urn:uuid:1</UUID></TiffData>'))),
    "shaped": (".tif", _described('{"shape": [99999999, 99999999]}')),
    "deep shaped": (".tif", _described('{"shape": ' + DEEP)),
    "pickled chunks": (".zarr", _zarr_pickle),
    "pickled objects": (".zarr", _zarr_objects),
    "deep JSON": (".zarr", _deep_zarr),
    "above itself": (".zarr", _path("../../other")),
    "absolute": (".zarr", _path("/etc")),
    "path is a number": (".zarr", _path(7)),
    "path is itself": (".zarr", _path("")),
    "huge array": (".zarr", _zarr(lambda g, a: a.update(shape=[10**9, 10**9]))),
    "huge chunk": (".zarr", _zarr(lambda g, a: a.update(shape=[10**6, 10**6], chunks=[10**6, 10**6]))),
    "chunks of nothing": (".zarr", _zarr(lambda g, a: a.update(chunks=[0, 0]))),
    "negative shape": (".zarr", _zarr(lambda g, a: a.update(shape=[-20, 30]))),
    "unknown codec": (".zarr", _zarr(lambda g, a: a.update(compressor={"id": "evil"}))),
    "odd fill": (".zarr", _zarr(lambda g, a: a.update(fill_value="NaN"))),
    "text array": (".zarr", _zarr(lambda g, a: a.update(dtype="<U3"))),
    "structured array": (".zarr", _zarr(lambda g, a: a.update(dtype=[["a", "<u2"]]))),
    "no list of images": (".zarr", _scales({"0": 1})),
    "image is a number": (".zarr", _scales([7])),
    "image is empty": (".zarr", _scales([{}])),
    "no levels": (".zarr", _scales([{"version": "0.4", "datasets": []}])),
    "many levels": (".zarr", _scales([{"version": "0.4", "datasets": [{"path": "0"}] * 5000}])),
    "axes of nothing": (".zarr", _scales([{"version": "0.4", "axes": [None, {}], "datasets": [{"path": "0"}]}])),
    "odd steps": (".zarr", _scales([{"version": "0.4", "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": ["a", None]}]}]}])),
    "zip outside": (".ozx", _outside_zip),
    "zip of nothing": (".ozx", lambda path, rng: _written(path, b"PK\5\6" + bytes(18))),
    "pipe": (".png", lambda path, rng: os.mkfifo(path)),
    "endless device": (".png", lambda path, rng: path.symlink_to("/dev/zero")),
    "link to itself": (".tif", lambda path, rng: path.symlink_to(path.name)),
    "huge BMP": (".bmp", lambda path, rng: _written(path, b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0))),
    "JPEG of the largest size": (".jpg", lambda path, rng: _written(path, b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\1\x03\x11\1\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0" + bytes(99))),
}  # fmt: skip
"""Name to suffix and maker."""


def _written(path: Path, content: bytes) -> None:
    path.write_bytes(content)
