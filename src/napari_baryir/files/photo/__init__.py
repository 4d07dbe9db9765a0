"""Photographs, read and written: PNG, JPEG, WebP, AVIF and BMP."""
