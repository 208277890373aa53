"""The processes of one run, as `torchrun` starts them: which of them this is, and what they do together.

The first of them, rank 0, does what a command does: it alone locks, writes, prints and decides. The others
take part in its steps, and what they have to say goes to it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mystyle_cli.errors import RankError, UsageError, one_line, ran_out

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Array = TypeVar("Array", bound="NDArray[Any]")

PATIENCE: Final = 600.0  # seconds after which a process that is waited for counts as lost
PAUSE: Final = 0.1  # seconds between two looks at what others have left

STARTED: Final = "TORCHELASTIC_RUN_ID"  # in the environment of what `torchrun` starts, and of nothing else

# what the processes leave for each other where all of them can look
CALL: Final = "mystyle call"
CAME: Final = "mystyle came"
FAILURE: Final = "mystyle failure"

GO_ON: Final = "Nothing finished is lost: the same command goes on from there."


class Ranks:
    """The processes of a run; by default there is one, which waits for nobody and loads nothing for it.

    Args:
        rank: which of them this is, from 0.
        size: how many there are.
        local: which of those on this machine this is.
        beside: how many are on this machine.
        store: a `torch.distributed.Store` that all of them see; None finds torchrun's when it is needed.
        patience: seconds after which a process that is waited for counts as lost.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        local: int = 0,
        beside: int = 1,
        store: Any = None,
        patience: float = PATIENCE,
    ) -> None:
        self.rank, self.size, self.local, self.beside = rank, size, local, beside
        self.patience = timedelta(seconds=patience)
        self._store, self._device, self._called = store, "cpu", False

    @classmethod
    def of_environment(cls) -> Ranks:
        """Return the processes that `torchrun` started this one with; one where it did not."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        if STARTED not in os.environ:
            return cls()
        return cls(*(int(os.environ[name]) for name in names))

    @property
    def first(self) -> bool:
        """Whether this is the one that locks, writes, prints and decides."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    def part(self, items: Array) -> Array:
        """Return this process's part of what is shared out, in order, as `numpy.array_split` does."""
        least, more = divmod(len(items), self.size)
        start = self.rank * least + min(self.rank, more)
        return items[start : start + least + (self.rank < more)]  # type: ignore[return-value]

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Lead the others: however this ends, they are told where they were not called."""
        try:
            yield
        finally:
            if self.several and not self._called:
                self._tell("")

    def call(self, kind: str) -> None:
        """Call the others, which `answer`, to work together on a kind of device, such as "cuda"."""
        if self.several:
            self._called = True
            self._tell(kind)

    def answer(self, kind: str) -> bool:
        """Wait until the first calls; returns False where it has nothing to do for others.

        Args:
            kind: of this process's device.

        Raises:
            RankError: the first has ended.
            UsageError: it works on another kind of device.
        """
        with self._others():
            while not self._shared().check([CALL]):
                time.sleep(PAUSE)  # and not in the store's own wait, which no signal interrupts
            wanted = self._shared().get(CALL).decode()
        if wanted and wanted != kind:
            raise UsageError(
                f"it computes on {kind} and the first on {wanted}",
                "Start as many processes as there are graphics cards, or give --device cpu.",
            )
        return bool(wanted)

    def fail(self, reason: str) -> None:
        """Leave the reason why this process cannot go on for the first, which will say it."""
        with self._others():
            self._shared().set(FAILURE, f"{self.rank} {one_line(reason)}")

    @contextmanager
    def meet(self, device: str) -> Iterator[None]:
        """Work together: within, what is summed, spread or asked has the same result in all processes.

        Args:
            device: torch's name of where this process computes.

        Raises:
            RankError: not all came.
        """
        if not self.several:
            yield
            return
        import torch
        from torch import distributed

        self._device, cards = device, device.startswith("cuda")
        if cards:
            torch.cuda.set_device(device)
        if self.beside == self.size and os.path.isdir("/sys/class/net/lo"):
            # what they tell each other does not leave the machine
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        backend = "nccl" if cards and distributed.is_nccl_available() else "gloo"
        with self._others():
            self._gather()
            distributed.init_process_group(
                backend,
                timeout=self.patience,
                world_size=self.size,
                rank=self.rank,
                store=self._shared(),
            )
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Put the sum over all processes in each tensor's place; all are of one type, on the device."""
        if self.several:
            from torch import distributed

            flat = _flat(tensors)
            with self._others():
                distributed.all_reduce(flat)
            _unflatten(flat, tensors)

    def spread(self, tensors: Sequence[torch.Tensor]) -> None:
        """Put the first process's values in each tensor's place, in float32 or what they have in common."""
        if self.several:
            from torch import distributed

            flat = _flat([tensor.to(self._device) for tensor in tensors])
            with self._others():
                distributed.broadcast(flat, 0)
            _unflatten(flat, tensors)

    def total(self, *numbers: float) -> list[float]:
        """Return the sums of numbers over all processes."""
        if not self.several:
            return list(numbers)
        import torch

        held = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        self.sum([held])
        return held.tolist()

    def any(self, here: bool) -> bool:
        """Tell whether something is so in any of the processes."""
        return self.total(float(here))[0] > 0

    def agree(self, digest: str) -> None:
        """Refuse (RankError), in all processes, to go on where they do not work on the same.

        Args:
            digest: in hexadecimal, of all that must be the same.
        """
        if not self.several:
            return
        import torch

        mine = torch.tensor(list(bytes.fromhex(digest)), dtype=torch.float32, device=self._device)
        firsts = mine.clone()
        self.spread([firsts])
        if self.any(not torch.equal(mine, firsts)):
            raise RankError(
                "the processes do not see the same profile, prior or settings",
                "All machines need the same store (a folder that they share) and version of mystyle, and "
                "--precision float32 where not all have units for bfloat16.",
            )

    def _shared(self) -> Any:
        """Return where all of the processes can look."""
        if self._store is None:
            from torch.distributed.rendezvous import rendezvous

            self._store, *_ = next(iter(rendezvous("env://", timeout=self.patience)))
        return self._store

    def _gather(self) -> None:
        """Wait until all have come to where they work together, or one has said why it does not."""
        until = time.monotonic() + self.patience.total_seconds()
        self._shared().add(CAME, 1)
        while self._shared().add(CAME, 0) < self.size:
            if self._shared().check([FAILURE]) or time.monotonic() > until:
                raise RankError(self._failure(), GO_ON)
            time.sleep(PAUSE)

    def _tell(self, word: str) -> None:
        with self._others():
            self._shared().set(CALL, word)

    @contextmanager
    def _others(self) -> Iterator[None]:
        """Turn what torch raises where another process does not answer into what that one said of it."""
        try:
            yield
        except RuntimeError as error:  # gloo's are no others; torch's own are kinds of it
            if ran_out(error):
                raise
            raise RankError(self._failure(), GO_ON) from error

    def _failure(self) -> str:
        """Return what another process has left of why it cannot go on, or that one does not."""
        try:
            told = self._store is not None and self._store.check([FAILURE])
            rank, _, reason = self._store.get(FAILURE).decode().partition(" ") if told else ("", "", "")
        except RuntimeError:  # where they looked is gone, too
            reason = ""
        if reason:
            return f"process {rank} of {self.size} failed: {reason}"
        return f"one of the {self.size} processes ended, or does not answer"


ALONE: Final = Ranks()


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return copies of tensors in one, row by row whatever their layout: one message instead of many."""
    import torch

    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _unflatten(flat: torch.Tensor, tensors: Sequence[torch.Tensor]) -> None:
    """Put what `_flat` returned back."""
    start = 0
    for tensor in tensors:
        end = start + tensor.numel()
        tensor.detach().copy_(flat[start:end].view(tensor.shape))
        start = end
