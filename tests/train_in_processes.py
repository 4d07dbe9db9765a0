"""Run by torchrun in test_processes: train commands, one after another, in the same processes."""

from __future__ import annotations

import json
import sys

import torch

from napari_baryir.cli import main

if __name__ == "__main__":
    torch.set_num_threads(1)
    for words in json.loads(sys.argv[1]):
        if main(["train", *words]):
            sys.exit(1)
