"""Dense layers or convolutions, where nobody says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import autoencode
from autoencode import Autoencoder, VariationalAutoencoder, architecture_choice
from autoencode.architecture_choice import choose_architecture
from autoencode.data.arrays import open_array
from autoencode.planning import make_plan
from autoencode.strength import Trial

COUNT, SIDE = 320, 16


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    digits = load_digits().images[:COUNT]
    return np.rint(np.kron(digits, np.ones((2, 2))) * (255 / 16)).astype(np.uint8)


def tried(monkeypatch: pytest.MonkeyPatch, errors: dict[str, float]) -> list[Any]:
    """Let trials end with given errors, which differ a little from row to row; list them."""
    plans: list[Any] = []

    class Fitted:
        def __init__(self, plan: Any, *_: Any, split: Any) -> None:
            self.data = self
            self.plan, self.split = plan, split
            plans.append(self)

        def search_limit(self) -> int:
            return 4

        def trial(self, search: int) -> Trial:
            kind, rows = self.plan.composition.architecture, np.linspace(0.9, 1.1, 40)[:, None]
            error = errors[kind] * (rows if kind == "mlp" else rows[::-1])
            return Trial([search], error, 3.0 * rows, np.ones(3))

    monkeypatch.setattr(architecture_choice, "Fit", Fitted)
    return plans


def chosen(pictures: np.ndarray, *, resumable: bool = False, **options: Any) -> Any:
    given = Autoencoder(4, random_state=0, **options).get_params()
    rows = open_array(pictures)
    plan = make_plan(given, rows)
    return choose_architecture(plan, given, rows, None, None, resumable=resumable)


@pytest.mark.parametrize(("convolving", "expected"), [(0.5, "conv"), (0.9999, "mlp"), (2.0, "mlp")])
def test_convolutions_are_taken_where_they_gain(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, convolving: float, expected: str
) -> None:
    fits = tried(monkeypatch, {"mlp": 1.0, "conv": convolving})
    plan, facts = chosen(pictures)
    assert plan.composition.architecture == expected
    assert facts["conv"] / facts["mlp"] == pytest.approx(convolving)
    assert facts["size"] == 4
    first, second = fits
    assert np.array_equal(first.split.train, second.split.train)
    assert not np.intersect1d(first.split.train, first.split.choose).size
    assert first.plan.seed == second.plan.seed == plan.seed
    assert first.plan.max_epochs < plan.max_epochs / 5


def test_the_time_of_trials_is_taken_from_the_fit(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = tried(monkeypatch, {"mlp": 1.0, "conv": 0.5})
    plan, _ = chosen(pictures, max_time=100.0)
    assert [fit.plan.max_time for fit in fits] == pytest.approx([5.0, 5.0])
    assert 90.0 < plan.max_time < 100.0
    for options in ({"max_time": 100.0, "resumable": True}, {"max_time": 29.0}):
        plan, facts = chosen(pictures, **options)
        assert (plan.max_time, facts) == (options["max_time"], {})


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((COUNT, SIDE * SIDE), {}),
        ((COUNT, 32, 8), {}),
        ((299, SIDE, SIDE), {}),
        ((COUNT, SIDE, SIDE), {"architecture": "conv"}),
        ((COUNT, SIDE, SIDE), {"hidden_layer_sizes": (8,)}),
        ((COUNT, SIDE, SIDE), {"hidden_layer_sizes": ()}),
        ((COUNT, SIDE, SIDE), {"bottleneck": "topk"}),
        ((COUNT, SIDE, SIDE), {"bottleneck": "gaussian"}),
    ],
)
def test_where_there_is_no_choice_nothing_is_tried(
    pictures: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    options: dict[str, Any],
) -> None:
    fits = tried(monkeypatch, {})
    plan, facts = chosen(pictures.ravel()[: np.prod(shape)].reshape(shape), **options)
    assert (fits, facts) == ([], {})
    assert plan.composition.architecture == options.get("architecture", "mlp")


def test_a_fit_says_what_was_chosen(pictures: np.ndarray, tmp_path: Path) -> None:
    model = Autoencoder(4, max_epochs=2, batch_size=128, random_state=0)
    model.fit(pictures[:300], X_held_out=pictures[300:])
    facts = model._state.facts["architectures"]
    assert model.architecture_ in ("mlp", "conv")
    assert facts["pca"] > 0
    kept = {"mlp": "dense layers", "conv": "convolutions"}[model.architecture_]
    assert f"\n{kept}, chosen on held-out pictures" in model.summary()
    model.save(tmp_path / "model")
    again = autoencode.load(tmp_path / "model")
    assert again.architecture_ == model.architecture_
    assert again.summary() == model.summary()


def test_others_say_what_they_are_made_of(pictures: np.ndarray) -> None:
    options: Any = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0}
    model = VariationalAutoencoder(2, **options).fit(pictures[:60, ::4, ::4])
    assert model.architecture_ == "mlp"
    assert "chosen on held-out pictures" not in model.summary()
