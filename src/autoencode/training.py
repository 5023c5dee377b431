"""The only training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from autoencode.batches import Batches
from autoencode.errors import AutoencodeError
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.schedule import Schedule
from autoencode.steps import Step

__all__ = [
    "Budget",
    "History",
    "Keeper",
    "Run",
    "Settings",
    "Task",
    "TrainingError",
    "train",
]


class TrainingError(AutoencodeError):
    """Training cannot go on: the loss is not finite at any learning rate tried."""


@dataclass(frozen=True)
class Budget:
    """How much training may cost; whatever ends first ends it.

    Attributes
    ----------
    epochs : int
        Passes over the data.
    seconds : float or None
        Wall time.
    """

    epochs: int
    seconds: float | None = None


@dataclass
class History:
    """What happened, epoch by epoch, and why it ended.

    Attributes
    ----------
    columns : dict of str to list
        ``phase``, ``epoch``, ``seconds`` (since the fit began), ``learning_rate``,
        ``held_out`` and ``train_<term>``.
    stop_reason : str
        ``"reached the asked level"``, ``"no further gain"`` or ``"budget"``.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    stop_reason: str = "budget"
    phase: str = ""
    offset: float = 0.0

    def begin(self, phase: str, offset: float) -> History:
        """Name the phase that follows; its seconds count from ``offset``."""
        self.phase, self.offset = phase, offset
        return self

    def append(self, **values: Any) -> None:
        """Add one epoch."""
        values = {"phase": self.phase, **values}
        values["seconds"] += self.offset
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes
    ----------
    learning_rate : float
        The highest rate.
    weight_decay : float
        Decoupled, on the hidden layers' matrices only.
    patience : int
        Evaluations without a gain before the rate falls.
    tolerance : float
        Relative gain that counts as one.
    hold : float
        Share of the budget at the full rate.
    averaging : float
        How much each step's weights count in a running average of them, which is what is
        judged and kept (Polyak and Juditsky, 1992); 0: the last weights are.
    warmup : float
        Share of the budget over which the weight of the code's cost rises from 0 to 1.
    clipping : float
        Gradients are cut to so many times their usual length (Pascanu et al., 2013, algorithm 1,
        has a fixed length); 0: none are.
    astray : float
        Lost share of the held-out gain from which the best weights return, with half the rate.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    patience: int = 10
    tolerance: float = 1e-3
    hold: float = 0.5
    averaging: float = 0.0
    warmup: float = 0.0
    clipping: float = 0.0
    astray: float = 0.0


@dataclass(frozen=True)
class Task:
    """What to train, on what, and how it is judged.

    Attributes
    ----------
    flat : FlatParameters
        The weights.
    batches : Batches
        The training rows.
    step : Step
        Computes gradients.
    evaluate : callable
        Returns the held-out error; lower is better.
    sizes, size_weights : Tensor or None
        For nested sizes: how many components are kept, and the weight of the
        reconstruction, by a row's place in the batch.
    retarget : callable or None
        Turns what is to be reconstructed into what the network has to expect for it.
    reached : callable or None
        Says whether the asked level is reached, so that training can stop at once.
    settle : callable or None
        Puts the weights back where they may be, after each update.
    """

    flat: FlatParameters
    batches: Batches
    step: Step
    evaluate: Callable[[], float]
    sizes: Tensor | None = None
    size_weights: Tensor | None = None
    reached: Callable[[], bool] | None = None
    retarget: Callable[[Batch, Batch], Batch] | None = None
    settle: Callable[[], None] | None = None


class Keeper(Protocol):
    """Keeps the state of a run, so that it can go on after an interruption."""

    def begin(self, run: Run) -> None:
        """Put a new run where an interrupted one ended, if there is one."""

    def keep(self, run: Run) -> None:
        """Take the state after an epoch."""


