"""Restoring in processes that are forked after their parent has restored."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing
import dask.array as da
import numpy as np
from napari_baryir import restore

def work(seed):
    image = np.random.default_rng(seed).integers(0, 4000, (256, 256)).astype(np.uint16)
    image = LAZY(image)
    return float(np.asarray(restore(image, axes="YX", device="cpu").image).mean())

first = work(1)
with multiprocessing.get_context("fork").Pool(1) as pool:
    again = pool.map_async(work, [1]).get(timeout=60)
assert abs(again[0] - first) < 1, (again, first)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.parametrize("lazy", ["np.asarray", "da.from_array"])
def test_a_forked_process_restores_as_its_parent_did(lazy: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}  # one thread alone never hangs
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("LAZY", lazy)], env=environment, capture_output=True,
        check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
