"""Fits that are interrupted and go on: the same bits, and nothing is trained twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autoencode import Autoencoder, DenoisingAutoencoder, Imputer
from autoencode.bottlenecks import Plain
from autoencode.checkpoint import PhaseKeeper
from autoencode.model_file import read_model
from autoencode.training import Run

SMALL: dict[str, Any] = {"hidden_layer_sizes": (16,), "max_epochs": 6, "random_state": 0}


class Stopping:
    """A report that counts epochs, and presses Ctrl-C after some of them."""

    def __init__(self, *stops: int) -> None:
        self.stops, self.phases = stops, []

    def __call__(self, phase: str, history: Any) -> None:
        self.phases.append(phase)
        if len(self.phases) in self.stops:
            raise KeyboardInterrupt


class Drifting(Plain):
    """A bottleneck with a counter that no model file holds, on which its codes depend."""

    def __init__(self, *sizes: Any, **more: Any) -> None:
        super().__init__(*sizes, **more)
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def forward(self, features: Any, context: Any) -> Any:
        if torch.is_grad_enabled():
            self.steps += 1
        code = super().forward(features, context)
        return type(code)(code.z * (1 + 1e-3 * self.steps), code.cost)


def equal(first: Any, second: Any) -> None:
    """Compare two fits bit by bit: weights, figures, curves; not seconds."""
    (header, tensors), (other_header, others) = (m._state.to_file() for m in (first, second))
    assert tensors.keys() == others.keys()
    for name, values in tensors.items():
        np.testing.assert_array_equal(values, others[name], strict=True, err_msg=name)
    for part in (header, other_header):
        part.pop("history")
        part["facts"] = dict(part["facts"])
        assert part["facts"].pop("seconds") > 0
    assert header == other_header
    assert first.history_.keys() == second.history_.keys()
    for name in first.history_.keys() - {"seconds"}:
        assert first.history_[name] == second.history_[name], name
    assert sorted(second.history_["seconds"]) == second.history_["seconds"]


def interrupted(model: Any, path: Path, stop: int, data: Any, **more: Any) -> Stopping:
    report = Stopping(stop)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(verbose=report).fit(data, checkpoint=path, **more)
    assert path.exists()
    assert len(report.phases) == stop
    return report


def stops_of(phases: list[str]) -> list[int]:
    """Return, for every phase, its first, a middle and its last epoch, counted over all."""
    found = []
    for phase in dict.fromkeys(phases):
        first, count = phases.index(phase) + 1, phases.count(phase)
        found += [first, first + count // 2, first + count - 1]
    return sorted(set(found))


CASES: dict[str, Callable[[], Any]] = {
    "size searched": lambda: Autoencoder(0.97, **SMALL),
    "many phases": lambda: Autoencoder(0.999, **SMALL | {"max_epochs": 4}),
    "one size": lambda: Autoencoder(3, **SMALL),
    "float64": lambda: Autoencoder(3, dtype="float64", **SMALL | {"max_epochs": 3}),
    "noise": lambda: Autoencoder(
        2, corruption="gaussian:level=0.1", **SMALL | {"max_epochs": 3}, batch_size=50
    ),
    "drawn projections": lambda: Autoencoder(
        2, penalties=("contractive:weight=0.01",), **SMALL | {"max_epochs": 3}
    ),
    "weight found while training": lambda: Autoencoder(
        3, penalties=("kl_sparsity:activity=0.2",), **SMALL | {"max_epochs": 4}
    ),
    "strength tried before": lambda: Autoencoder(
        2, penalties=("l2:weight=auto",), **SMALL | {"max_epochs": 3}
    ),
    "buffers": lambda: Autoencoder(2, bottleneck=Drifting, nested=False, **SMALL),
    "rate that falls": lambda: Autoencoder(
        2, learning_rate=1e-6, **SMALL | {"max_epochs": 40}, nested=False
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_fit_goes_on_to_the_same_bits(
    case: str, bent: np.ndarray, tmp_path: Path
) -> None:
    make, path = CASES[case], tmp_path / "run.ckpt"
    every = Stopping()
    whole = make().set_params(verbose=every).fit(bent)
    total = len(every.phases)
    stops = stops_of(every.phases)
    assert len(stops) >= 3
    for stop in stops:
        model = make()
        interrupted(model, path, stop, bent)
        # What was learned is usable, as without a checkpoint.
        assert model.stop_reason_ == "interrupted"
        rest = Stopping()
        model = make().set_params(verbose=rest).fit(bent, checkpoint=path)
        assert rest.phases == every.phases[stop:], "epochs were trained twice or left out"
        assert len(rest.phases) == total - stop
        assert not path.exists()
        equal(whole, model)
        np.testing.assert_array_equal(whole.transform(bent), model.transform(bent), strict=True)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_may_be_interrupted_often_and_in_the_midst_of_an_epoch(
    bent: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, every = tmp_path / "run.ckpt", Stopping()
    whole = Autoencoder(0.97, **SMALL, batch_size=50, verbose=every).fit(bent)
    step, taken = Run.one_step, []

    def breaking(self: Run, *arguments: Any) -> Any:
        taken.append(1)
        if len(taken) % 25 == 0:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(Run, "one_step", breaking)
    report, attempts = Stopping(), 0
    while True:
        attempts += 1
        try:
            model = Autoencoder(0.97, **SMALL, batch_size=50, verbose=report)
            model.fit(bent, checkpoint=path)
            break
        except KeyboardInterrupt:
            assert path.exists()
    assert attempts > 2
    assert report.phases == every.phases
    equal(whole, model)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_that_stepped_back_goes_on(
    stop: int, bent: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, evaluated = tmp_path / "run.ckpt", Run.evaluated

    def failing(self: Run) -> float:
        lost = self.epochs == 2 or (self.epochs == 5 and self.scale == 0.1)
        return float("nan") if lost else evaluated(self)

    monkeypatch.setattr(Run, "evaluated", failing)
    every, rest = Stopping(), Stopping()
    whole = Autoencoder(2, nested=False, **SMALL, verbose=every).fit(bent)
    assert whole.history_["epoch"] == [1, 3, 4, 6]
    assert whole.history_["learning_rate"][1] < 0.5 * whole.history_["learning_rate"][0]
    interrupted(Autoencoder(2, nested=False, **SMALL), path, stop, bent)
    model = Autoencoder(2, nested=False, **SMALL, verbose=rest).fit(bent, checkpoint=path)
    assert rest.phases == every.phases[stop:]
    equal(whole, model)


def frame(bent: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(bent[:, :4], columns=list("abcd"))
    table["kind"] = np.where(bent[:, 4] > bent[:, 4].mean(), "yes", "no")
    return table.mask(np.random.default_rng(0).random(table.shape) < 0.1)


ESTIMATORS: dict[str, Callable[[np.ndarray], tuple[Any, Any, dict[str, Any]]]] = {
    "restoring": lambda x: (Autoencoder(None, **SMALL), frame(x), {}),
    "informative": lambda x: (
        Autoencoder(None, missing="informative", **SMALL | {"max_epochs": 3}), frame(x), {}
    ),
    "table": lambda x: (Autoencoder(2, **SMALL | {"max_epochs": 3}), frame(x), {}),
    "pairs": lambda x: (Autoencoder(2, **SMALL), x + 1, {"target": x, }),
    "held out": lambda x: (Autoencoder(2, **SMALL), x[:300], {"X_held_out": x[300:]}),
    "denoising clean": lambda x: (
        DenoisingAutoencoder(rows="clean", **SMALL | {"max_epochs": 3}), x, {}
    ),
    "denoising pairs": lambda x: (
        DenoisingAutoencoder(**SMALL | {"max_epochs": 3}),
        x + np.random.default_rng(0).normal(size=x.shape), {"target": x},
    ),
    "denoising codes": lambda x: (DenoisingAutoencoder(2, rows="clean", **SMALL), x, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", ESTIMATORS)
def test_every_estimator_goes_on(case: str, bent: np.ndarray, tmp_path: Path) -> None:
    path, every = tmp_path / "run.ckpt", Stopping()
    model, data, more = ESTIMATORS[case](bent)
    whole = model.set_params(verbose=every).fit(data, **more)
    middle = len(every.phases) // 2
    model, _, _ = ESTIMATORS[case](bent)
    interrupted(model, path, middle, data, **more)
    rest = Stopping()
    model, _, _ = ESTIMATORS[case](bent)
    model.set_params(verbose=rest).fit(data, checkpoint=path, **more)
    assert rest.phases == every.phases[middle:]
    equal(whole, model)
    assert not path.exists()


def test_an_imputer_goes_on(
    bent: np.ndarray, tmp_path: Path, few_epochs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "run.ckpt", frame(bent)[:80]
    whole = Imputer(random_state=0).fit(data)
    epoch, counted, stops = Run.epoch, [], [4]

    def counting(self: Run) -> bool:
        if len(counted) in stops:
            raise KeyboardInterrupt
        counted.append(1)
        return epoch(self)

    monkeypatch.setattr(Run, "epoch", counting)
    with pytest.raises(KeyboardInterrupt):
        Imputer(random_state=0).fit(data, checkpoint=path)
    assert path.exists()
    stops.clear()
    model = Imputer(random_state=0).fit(data, checkpoint=path)
    assert len(counted) == len(whole.model_.history_["epoch"])
    equal(whole.model_, model.model_)
    pd.testing.assert_frame_equal(whole.transform(data), model.transform(data), check_exact=True)


KILLED = """
import sys, time
import numpy as np
from autoencode import Autoencoder, checkpoint

