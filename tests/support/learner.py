"""A process that has imported what takes long, and learns in children of its own, which end themselves.

Run as `python -m tests.support.learner PHOTOS PRIOR`: takes an `Order` a line on stdin, as JSON, and answers
each with the exit code of the child that learned.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from mystyle_cli.learn.learn import learn
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.progress import Step
from mystyle_cli.store.store import Store
from tests.support.albums import QUICK, learn_quickly

LONG = dataclasses.replace(QUICK, tuning=dataclasses.replace(QUICK.tuning, passes=15))


@dataclasses.dataclass(frozen=True)
class Order:
    """Where to learn, and how that ends; instants are counted in work, not by a clock.

    Args:
        store: the store's folder.
        interrupted: SIGINT comes at the first step of this stage; "" for never.
        steps: SIGKILL comes after this step, counted from 1; 0 for never.
        calls: and after so many more calls of functions.
    """

    store: str
    interrupted: str = ""
    steps: int = 0
    calls: int = 0


class Learner:
    """The process, from outside.

    Args:
        photos: a folder of PNG files.
        prior: the prior's folder.
    """

    def __init__(self, photos: Path, prior: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.learner", str(photos), str(prior)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def learn(self, order: Order) -> int:
        """Learn; returns the exit code, minus the signal's number when it was killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(dataclasses.asdict(order)) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


class _Ending:
    """Ends this process as an order says; called at every step."""

    def __init__(self, order: Order) -> None:
        self.order, self.steps, self.calls = order, 0, 0

    def __call__(self, step: Step) -> None:
        self.steps += 1
        if step.stage == self.order.interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        if self.steps == self.order.steps:
            sys.setprofile(self._called)

    def _called(self, *event: object) -> None:
        self.calls += 1
        if self.calls > self.order.calls:
            os.kill(os.getpid(), signal.SIGKILL)


def main(photos: Path, prior: Path) -> None:
    """Learn in a child for each order, until there are no more."""
    for name in ("torch", "onnx", "onnxruntime", "clarabel", "scipy.sparse", "mystyle_cli.instant.training"):
        import_module(name)  # once; a child would for itself
    learn_quickly(setattr)
    paths, opened = sorted(photos.glob("*.png")), open_prior(prior)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if not child:
            os._exit(_learn(order, paths, opened))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _learn(order: Order, photos: list[Path], prior: Prior) -> int:
    try:
        learn(Store(Path(order.store)), "adele", photos, prior, LONG, _Ending(order))
    except KeyboardInterrupt:
        return 130
    except BaseException:  # what else ends it: a forked child must not go on as its parent
        return 1
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
