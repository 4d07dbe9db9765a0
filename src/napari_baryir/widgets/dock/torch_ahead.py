"""Loads PyTorch's libraries without stopping other threads, before Python imports it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

LIBRARIES = (("libtorch_global_deps.so", "RTLD_GLOBAL"), ("libtorch_python.so", "RTLD_LOCAL"))
"""Those of Linux with which importing torch begins, in its order; they bring all others."""


def load_libraries() -> bool:
    """Load what importing torch would load while it holds Python's lock.

    That is hundreds of megabytes: the window would stand still for half a second, and from a cold
    disk for many. To be called in the thread that then imports torch.

    Returns
    -------
    Whether they are loaded now. If not, because they are elsewhere or lack something that torch
    finds by itself, then importing torch works all the same.
    """
    if "torch" in sys.modules:
        return True
    if sys.platform != "linux":
        return False
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    # ctypes opens a library with the lock held; a foreign function, such as dlopen, runs without.
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    folder = Path(found.origin).parent / "lib"
    return all(
        dlopen(os.fsencode(folder / name), os.RTLD_NOW | getattr(os, mode))
        for name, mode in LIBRARIES
    )