checkpoint.SECONDS_BETWEEN, checkpoint._LARGEST_SHARE = 0.0, 1e9
data, path = sys.argv[1:]

def report(phase, history):
    print(phase, flush=True)
    time.sleep(0.02)

model = Autoencoder(0.97, hidden_layer_sizes=(16,), max_epochs=6, random_state=0, verbose=report)
model.fit(np.load(data), checkpoint=path)
"""


@pytest.mark.parametrize("after", [3, 7])
def test_a_killed_fit_goes_on_to_the_same_bits(
    after: int, bent: np.ndarray, tmp_path: Path
) -> None:
    data, path = tmp_path / "data.npy", tmp_path / "run.ckpt"
    np.save(data, bent)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, data, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(after):
        assert process.stdout.readline()
    process.kill()
    done = after + len(process.stdout.read().splitlines())
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    every, rest = Stopping(), Stopping()
    whole = Autoencoder(0.97, **SMALL, verbose=every).fit(bent)
    assert done < len(every.phases)
    kept = read_model(path)[0]["history"]["epoch"]
    assert after <= len(kept) <= done + 1
    model = Autoencoder(0.97, **SMALL, verbose=rest).fit(data, checkpoint=path)
    assert rest.phases == every.phases[len(kept) :]
    equal(whole, model)
    assert not path.exists()


@pytest.mark.parametrize("aims", [False, True])
def test_every_attribute_of_a_run_is_kept(
    aims: bool, bent: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is added to a run has to be kept too: this test says so."""
    follow = {"task", "settings", "rng", "history", "started", "cuts", "budget"}
    objects = {"optimizer", "schedule", "weights", "average", "usual"}
    numbers = {"scale", "epochs", "steps", "finished", "first", "best", "reference", "waited"}
    seen: list[dict[str, Any]] = []
    keep, begin = PhaseKeeper.keep, PhaseKeeper.begin

    def state(run: Run, fit: Any) -> dict[str, Any]:
        assert vars(run).keys() == follow | objects | numbers
        return {
            **{name: getattr(run, name) for name in numbers},
            "schedule": dict(vars(run.schedule)),
            "moments": [
                {name: value.tolist() for name, value in parts.items()}
                for parts in run.optimizer.state_dict()["state"].values()
            ],
            "weights": run.weights.tolist(),
            "average": None if run.average is None else run.average.tolist(),
            "usual": None if run.usual is None else run.usual.tolist(),
            "values": run.task.flat.values.tolist(),
            "rng": run.rng.get_state().tolist(),
            "history": {name: list(values) for name, values in run.history.columns.items()},
            "sparsity": fit.sparsity.state(),
            "penalties": [part.state() for part in fit.objective.penalties],
        }

    def keeping(self: PhaseKeeper, run: Run) -> None:
        keep(self, run)
        seen.append(state(run, self.fit))

    def beginning(self: PhaseKeeper, run: Run) -> None:
        begin(self, run)
        seen.append(state(run, self.fit))

    model, data, _ = ESTIMATORS["restoring"](bent)
    if aims:
        model.set_params(penalties=("l1:activity=0.2",))
    model.set_params(verbose=Stopping(4))
    monkeypatch.setattr(PhaseKeeper, "keep", keeping)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, checkpoint=tmp_path / "run.ckpt")
    monkeypatch.setattr(PhaseKeeper, "begin", beginning)
    before = seen[-1]
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        model.set_params(verbose=Stopping(1)).fit(data, checkpoint=tmp_path / "run.ckpt")
    assert seen[0] == before
    assert before["average"] is not None
    assert len(before["moments"]) == 2
    assert before["schedule"]["fall_from"] is not None
    assert bool(before["sparsity"]["reached"]) == bool(before["penalties"]) == aims


