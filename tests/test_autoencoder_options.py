"""Every option of the estimator does what it says, and refuses what it cannot do."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autoencode import Autoencoder
from autoencode.errors import AutoencodeError, SpecError
from autoencode.numerics import choose_threads

USUAL = {"n_components": 3, "hidden_layer_sizes": (16,), "max_epochs": 6, "random_state": 0}

# Options whose other value changes the course of training.
TRAINING = {
    "n_components": 2,
    "hidden_layer_sizes": (8, 8),
    "architecture": "mlp:activation=relu",
    "nested": False,
    "corruption": "mask:level=0.1",
    "likelihood": "huber",
    "penalties": ("l1",),
    "max_epochs": 4,
    "batch_size": 100,
    "learning_rate": 1e-4,
    "validation_fraction": 0.3,
    "scaling": "standard",
    "dtype": "float64",
    "random_state": 1,
}
OTHERS = {"bottleneck", "columns", "max_time", "missing", "device", "n_threads", "verbose"}
OTHERS |= {"conditional"}  # what is drawn changes: see test_sampling


@functools.cache
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 6, 300)
    hidden = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], 1)
    return (hidden @ rng.normal(size=(3, 6)) + 0.05 * rng.normal(size=(300, 6))) * np.arange(1, 7)


def fitted(**options: Any) -> Autoencoder:
    return Autoencoder(**(USUAL | options)).fit(rows())


def told(model: Autoencoder) -> dict[str, Any]:
    return {name: column for name, column in model.history_.items() if name != "seconds"}


def test_every_option_is_tested() -> None:
    assert set(inspect.signature(Autoencoder).parameters) == set(TRAINING) | OTHERS


def test_options_are_keywords_but_for_the_first() -> None:
    kinds = [option.kind for option in inspect.signature(Autoencoder).parameters.values()]
    assert kinds[0] == inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds[1:]) == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("option", TRAINING)
def test_an_option_changes_the_training(option: str) -> None:
    usual, other = fitted(), fitted(**{option: TRAINING[option]})
    assert told(usual) == told(fitted())
    assert told(other) != told(usual)


def test_n_components_is_the_length_of_the_code() -> None:
    assert fitted(n_components=2).transform(rows()).shape == (300, 2)
    assert fitted(n_components=np.int64(2)).n_components_ == 2
    assert fitted(n_components=np.float32(0.5)).n_components_ <= 2


def test_hidden_layer_sizes_are_those_of_the_encoder_and_mirrored() -> None:
    model = fitted(n_components=2, hidden_layer_sizes=(32, 16, 8), max_epochs=40)
    assert model.gate_ == 1
    assert [layer.out_features for layer in model.encoder_.encoder.layers] == [32, 16, 8]
    assert [layer.out_features for layer in model.decoder_.decoder.layers] == [8, 16, 32]
    for sizes in ([16], np.array([16]), (np.int64(16),)):
        assert told(fitted(hidden_layer_sizes=sizes)) == told(fitted())


def test_the_bottleneck_may_come_from_outside(outside: str) -> None:
    model = fitted(n_components=2, bottleneck=f"{outside}:Doubled", max_epochs=40)
    assert model.gate_ == 1
    assert type(model.encoder_.bottleneck).__name__ == "Doubled"


def test_max_epochs_is_the_longest_phase() -> None:
    phases = fitted(max_epochs=4).history_["phase"]
    assert (phases.count("nested"), phases.count("final")) == (4, 2)
    assert set(fitted(nested=False).history_["phase"]) == {"final"}


def test_max_time_ends_the_fit() -> None:
    model = fitted(max_epochs=10_000_000, max_time=0.5, learning_rate=1e-5)
    assert model.stop_reason_ == "budget"
    assert 0.2 < model.history_["seconds"][-1] < 3


def test_nothing_changes_with_the_device_that_is_used_anyway() -> None:
    assert told(fitted(device="cpu")) == told(fitted(device=torch.device("cpu"))) == told(fitted())


def test_n_threads_is_the_most_that_are_used() -> None:
    assert choose_threads(1e12, 3) == 3
    assert choose_threads(1.0, 3) == 1
    assert choose_threads(1e12, "auto") == torch.get_num_threads()
    assert told(fitted(n_threads=1)) == told(fitted())


def test_verbose_writes_a_line_per_epoch_to_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = fitted(verbose=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == model.n_iter_ == 9
    assert re.match(r"nested epoch 1: held-out 0\.\d+, \d+\.\d s\n", err)
    seen = []
    fitted(verbose=lambda phase, history: seen.append((phase, history.columns["epoch"][-1])))
    assert seen == [("nested", n) for n in range(1, 7)] + [("final", n) for n in range(1, 4)]
    assert capfd.readouterr() == ("", "")


def test_columns_are_of_the_kind_that_is_asked_for() -> None:
    table = pd.DataFrame(rows().round(), columns=list("abcdef"))
    usual = Autoencoder(**USUAL).fit(table)
    other = Autoencoder(**USUAL, columns={"b": "categorical"}).fit(table)
    assert told(usual) != told(other)
    kinds = [row["kind"] for row in other._state.schema.describe()]
    assert kinds == ["numeric", "categorical", *["numeric"] * 4]
    for columns, message in (
        ({"z": "numeric"}, "'z'"),
        ({"a": "nominal"}, "columns['a']='nominal' is not known; choose from binary"),
    ):
        with pytest.raises(AutoencodeError, match=re.escape(message)):
            Autoencoder(**USUAL, columns=columns).fit(table)


def test_missing_cells_may_tell_of_their_values() -> None:
    holes = np.where(np.random.default_rng(0).random((300, 6)) < 0.1, np.nan, rows())
    usual, other = (
        Autoencoder(**USUAL, missing=kind).fit(holes) for kind in ("ignorable", "informative")
    )
    assert "train_missingness" not in usual.history_
    assert min(other.history_["train_missingness"]) > 0
    # Nothing missing: nothing to tell.
    assert told(fitted(missing="informative")) == told(fitted())


def test_no_number_of_components_is_the_full_length() -> None:
    model = fitted(n_components=None)
    assert model.n_components_ == 6
    assert model.score(rows()) > 0.999
    assert set(model.history_["phase"]) == {"final"}


def test_scaling_standard_makes_columns_count_alike() -> None:
    common, standard = (
        Autoencoder(1, hidden_layer_sizes=(), scaling=kind, random_state=0).fit(rows())
        for kind in ("common", "standard")
    )
    left = [
        np.square(rows() - model.reconstruct(rows())).mean(0) / rows().var(0)
        for model in (common, standard)
    ]
    assert left[0].mean() > left[1].mean()
    auto = Autoencoder(1, hidden_layer_sizes=(), random_state=0).fit(rows())
    assert np.array_equal(auto.transform(rows()), common.transform(rows()))


def test_parameters_are_stored_as_given() -> None:
    sizes, penalties = [8], ["l1"]
    model = Autoencoder(3, hidden_layer_sizes=sizes, penalties=penalties, max_epochs=1).fit(rows())
    assert model.get_params()["hidden_layer_sizes"] is sizes
    assert model.get_params()["penalties"] is penalties


BAD = {
    "n_components": [0, -1, 7, 1.0, 1.5, 0.0, True, "many", np.nan],
    "columns": [{"a": "numeric"}],
    "hidden_layer_sizes": ["big", 3, (0,), (8, -1), (8.5,), ("a",), None],
    "architecture": ["mpl", 3, None, "mlp:depth=2"],
    "bottleneck": ["plane", 3, None],
    "nested": ["yes", 2, None],
    "corruption": ["salt", 3, None],
    "likelihood": ["normal", 3, None],
    "penalties": ["l1", ("l3",), 3, None, (3,)],
    "missing": ["random", True, None],
    "conditional": ["yes", 2, None, True],
    "max_epochs": [0, -1, 2.5, "x", None, np.inf],
    "max_time": [0, -1.0, "x", np.nan],
    "batch_size": [0, -1, 2.5, "x", None],
    "learning_rate": [0, -1e-3, "fast", np.nan, np.inf, None],
    "validation_fraction": [0, 1, -0.1, 2.0, "x", None, np.nan],
    "scaling": ["minmax", None, 1],
    "device": ["gpu9", "cuda:77", None],
    "dtype": ["float16", None, torch.int32, 3],
    "n_threads": [0, -1, 1.5, "many", None],
    "random_state": [-1, "x", 1.5],
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in BAD.items() for value in values]
)
def test_a_bad_value_is_refused_by_name(option: str, value: Any) -> None:
    named = "penalty|penalties" if option == "penalties" else option
    with pytest.raises(SpecError, match=f"^({named})=") as caught:
        fitted(**{option: value})
    assert "\n" not in str(caught.value)


def test_a_share_needs_all_sizes() -> None:
    with pytest.raises(SpecError, match="nested=False needs n_components as a whole number"):
        fitted(nested=False, n_components=0.9)


def test_every_option_has_bad_values_but_verbose() -> None:
    assert set(BAD) == set(inspect.signature(Autoencoder).parameters) - {"verbose"}


@pytest.mark.parametrize("sizes", [(), (16,)])
def test_no_more_components_than_rows_that_are_left(sizes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(60, 80))
    options = {"hidden_layer_sizes": sizes, "max_epochs": 1, "random_state": 0}
    assert Autoencoder(54, **options).fit(x).transform(x).shape == (60, 54)
    assert Autoencoder(55, validation_fraction=0.05, **options).fit(x).n_components_ == 55
    for count in (55, 60):
        with pytest.raises(SpecError, match=f"n_components={count} is more .* at most 54"):
            Autoencoder(count, **options).fit(x)
    with pytest.raises(SpecError, match="between 1 and"):
        Autoencoder(61, **options).fit(x)