def train(
    task: Task,
    *,
    settings: Settings,
    budget: Budget,
    rng: torch.Generator,
    history: History,
    on_epoch: Callable[[History], None] | None = None,
    keeper: Keeper | None = None,
) -> None:
    """Train until the level is reached, nothing more is gained, or the budget ends.

    The best held-out weights are in place afterwards, also when the run is
    interrupted: ``KeyboardInterrupt`` is raised again after they are restored.

    Parameters
    ----------
    task : Task
        What to train, on what.
    settings : Settings
        Learning rate, patience and the like.
    budget : Budget
        Epochs and seconds.
    rng : torch.Generator
        On the CPU; the only source of randomness.
    history : History
        Added to.
    on_epoch : callable, optional
        Called with the history after each evaluation.
    keeper : Keeper, optional
        Keeps the state after each epoch, before ``on_epoch`` is called.

    Raises
    ------
    TrainingError
        If the loss is not finite even at a rate 1,000 times smaller.
    """
    run = Run(task, settings, budget, rng, history)
    try:
        if keeper is not None:
            keeper.begin(run)
        while not run.finished:
            judged = run.epoch()
            if keeper is not None:
                keeper.keep(run)
            if judged and on_epoch is not None:
                on_epoch(run.history)
    except KeyboardInterrupt:
        run.history.stop_reason = "interrupted"
        raise
    finally:
        run.restore_best()


