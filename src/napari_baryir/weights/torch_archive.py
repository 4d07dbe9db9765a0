"""The zip archive that torch.save writes: its pickle, and its blocks of numbers."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator

import torch
from torch import Tensor

from napari_baryir.errors import WeightsError
from napari_baryir.weights.inert_values import StorageRef, TensorRef

MAX_PICKLE_BYTES = 16 * 2**20
"""The published checkpoint's pickle has about 0.3 MB; walking 16 MB takes some seconds."""

_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
}


class TorchArchive:
    """An open archive. Entries are found by name and read whole; nothing is unpacked to disk."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._bytes_left = size  # that tensors may still claim: no file holds more than its size
        pickles = [n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(pickles) != 1:
            raise WeightsError(
                f"it is a zip archive with {len(pickles)} entries named data.pkl instead of one, "
                "so it was not written by torch.save"
            )
        self._root = pickles[0].removesuffix("data.pkl")
        byte_order = f"{self._root}byteorder"
        if byte_order in archive.namelist() and self._read(byte_order, 16) != b"little":
            raise WeightsError("its numbers are not little-endian; save it again on this computer")

    def read_pickle(self) -> bytes:
        """Read the pickle, as bytes."""
        return self._read(f"{self._root}data.pkl", MAX_PICKLE_BYTES)

    def read_tensor(self, tensor: TensorRef) -> Tensor:
        """Read the numbers of a tensor, as float32.

        Raises
        ------
        WeightsError
            If the archive does not hold them, or they are not floating-point.
        """
        dtype = _DTYPES.get(tensor.storage.kind)
        if dtype is None:
            raise WeightsError(f"it has weights in a {tensor.storage.kind}; floats were expected")
        data = self._read_storage(tensor.storage, dtype.itemsize)
        self._bytes_left -= math.prod(tensor.shape) * dtype.itemsize
        if self._bytes_left < 0:
            raise WeightsError("its tensors claim more numbers than the file holds")
        if not data:
            return torch.empty(tensor.shape)
        flat = torch.frombuffer(data, dtype=dtype)
        # A copy, so that a small view does not keep a large block alive.
        view = flat.as_strided(tensor.shape, tensor.stride, tensor.offset)
        return view.to(torch.float32, copy=True)

    def _read_storage(self, storage: StorageRef, itemsize: int) -> bytearray:
        nbytes = storage.count * itemsize
        data = self._read(f"{self._root}data/{storage.key}", nbytes)
        if len(data) != nbytes:
            raise WeightsError(
                f"its block of numbers {storage.key} has {len(data)} bytes instead of {nbytes}"
            )
        return bytearray(data)

    def _read(self, name: str, limit: int) -> bytes:
        """Read an entry of at most `limit` bytes."""
        try:
            entry = self._archive.getinfo(name)
        except KeyError:
            raise WeightsError(f"its entry {name} is missing; the file is cut off") from None
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise WeightsError(f"its entry {name} is compressed, which torch.save never does")
        if entry.file_size > limit:
            raise WeightsError(
                f"its entry {name} has {entry.file_size} bytes; at most {limit} were expected"
            )
        with _damage_named():
            return self._archive.read(entry)


@contextlib.contextmanager
def open_archive(path: str | os.PathLike[str]) -> Iterator[TorchArchive]:
    """Open an archive of torch.save.

    Raises
    ------
    WeightsError
        If it is not a whole zip archive, or was not written by torch.save.
    """
    with _damage_named():
        archive = zipfile.ZipFile(path)
    with archive:
        yield TorchArchive(archive, os.path.getsize(path))


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    """Turn whatever zipfile raises on a damaged archive into a `WeightsError`."""
    try:
        yield
    # NotImplementedError (a RuntimeError): a feature of zip that is not supported; RuntimeError:
    # encrypted; the last four: nonsense in its tables.
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),
        *(ValueError, IndexError, OverflowError, struct.error),
    ) as error:
        raise WeightsError(f"its zip archive is damaged or cut off ({error})") from None
