"""Networks whose answer is known, in place of real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_baryir.network import BaryIR, BaryIROutput
from napari_baryir.network.variants import VARIANTS


class FakeNetwork(nn.Module):
    """Keeps the sizes of the tiles that it saw; changes nothing."""

    size_multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []
        self.eval()  # a network in training mode would be copied, and `seen` with it

    def answer(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> BaryIROutput:
        assert x.dtype == torch.float32
        assert x.shape[1] == 3
        assert x.shape[2] % 8 == x.shape[3] % 8 == 0
        self.seen.append((x.shape[2], x.shape[3]))
        return BaryIROutput(self.answer(x), x, x, x)


class Identity(FakeNetwork):
    """Answers its input."""


class Brighter(FakeNetwork):
    """Adds a tenth of the range."""

    def answer(self, x: Tensor) -> Tensor:
        return x + 0.1


class Inverse(FakeNetwork):
    """Swaps dark and bright, so that every pixel matters and none depends on another."""

    def answer(self, x: Tensor) -> Tensor:
        return 1 - x


class OutOfMemory(Inverse):
    """Cannot hold tiles of more than `limit` pixels a side."""

    def __init__(self, limit: int, error: type[Exception] | Exception) -> None:
        super().__init__()
        self.limit = limit
        self.error = error

    def answer(self, x: Tensor) -> Tensor:
        if max(x.shape[2:]) > self.limit:
            raise self.error
        return super().answer(x)


def random_gated_network() -> BaryIR:
    """The smallest gated network, with seeded weights under which every layer acts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BaryIR(VARIANTS["tiny"])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()