class Run:
    """State of one training run; `autoencode.checkpoint` keeps all that changes in it."""

    def __init__(
        self,
        task: Task,
        settings: Settings,
        budget: Budget,
        rng: torch.Generator,
        history: History,
    ) -> None:
        self.task, self.settings, self.budget, self.rng = task, settings, budget, rng
        self.history = history
        self.started = time.perf_counter()
        self.scale = 1.0
        self.epochs = self.steps = 0
        self.finished = False
        self.first = self.best = self.reference = task.evaluate()
        self.waited = 0
        self.cuts: dict[tuple[int, int], Tensor] = {}
        self.weights = task.flat.values.clone()
        self.average = task.flat.values.clone() if settings.averaging else None
        self.usual = task.flat.values.new_zeros(1) if settings.clipping else None
        self.begin()

    def begin(self) -> None:
        """Start the optimizer afresh (also after stepping back)."""
        rate = self.settings.learning_rate * self.scale
        self.optimizer = self.task.flat.optimizer(rate, self.settings.weight_decay)
        self.schedule = Schedule(hold=self.settings.hold)
        self.waited = 0

    def progress(self, share: float = 0.0) -> float:
        """Return the share of the budget that is used, in [0, 1]."""
        used = (self.epochs + share) / max(self.budget.epochs, 1)
        if self.budget.seconds is not None:
            used = max(used, self.seconds() / max(self.budget.seconds, 1e-9))
        return min(used, 1.0)

    def seconds(self) -> float:
        """Return the time since the run began."""
        return time.perf_counter() - self.started

    def epoch(self) -> bool:
        """One pass over the rows, then judge it; False if it had to be taken back."""
        task = self.task
        n_steps = max(1, task.batches.n_steps)
        total: Tensor | None = None
        taken = 0
        for batch, target in task.batches.epoch(self.rng):
            factor = self.schedule.factor(self.steps, self.progress(taken / n_steps))
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * self.scale * factor
            terms = self.one_step(batch, target, self.cost_weight(taken / n_steps))
            total = terms.clone() if total is None else total.add_(terms)
            taken += 1
            self.steps += 1
            if self.progress(taken / n_steps) >= 1.0:
                break
        self.epochs += 1
        return self.judge([] if total is None else (total / taken).tolist(), factor)

    def cost_weight(self, share: float) -> float:
        """Return what a nat of the code's cost counts, ``share`` into this epoch: 1 in the end."""
        warmup = self.settings.warmup
        return min(1.0, self.progress(share) / warmup) if warmup else 1.0

    def one_step(self, batch: Batch, target: Batch, cost_weight: float) -> Tensor:
        """Update the weights once; return the loss terms."""
        task, rows = self.task, len(batch.x)
        context = Context(rng=self.rng, cost_weight=cost_weight)
        weights = None
        if task.retarget is not None:
            target = task.retarget(target, batch)
        if task.sizes is not None and task.size_weights is not None:
            context = replace(context, size=self.cut(task.sizes, rows))
            weights = self.cut(task.size_weights, rows)
        terms = task.step(batch, target, context, weights)
        if self.usual is not None:
            task.flat.clip(self.usual, self.settings.clipping)
        self.optimizer.step()
        if task.settle is not None:
            task.settle()
        if self.average is not None:
            self.average.lerp_(task.flat.values, self.settings.averaging)
        return terms

    def cut(self, pattern: Tensor, rows: int) -> Tensor:
        """Return the leading rows; the same object again for the same number."""
        key = (id(pattern), rows)
        if key not in self.cuts:
            self.cuts[key] = pattern[:rows]
        return self.cuts[key]

    def judge(self, terms: list[float], factor: float) -> bool:
        """Evaluate on held-out rows; keep, step back, lower the rate or stop."""
        error = self.evaluated() if all(map(math.isfinite, terms)) else math.nan
        if not math.isfinite(error):
            self.step_back()
            return False
        self.history.append(
            epoch=self.epochs,
            seconds=self.seconds(),
            learning_rate=self.settings.learning_rate * self.scale * factor,
            held_out=error,
            **{
                f"train_{name}": value
                for name, value in zip(self.task.step.terms, terms, strict=True)
            },
        )
        if error < self.best:
            self.best = error
            self.weights.copy_(self.task.flat.values if self.average is None else self.average)
        elif self.is_astray(error):
            self.go_back(0.5)
            return True
        self.waited += 1
        if error < self.reference * (1 - self.settings.tolerance):
            self.reference, self.waited = error, 0
        self.decide()
        return True

    def is_astray(self, error: float) -> bool:
        """Say whether so much of the gain is lost that it will hardly come back by itself."""
        return 0 < self.settings.astray * (self.first - self.best) < error - self.best

    def evaluated(self) -> float:
        """Return the held-out error of the weights, or of their average."""
        values = self.task.flat.values
        if self.average is None:
            return self.task.evaluate()
        last = values.clone()
        values.copy_(self.average)
        error = self.task.evaluate()
        values.copy_(last)
        return error

    def decide(self) -> None:
        """Stop, or let the rate fall when nothing more is gained."""
        progress = self.progress()
        if self.task.reached is not None and self.task.reached():
            self.finish("reached the asked level")
        elif progress >= 1.0:
            self.finish("budget")
        elif self.schedule.ended(progress):
            self.finish("no further gain")
        elif self.waited >= self.settings.patience and self.schedule.fall_from is None:
            self.schedule.start_fall(progress, min(1.0 - progress, max(progress / 3, 1e-3)))

    def finish(self, reason: str) -> None:
        """End the run."""
        self.history.stop_reason = reason
        self.finished = True

    def step_back(self) -> None:
        """Return to the best weights with a tenth of the rate."""
        if self.scale * 0.1 < 1e-3:
            self.restore_best()
            raise TrainingError(
                "training fails: the loss is not finite even at a learning rate of "
                f"{self.settings.learning_rate * self.scale:.1g}; look for extreme values "
                "in the data, or pass scaling='standard' or a smaller learning_rate"
            )
        self.go_back(0.1)

    def go_back(self, factor: float) -> None:
        """Return to the best weights, with so much of the rate."""
        self.scale *= factor
        self.restore_best()
        if self.progress() >= 1.0:
            self.finish("budget")
        self.begin()

    def restore_best(self) -> None:
        """Put the best weights in place."""
        self.task.flat.values.copy_(self.weights)
        if self.average is not None:
            self.average.copy_(self.weights)
