"""TIFF and OME-TIFF, read and written."""
