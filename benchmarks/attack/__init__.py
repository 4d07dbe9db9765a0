"""Attack the library with hostile arrays, files, weights and faults.

Whatever comes, nothing is lost, nothing from a file is executed, nothing hangs, and every error is
one of `napari_baryir.errors` or one that the documentation names.
"""
