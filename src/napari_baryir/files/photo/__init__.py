"""Photographs, read and written: PNG, JPEG, WebP, AVIF, HEIC and BMP."""
