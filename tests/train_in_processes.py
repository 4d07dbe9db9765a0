"""Run by test_processes: train commands, one after another, in the same two processes.

The processes are started as torchrun starts them, but forked where that is safe, so that PyTorch
is imported only once.
"""

from __future__ import annotations

import importlib
import json
import sys

import torch
import torch._dynamo  # which the first step of an optimiser imports
import torch.utils.tensorboard
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from napari_baryir.cli import main


def train(commands: list[list[str]]) -> None:
    torch.set_num_threads(1)
    for words in commands:
        if main(["train", *words]):
            sys.exit(1)


if __name__ == "__main__":
    importlib.import_module("napari_baryir.training.loop")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="tests",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method="fork" if sys.platform == "linux" else "spawn",
    )
    elastic_launch(config, train)(json.loads(sys.argv[1]))
