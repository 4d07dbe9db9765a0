"""Many images, one after the other: which files, and where results go."""
