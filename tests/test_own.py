"""Encoders and decoders of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import autoencode
from autoencode import Autoencoder
from autoencode.architectures.own import Own, own_modules
from autoencode.errors import ModelFileError, SpecError
from autoencode.interfaces import Context

CHOICES: dict[str, Any] = {"max_epochs": 8, "learning_rate": 0.01, "random_state": 0}


def make_encoder(shape: tuple[int, ...]) -> nn.Module:
    """Make an encoder of pictures."""
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3, 2, 1), nn.SiLU(), nn.Dropout(0.2))


def make_decoder(n_components: int, shape: tuple[int, ...]) -> nn.Module:
    """Make a decoder to pictures."""
    layers = [nn.Linear(n_components, 32), nn.SiLU(), nn.Linear(32, int(np.prod(shape)))]
    return nn.Sequential(*layers, nn.Unflatten(1, shape))


def make_text(*_: Any) -> Any:
    """Make what is no module."""
    return "no module"


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_digits().images[:400]


def test_modules_of_pictures_are_fitted_kept_and_loaded_when_trusted(
    digits: Any, tmp_path: Path
) -> None:
    fits = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # which must not matter
        before = torch.get_rng_state()
        fits.append(Autoencoder(3, architecture=(make_encoder, make_decoder), **CHOICES))
        fits[-1].fit(digits)
        assert torch.equal(torch.get_rng_state(), before)
    model, again = fits
    assert model.gate_ == 1
    assert np.array_equal(model.encode(digits), again.encode(digits))
    assert np.array_equal(model.encode(digits[:7]), model.encode(digits)[:7])
    assert model.reconstruct(digits).shape == digits.shape
    model.save(tmp_path / "model")
    with pytest.raises(ModelFileError, match="if you trust that package"):
        autoencode.load(tmp_path / "model")
    loaded = autoencode.load(tmp_path / "model", trusted=(__name__,))
    assert np.array_equal(loaded.reconstruct(digits), model.reconstruct(digits))


def test_the_start_is_pca_and_the_decoder_learns_from_there(digits: Any) -> None:
    model = Autoencoder(3, architecture=(make_encoder, make_decoder), **CHOICES).fit(digits)
    network = model._state.networks["final"]
    assert float(network.decoder.gain.detach()) != 0
    found = network.encoder(torch.randn(5, 64), rng=torch.Generator())
    assert found.hidden.shape == (5, 4 * 4 * 4)
    context = Context()
    z = torch.randn(5, 3)
    assert torch.equal(network.decoder(z, context), network.decoder(z, context))
    with pytest.raises(SpecError, match="cannot be shortened"):
        network.decoder.copy_prefix(network.decoder)
    assert model.truncate(2).gate_ == 0  # PCA has all lengths


def test_modules_without_a_name_are_fitted_and_not_saved(digits: Any, tmp_path: Path) -> None:
    rows = digits.reshape(len(digits), -1)
    pair = (lambda shape: nn.Linear(shape[0], 5), lambda k, shape: nn.Linear(k, shape[0]))
    model = Autoencoder(2, architecture=pair, **{**CHOICES, "max_epochs": 1}).fit(rows)
    assert model.reconstruct(rows).shape == rows.shape
    with pytest.raises(SpecError, match="no importable name"):
        model.save(tmp_path / "model")


@pytest.mark.parametrize(
    ("pair", "more", "message"),
    [
        ((make_encoder,), {}, "a pair of callables"),
        ((make_encoder, 3), {}, "a pair of callables"),
        (("nowhere.at_all:x", make_decoder), {}, "'nowhere.at_all:x' cannot be imported"),
        ((make_text, make_decoder), {}, "the encoder of architecture is a str"),
        ((make_encoder, make_text), {}, "the decoder of architecture is a str"),
        ((make_encoder, make_decoder), {"nested": True}, "pass nested=False"),
        ((make_encoder, make_decoder), {"corruption": "hide"}, "are not told what is missing"),
    ],
)
def test_what_cannot_be_used_is_refused(
    digits: Any, pair: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        Autoencoder(2, architecture=pair, **more).fit(digits)


def test_a_pair_of_names_is_the_same() -> None:
    spec = own_modules((f"{__name__}:make_encoder", f"{__name__}:make_decoder"))
    assert spec == own_modules((make_encoder, make_decoder))
    part = Own((8, 6, 3), (4,), make_encoder, f"{__name__}:make_decoder")
    assert part.shape == (3, 8, 6)
    assert part.n_hidden == 4 * 4 * 3
