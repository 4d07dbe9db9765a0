"""Read image files with axes and metadata, and write them back whole or not at all.

TIFF (OME, ImageJ and microscopes' own among them), PNG, JPEG, WebP, AVIF, HEIC, BMP and
OME-Zarr; CZI, ND2 and LIF are read. ``formats.FORMATS`` is the table.
"""

from napari_baryir.files.formats import (
    FORMATS,
    FileFormat,
    format_name,
    is_image_path,
    result_place,
)
from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.reading import images_inside, read_image
from napari_baryir.files.writing import open_output, write_image

__all__ = [
    "FORMATS",
    "FileFormat",
    "ImageFile",
    "format_name",
    "images_inside",
    "is_image_path",
    "open_output",
    "read_image",
    "result_place",
    "write_image",
]
