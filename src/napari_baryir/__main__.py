"""``python -m napari_baryir``, and so ``torchrun -m napari_baryir``: the command line."""

from __future__ import annotations

import sys

from napari_baryir.cli import main

if __name__ == "__main__":
    sys.exit(main())
