"""PNG and JPEG, read and written."""
