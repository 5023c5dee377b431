"""Every choice on an axis goes with every choice on the others, without code for the pair."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autoencode
from autoencode import Autoencoder, VariationalAutoencoder
from autoencode.kinds import ARCHITECTURES, BOTTLENECKS, CORRUPTIONS, LIKELIHOODS

# Where there is a range, the encoder is told each row's level.
SPECS = {
    "gaussian": "gaussian:level=(0.1,1.0)",
    "mask": "mask:level=(0.1,0.5)",
    "block": "block:level=(0.1,0.5)",
    "salt_pepper": "salt_pepper:level=(0.1,0.5)",
    "swap": "swap:level=(0.1,0.5)",
}
TOLD = (*SPECS, "restoring")
N_ROWS = 60


@functools.cache
def data_for(likelihood: str) -> Any:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(N_ROWS, 5))
    if likelihood == "bernoulli":
        return np.where(X > 0, 1.0, 0.0)
    if likelihood == "categorical":
        return np.eye(5)[X.argmax(1)]
    if likelihood == "count":
        return np.log1p(rng.poisson(np.exp(X)))
    if likelihood == "mixed":
        columns = {"x": X[:, 0], "y": X[:, 1], "level": np.array(list("abc"))[X[:, 2:].argmax(1)]}
        return pd.DataFrame(columns | {"n": rng.poisson(np.exp(X[:, 3])), "yes": X[:, 4] > 0})
    return X


def combinations() -> list[tuple[str, str, str, str, int | None]]:
    """Give every choice for the usual network, and every pair of choices for the others.

    Of convolutions, which take long, each choice with every one on one other axis.
    """
    lengths = (2, None)
    usual = itertools.product(["mlp"], ["plain"], CORRUPTIONS, LIKELIHOODS, lengths)
    dense = [name for name in ARCHITECTURES if name != "conv"]
    others = list(itertools.product(dense, BOTTLENECKS))[1:]
    assert ("mlp", "plain") not in others
    found: list[Any] = list(usual)
    for shift, pair in enumerate(others):
        for place, corruption in enumerate(CORRUPTIONS):
            likelihood = LIKELIHOODS[(place + shift) % len(LIKELIHOODS)]
            found.append((*pair, corruption, likelihood, lengths[(place // 2 + shift) % 2]))
    for place in range(2 * len(BOTTLENECKS)):
        neck, corruption = (names[place % len(names)] for names in (BOTTLENECKS, CORRUPTIONS))
        likelihood = LIKELIHOODS[(place + place // len(LIKELIHOODS)) % len(LIKELIHOODS)]
        found.append(("conv", neck, corruption, likelihood, lengths[place // len(BOTTLENECKS)]))
    return found


def test_every_pair_of_choices_is_there() -> None:
    axes = (ARCHITECTURES, BOTTLENECKS, CORRUPTIONS, LIKELIHOODS, (2, None))
    for one, two in itertools.combinations(range(len(axes)), 2):
        pairs = {(choice[one], choice[two]) for choice in combinations()}
        assert pairs == set(itertools.product(axes[one], axes[two]))


@pytest.mark.parametrize(
    ("architecture", "bottleneck", "corruption", "likelihood", "n_components"), combinations()
)
def test_any_combination_fits_decodes_and_is_kept(
    architecture: str,
    bottleneck: str,
    corruption: str,
    likelihood: str,
    n_components: int | None,
    tmp_path: Path,
) -> None:
    X = data_for(likelihood)
    model = Autoencoder(
        n_components,
        architecture=architecture,
        bottleneck=bottleneck,
        corruption=SPECS.get(corruption, corruption),
        likelihood=likelihood,
        penalties=(),
        hidden_layer_sizes=(6,),
        max_epochs=2,
        random_state=0,
    ).fit(X)
    state = model._state
    assert state.composition.noisy == (corruption in TOLD)
    if architecture == "dictionary" and bottleneck in ("plain", "gaussian"):
        # As many parts as there are components, all of them active, are PCA.
        assert model.history_ == {}
        assert model.gate_ == 0
        return
    # The network was trained, whether or not it is better than PCA after so little of it.
    assert len(model.history_["epoch"]) > 1
    assert np.isfinite(model.history_["held_out"]).all()
    # Nothing is to be learned where rows are kept whole and nothing happens to them.
    if corruption != "none" or n_components is not None:
        assert len(set(model.history_["train_reconstruction"])) > 1
    codes = model.transform(X)
    assert codes.shape == (N_ROWS, model.n_components_)
    rebuilt = model.inverse_transform(codes)
    assert np.shape(rebuilt) == np.shape(X)
    assert type(model.reconstruct(X)) is type(X)
    model.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    assert loaded.transform(X).tobytes() == codes.tobytes()
    assert np.array_equal(loaded.reconstruct(X), model.reconstruct(X))


@pytest.mark.parametrize("penalty", ["kl_sparsity:activity=0.3", "l1:weight=0.1"])
@pytest.mark.parametrize("corruption", ["mask:level=0.2", "gaussian:level=0.3"])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_a_variational_model_denoises_and_is_sparse_in_the_same_loop(
    penalty: str, corruption: str, n_samples: int, tmp_path: Path
) -> None:
    X = data_for("gaussian")
    choices = {"corruption": corruption, "penalties": (penalty,), "n_samples": n_samples}
    model = VariationalAutoencoder(
        2, hidden_layer_sizes=(6,), max_epochs=4, random_state=0, **choices
    ).fit(X)
    name = penalty.partition(":")[0]
    for term in ("reconstruction", "code", name):
        assert len(set(model.history_[f"train_{term}"])) > 1
    assert np.isfinite(model.history_["held_out"]).all()
    assert model.bounds_["bound"] >= model.bounds_["floor"] - 0.2
    model.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.score_samples(X), model.score_samples(X))
