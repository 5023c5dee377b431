"""The training loop: every row is seen, the best is kept, and it ends for a stated reason."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from autoencode import Autoencoder
from autoencode.batches import TensorBatches
from autoencode.composition import Composition
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.schedule import Schedule
from autoencode.steps import choose_step
from autoencode.training import (
    Budget,
    History,
    Settings,
    Task,
    TrainingError,
    train,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# One run.


class Bench:
    """A small network on curved rows, whose held-out error may be scripted."""

    def __init__(self, dtype: torch.dtype = torch.float32, script: Any = None) -> None:
        whole = Composition("mlp", "plain", "none", "gaussian", (), (16,), (3,), nested=False)
        angle = torch.linspace(0, 6, 96, dtype=dtype)
        self.rows = torch.stack([angle.cos(), angle.sin(), (2 * angle).cos()], 1)
        self.network = whole.network(1, seeded()).to(dtype)
        self.flat = FlatParameters(self.network)
        self.step: Any = choose_step([self.network], whole.objective(), self.flat)
        self.script = script
        self.seen: list[tuple[float, torch.Tensor]] = []
        self.history = History().begin("phase", 100.0)

    def error(self) -> float:
        with torch.no_grad():
            params = self.network(Batch(self.rows), Context()).params[:, 0]
        return float((params - self.rows).square().mean())

    def evaluate(self) -> float:
        error = self.error() if self.script is None else next(self.script)
        self.seen.append((error, self.flat.values.clone()))
        return error

    def train(self, *, epochs: int = 10, seconds: float | None = None, **options: Any) -> History:
        on_epoch, reached = options.pop("on_epoch", None), options.pop("reached", None)
        task = Task(
            self.flat,
            TensorBatches(self.rows, None, 16),
            self.step,
            self.evaluate,
            reached=reached,
        )
        train(
            task,
            settings=Settings(**options),
            budget=Budget(epochs, seconds),
            rng=seeded(1),
            history=self.history,
            on_epoch=on_epoch,
        )
        return self.history

    def best(self) -> torch.Tensor:
        return min(self.seen, key=lambda pair: pair[0])[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_lowers_the_error_and_records_every_epoch(dtype: torch.dtype) -> None:
    bench = Bench(dtype)
    before = bench.error()
    history = bench.train(epochs=40, learning_rate=0.01)
    assert bench.error() < 0.5 * before
    columns = history.columns
    assert set(columns) == {
        "phase",
        "epoch",
        "seconds",
        "learning_rate",
        "held_out",
        "train_reconstruction",
        "train_code",
    }
    assert columns["epoch"] == list(range(1, 41))
    assert set(columns["phase"]) == {"phase"}
    assert columns["held_out"] == [error for error, _ in bench.seen[1:]]
    assert columns["train_code"] == [0.0] * 40
    assert 100 < columns["seconds"][0] < columns["seconds"][-1]
    rates = columns["learning_rate"]
    assert max(rates) == pytest.approx(0.01)
    assert 0 < rates[-1] < 0.002
    assert history.stop_reason == "budget"
    assert bench.flat.values.dtype == dtype


def test_the_best_held_out_weights_are_in_place_afterwards() -> None:
    bench = Bench(script=iter([5.0, 4.0, 2.0, 3.0, 6.0, 7.0]))
    bench.train(epochs=5)
    assert torch.equal(bench.flat.values, bench.seen[2][1])
    assert not torch.equal(bench.flat.values, bench.seen[-1][1])
    for parameter in bench.network.parameters():
        assert parameter.data_ptr() >= bench.flat.values.data_ptr()


def test_a_start_that_is_never_beaten_stays() -> None:
    bench = Bench(script=itertools.chain([1.0], itertools.repeat(2.0)))
    start = bench.flat.values.clone()
    bench.train(epochs=3)
    assert torch.equal(bench.flat.values, start)


def test_it_ends_early_when_nothing_more_is_gained() -> None:
    bench = Bench(script=itertools.repeat(1.0))
    history = bench.train(epochs=300, patience=5)
    assert history.stop_reason == "no further gain"
    assert 5 <= len(history.columns["epoch"]) <= 12
    assert history.columns["learning_rate"][-1] < history.columns["learning_rate"][2]


def test_gains_below_the_tolerance_do_not_count() -> None:
    def falling(by: float) -> Any:
        return (math.exp(-by * turn) for turn in itertools.count())

    slow = Bench(script=falling(1e-5)).train(epochs=60, patience=5)
    fast = Bench(script=falling(1e-2)).train(epochs=60, patience=5)
    assert (slow.stop_reason, fast.stop_reason) == ("no further gain", "budget")


def test_the_budget_in_seconds_ends_it() -> None:
    bench = Bench()
    history = bench.train(epochs=1_000_000, seconds=0.2)
    assert history.stop_reason == "budget"
    assert 0.15 < history.columns["seconds"][-1] - 100 < 2
    assert torch.equal(bench.flat.values, bench.best())


def test_it_stops_at_once_when_the_level_is_reached() -> None:
    bench = Bench()
    history = bench.train(epochs=50, reached=lambda: len(bench.seen) > 3)
    assert history.stop_reason == "reached the asked level"
    assert history.columns["epoch"] == [1, 2, 3]


# Losses that are not finite.


class Failing:
    """A step whose loss is not finite at the given calls."""

    def __init__(self, step: Any, at: Callable[[int], bool], value: float = math.nan) -> None:
        self.step, self.at, self.value, self.calls = step, at, value, 0
        self.terms = step.terms
        self.flat = step.flat

    def __call__(self, *arguments: Any) -> torch.Tensor:
        self.calls += 1
        terms = self.step(*arguments).clone()
        if self.at(self.calls):
            self.flat.gradients.fill_(self.value)
            terms[0] = self.value
        return terms


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_after_a_bad_loss_it_goes_on_from_the_best_with_a_smaller_rate(value: float) -> None:
    bench = Bench()
    # Six steps make an epoch: the third one fails.
    bench.step = Failing(bench.step, lambda call: call == 15, value)
    history = bench.train(epochs=20, learning_rate=0.01)
    assert history.columns["epoch"] == [1, 2, *range(4, 21)]
    assert max(history.columns["learning_rate"][2:]) <= 0.001 * (1 + 1e-9)
    assert history.columns["learning_rate"][1] > 0.001
    assert np.isfinite(history.columns["held_out"]).all()
    assert bool(bench.flat.values.isfinite().all())
    assert torch.equal(bench.flat.values, bench.best())
    assert bench.error() < bench.seen[0][0]


def test_a_held_out_error_that_is_not_finite_counts_too() -> None:
    bench = Bench(script=iter([3.0, 2.0, math.nan, 1.5, 1.4]))
    history = bench.train(epochs=4)
    assert history.columns["held_out"] == [2.0, 1.5, 1.4]
    assert torch.equal(bench.flat.values, bench.seen[-1][1])


def test_it_gives_up_after_several() -> None:
    bench = Bench()
    start = bench.flat.values.clone()
    bench.step = Failing(bench.step, lambda call: True)
    with pytest.raises(TrainingError, match="not finite even at a learning rate of 1e-05") as error:
        bench.train(epochs=100, learning_rate=0.01)
    assert bench.step.calls == 4 * 6
    assert "\n" not in str(error.value)
    assert torch.equal(bench.flat.values, start)


def test_a_fit_that_explodes_says_so_and_progress_survives_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    X = np.random.default_rng(0).normal(size=(100, 4))
    model = Autoencoder(
        2, hidden_layer_sizes=(8,), learning_rate=1e30, max_epochs=30, verbose=True, random_state=0
    )
    with pytest.raises(TrainingError, match="not finite even at a learning rate of"):
        model.fit(X)
    capsys.readouterr()


def test_what_loses_its_gains_goes_on_from_the_best_with_half_the_rate() -> None:
    # Half of the gain from 9 to 1 is lost at 5.1, not at 4.9.
    bench = Bench(script=iter([9.0, 1.0, 4.9, 5.1, 0.9, 0.8]))
    moved: list[bool] = []

    def compare(_: History) -> None:
        moved.append(torch.equal(bench.flat.values, bench.seen[1][1]))

    history = bench.train(epochs=5, learning_rate=0.01, hold=0.9, astray=0.5, on_epoch=compare)
    assert moved == [True, False, True, False, False]
    assert history.columns["held_out"] == [1.0, 4.9, 5.1, 0.9, 0.8]
    # Six steps an epoch: the rate still rises, over 50 steps.
    rates = [0.01 * share * steps / 50 for share, steps in ((1, 18), (0.5, 24))]
    assert history.columns["learning_rate"][2:4] == pytest.approx(rates)
    assert torch.equal(bench.flat.values, bench.best())


class Longer:
    """A step whose gradients are much longer at one call."""

    def __init__(self, step: Any, at: int) -> None:
        self.step, self.at, self.lengths, self.flat = step, at, [], step.flat
        self.terms = step.terms
        self.lengths: list[float] = []

    def __call__(self, *arguments: Any) -> torch.Tensor:
        terms = self.step(*arguments)
        self.lengths.append(float(self.flat.gradients.norm()))
        if len(self.lengths) == self.at:
            self.flat.gradients.mul_(1e6)
        return terms


def test_a_gradient_much_longer_than_usual_is_cut() -> None:
    """After one of a million times the length, the moments of the optimizer are as before."""
    bench = Bench()
    bench.step = Longer(bench.step, 4)
    seen: list[float] = []
    bench.train(
        epochs=1,
        clipping=2.0,
        learning_rate=1e-5,
        on_epoch=lambda _: seen.append(float(bench.flat.gradients.norm())),
    )
    usual = bench.step.lengths[0]
    for length in bench.step.lengths[1:3]:
        usual += 0.01 * (min(length, 2 * usual) - usual)
    assert seen
    assert len(bench.step.lengths) == 6
    assert max(bench.step.lengths) < 2 * usual


# Interrupts and errors.


def test_an_interrupt_keeps_the_best_and_is_raised_again() -> None:
    bench = Bench()

    def interrupt(history: History) -> None:
        if len(history.columns["epoch"]) == 4:
            bench.flat.values.fill_(7.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.train(epochs=50, on_epoch=interrupt)
    assert bench.history.stop_reason == "interrupted"
    assert len(bench.seen) == 5
    assert torch.equal(bench.flat.values, bench.best())


def test_the_schedule_warms_up_holds_and_falls() -> None:
    schedule = Schedule(hold=0.5, warmup=10)
    assert schedule.factor(0, 0.0) == pytest.approx(0.1)
    assert schedule.factor(10, 0.49) == 1.0
    assert schedule.factor(11, 0.75) == pytest.approx(1 - 0.25, abs=0.26)
    assert schedule.factor(12, 1.0) == pytest.approx(0.01)
    assert schedule.ended(1.0)


# What a fit leaves as it was.


def settings() -> tuple[Any, ...]:
    return (
        torch.get_num_threads(),
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )


def numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 -- the global one is meant
    return (name, keys.tolist(), *rest)


class PlannedError(Exception):
    pass


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let the process use two threads, whatever it was started with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("failing", [False, True])
def test_settings_of_the_process_are_restored(failing: bool) -> None:
    X = np.random.default_rng(0).normal(size=(200, 300))
    inside = []

    def watch(phase: str, history: History) -> None:
        inside.append(settings())
        if failing:
            raise PlannedError

    model = Autoencoder(
        3,
        hidden_layer_sizes=(256, 256),
        batch_size=64,
        max_epochs=1,
        n_threads=1,
        random_state=0,
        verbose=watch,
    )
    before = settings()
    if failing:
        with pytest.raises(PlannedError):
            model.fit(X)
    else:
        model.fit(X).transform(X)
    assert settings() == before
    # Threads were different inside, or nothing is shown; the products are where it pays.
    assert inside[0][0] == 1
    assert before[0] == 2


@pytest.mark.parametrize("seed", [0, None])
def test_global_randomness_is_not_touched(bent: np.ndarray, seed: int | None) -> None:
    ours, numpys = torch.get_rng_state(), numpy_state()
    options = {"corruption": "gaussian", "penalties": ("contractive",), "max_epochs": 2}
    model = Autoencoder(2, hidden_layer_sizes=(8,), random_state=seed, **options).fit(bent)
    model.inverse_transform(model.transform(bent))
    model.score_samples(bent)
    assert torch.equal(torch.get_rng_state(), ours)
    # Without a seed, scikit-learn's estimators draw one from NumPy's global generator.
    assert seed is None or numpy_state() == numpys


def test_training_in_float64(bent: np.ndarray) -> None:
    options = {"hidden_layer_sizes": (16,), "max_epochs": 10, "random_state": 0}
    double = Autoencoder(3, dtype="float64", **options).fit(bent)
    single = Autoencoder(3, dtype="float32", **options).fit(bent)
    for network in double._state.networks.values():
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float64}
    assert double._state.networks.keys()
    np.testing.assert_allclose(double.history_["held_out"], single.history_["held_out"], rtol=0.05)
    assert double.history_["held_out"] != single.history_["held_out"]