def test_without_a_seed_the_first_one_is_kept(bent: np.ndarray, tmp_path: Path) -> None:
    path, other = tmp_path / "run.ckpt", tmp_path / "other.ckpt"
    options = SMALL | {"random_state": None}
    model = Autoencoder(2, **options)
    interrupted(model, path, 3, bent)
    shutil.copy(path, other)
    first = Autoencoder(2, **options).fit(bent, checkpoint=path)
    second = Autoencoder(2, **options).fit(bent, checkpoint=other)
    equal(first, second)
    assert first.history_["held_out"][:3] == model.history_["held_out"]
    assert first._state.facts["seed"] != Autoencoder(2, **options).fit(bent)._state.facts["seed"]


def test_a_failing_fit_leaves_its_state(bent: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"

    def report(phase: str, history: Any) -> None:
        if len(history.columns["epoch"]) == 4:
            raise MemoryError

    with pytest.raises(MemoryError):
        Autoencoder(2, **SMALL, verbose=report).fit(bent, checkpoint=path)
    rest = Stopping()
    whole = Autoencoder(2, **SMALL).fit(bent)
    model = Autoencoder(2, **SMALL, verbose=rest).fit(bent, checkpoint=path)
    assert len(rest.phases) == model.n_iter_ - 4
    equal(whole, model)


def test_rows_may_be_read_from_files_as_training_goes_on(
    bent: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows").mkdir()
    for place, part in enumerate(np.split(bent, [130, 300])):
        np.save(tmp_path / "rows" / f"{place}.npy", part)
    whole, path = Autoencoder(2, **SMALL).fit(bent), tmp_path / "run.ckpt"
    monkeypatch.setattr("autoencode.training_rows.MAPPED_LIMIT", 0)
    interrupted(Autoencoder(2, **SMALL), path, 3, tmp_path / "rows")
    rest = Stopping()
    model = Autoencoder(2, **SMALL, verbose=rest).fit(tmp_path / "rows", checkpoint=path)
    assert len(rest.phases) == whole.n_iter_ - 3
    equal(whole, model)
