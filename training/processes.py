"""Several processes that train one network: each makes its share of every batch.

``torchrun`` starts them, Lightning Fabric joins them: on CPUs by gloo, on GPUs by NCCL. Fabric and
not Accelerate, since its ``all_gather`` carries gradients, which contrast over the whole batch
needs. Gradients are averaged here rather than in a DDP module: the loop calls encode, decode and
barycenter_map, and DDP counts on forward alone.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from napari_baryir.devices import choose_device
from napari_baryir.errors import DataError, DeviceError, InputError
from napari_baryir.training.recipe import TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(hours=2)
"""Time that processes wait for the first one, which validates and writes."""


class Share(NamedTuple):
    """The part of every batch that a process makes: one of several blocks of the same size."""

    number: int = 0
    of: int = 1

    def numbers(self, batch: int) -> range:
        """Return the numbers of its samples in a batch of that many."""
        each = batch // self.of
        return range(self.number * each, (self.number + 1) * each)


WHOLE = Share()


@dataclass(frozen=True)
class Launched:
    """The rank that ``torchrun`` gave this process; without it there is one."""

    number: int = 0
    count: int = 1
    local_number: int = 0
    """Among those on this computer."""
    local_count: int = 1


def launched() -> Launched:
    """Read what ``torchrun`` says in the environment."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Launched()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return Launched(*(int(os.environ[name]) for name in names))


def refuse_several(what: str) -> None:
    """Raise `InputError` where several processes would write the same files."""
    count = launched().count
    if count > 1:
        raise InputError(f"{what} runs in one process, not in {count}; start it without torchrun")


class Processes:
    """This process and those that it trains with; alone where no Fabric is given.

    Gathered tensors are the same in every process, and so are losses and gradients of everything
    that is computed from it. Going backward, gathering adds up the gradients of all processes,
    which are equal: `average_gradients` then leaves what one process would have had.
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self._fabric = fabric
        number, count = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
        self.share = Share(number, count)

    @property
    def first(self) -> bool:
        """Return whether this is the process that validates, logs and writes."""
        return self.share.number == 0

    def gather(self, share: Tensor) -> Tensor:
        """Put the shares of all processes together, with gradients: (b, ...) to (B, ...)."""
        if self._fabric is None:
            return share
        gathered = self._fabric.all_gather(share, sync_grads=True)
        assert isinstance(gathered, Tensor)
        return gathered.flatten(0, 1)

    def gather_some(self, rows: Tensor, which: Tensor) -> Tensor:
        """Put together what processes have for some of their samples only.

        `rows` are (n, ...), for those n of the b samples of this process that `which`, (b,) bool,
        names.
        """
        if self._fabric is None:
            return rows
        # Gathering wants the same shape everywhere.
        padded = rows.new_zeros(len(which), *rows.shape[1:])
        padded = padded.index_copy(0, which.nonzero().squeeze(1), rows)
        return self.gather(padded)[self.gather(which.long()).bool()]

    def average_gradients(self, module: nn.Module) -> None:
        """Give every process the mean of the gradients of all."""
        if self._fabric is None:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        # One message for all of them.
        mean = self._fabric.all_reduce(torch.cat([g.flatten() for g in gradients]))
        assert isinstance(mean, Tensor)
        for gradient, own in zip(
            gradients, mean.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(own.view_as(gradient))

    def start_alike(self, step: int, *modules: nn.Module) -> None:
        """Give all processes the first one's modules; raise `DataError` unless they start from one
        step.

        What was computed before the first step may differ in its last bits between GPUs.
        """
        if self._fabric is None:
            return
        steps = self.gather(torch.tensor([step], device=self._fabric.device)).tolist()
        if len(set(steps)) > 1:
            raise DataError(
                f"the processes start from steps {steps}: they do not see the same checkpoint; "
                "output must be a folder that all computers share"
            )
        with torch.no_grad():
            for value in (v for module in modules for v in module.state_dict().values()):
                gathered = self._fabric.all_gather(value)
                assert isinstance(gathered, Tensor)
                value.copy_(gathered[0])

    def wait(self) -> None:
        """Wait for all."""
        if self._fabric is not None:
            self._fabric.barrier()


ALONE = Processes()


def join(device: torch.device, batch: int) -> Processes:
    """Meet the other processes, if ``torchrun`` started any; a step has `batch` samples in all.

    Raises `InputError` if they cannot share the batch evenly, or Lightning Fabric is not installed.
    """
    rank = launched()
    if rank.count == 1:
        return ALONE
    if batch % rank.count:
        raise InputError(
            f"a step has {batch} samples, which {rank.count} processes cannot share evenly; make "
            "data.batch, with data.in_turn and data.side_by_side (or data.shuffled), a multiple of "
            f"{rank.count}, or start another number of processes"
        )
    # Fabric itself calls this deprecated function of PyTorch's.
    warnings.filterwarnings("ignore", r"torch\.distributed\.nn\.functional\.all_gather is depr")
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise InputError(
            "training in several processes needs Lightning Fabric; "
            "install it with: pip install 'napari-baryir[train]'"
        ) from error
    fabric = Fabric(
        accelerator=device.type,
        devices=rank.local_count,
        num_nodes=rank.count // rank.local_count,
        strategy=DDPStrategy(timeout=PATIENCE),
    )
    fabric.launch()
    return Processes(fabric)


def training_device(settings: TrainingSettings) -> tuple[torch.device, torch.dtype | None]:
    """Choose the device of this process and the dtype of autocast (None: float32 throughout).

    Raises `DeviceError` if the device is not there, or cannot be shared.
    """
    name = settings.device
    if name == "auto":  # not MPS, on which no training was ever checked
        name = "cuda" if torch.cuda.is_available() else "cpu"
    rank = launched()
    device = choose_device(name if rank.count == 1 else _own_device(name, rank))
    if settings.precision == "float32":
        return device, None
    if settings.precision == "bfloat16" or device.type == "cuda":
        return device, torch.bfloat16
    return device, torch.bfloat16 if computes_in_bfloat16() else None


def _own_device(name: str, rank: Launched) -> str:
    """Choose one GPU for each process of this computer, or the CPU for all."""
    if name not in ("cpu", "cuda"):
        raise DeviceError(
            f"device {name!r} cannot be shared by {rank.count} processes; "
            "give device=cuda, for one GPU each, or device=cpu"
        )
    if name == "cpu":
        return name
    if torch.cuda.device_count() < rank.local_count:
        raise DeviceError(
            f"{rank.local_count} processes on a computer with {torch.cuda.device_count()} GPUs; "
            "start one for each GPU (torchrun --nproc-per-node), or give device=cpu"
        )
    return f"cuda:{rank.local_number}"


def computes_in_bfloat16() -> bool:
    """Return whether this CPU computes in bfloat16; emulated, it is slower than float32."""
    # Older torch lacks the list of capabilities, and builds for other processors lack mkldnn.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return (
        any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
        and torch.backends.mkldnn.is_available()
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
