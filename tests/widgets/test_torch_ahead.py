"""PyTorch's libraries are loaded ahead of it, and it works with them."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADING = """
import sys
from pathlib import Path
from napari_baryir.widgets.dock.steps import load_libraries
loaded = load_libraries()
assert "torch" not in sys.modules
assert loaded == ("libtorch_cpu.so" in Path("/proc/self/maps").read_text())
import torch
assert torch.ones(2, 2).mm(torch.ones(2, 2)).sum().item() == 8
assert load_libraries()
sys.stdout.write(str(loaded))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is loaded ahead")
def test_libraries_are_there_before_torch_and_torch_works_with_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True"
