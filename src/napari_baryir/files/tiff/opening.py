"""Open the first image of a TIFF: the planes that the file itself holds, and no other file's."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_baryir.files.tiff.ome_part import own_part


@dataclass(frozen=True)
class Opened:
    """A TIFF that is open, and its first image."""

    file: tifffile.TiffFile
    series: tifffile.TiffPageSeries
    notes: tuple[str, ...] = ()
    """Remarks on parts that are left out because other files hold them; one sentence each."""


def open_first(path: Path) -> Opened:
    """Open a TIFF; the caller closes its `file`."""
    file = tifffile.TiffFile(path)
    try:
        if file.is_ome and (part := _ome_part(file)) is not None:
            xml, note = part
            file.close()
            file = tifffile.TiffFile(path, omexml=xml)
            return Opened(file, file.series[0], (note,))
        series = file.series[0]
        if series.is_multifile:
            return _own_pages(file, series)
        where = re.search(
            r'<[^<>]*BinaryOnly\b[^<>]*MetadataFile="([^"]*)"', file.ome_metadata or ""
        )
        notes = (f"its metadata lies in another file, {where.group(1)}",) if where else ()
        return Opened(file, series, notes)
    except BaseException:
        file.close()
        raise


def _ome_part(file: tifffile.TiffFile) -> tuple[str, str] | None:
    xml = file.ome_metadata or ""
    # Micro-Manager's own index is better than the OME-XML that it writes.
    if ("<UUID" not in xml and ":UUID" not in xml) or file.is_mmstack:
        return None
    with contextlib.suppress(ElementTree.ParseError, KeyError, ValueError):
        return own_part(xml, file.filename, len(file.pages))
    return None


def _own_pages(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Opened:
    """Cut the series of a set of files down to the pages of one."""
    own = [i for i, page in enumerate(series.pages) if page is not None and page.parent is file]
    if not own:
        note = "its planes lie in other files, and the whole set is read"
        return Opened(file, series, (note,))
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    leading = shape[: len(shape) - len(series.keyframe.shape)]
    while math.prod(leading) > len(series.pages):
        leading = leading[:-1]
    indices = np.unravel_index(own, leading)
    lengths = tuple(len(np.unique(each)) for each in indices)
    if math.prod(lengths) != len(own):
        # A set that was cut where a file was full: neither channels nor stacks are complete.
        axes, lengths = "T" + axes[len(leading) :], (len(own),)
    part = tifffile.TiffPageSeries(
        [series.pages[i] for i in own],
        (*lengths, *shape[len(leading) :]),
        series.dtype,
        axes,
        parent=file,
        kind=series.kind,
    )
    note = (
        "it is one of several files of an image; only its own planes are read "
        f"({len(own)} of {len(series.pages)}, {part.axes} {'x'.join(map(str, part.shape))})"
    )
    return Opened(file, part, (note,))
