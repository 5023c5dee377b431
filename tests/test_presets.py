"""The kinds of models that have a name: names, estimators and parameters agree."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from autoencode import Autoencoder, estimators, kinds
from autoencode.commands.fitting import Kind, Noise, RowsAre
from autoencode.noise import KINDS
from autoencode.presets import PRESETS
from autoencode.situation import SITUATIONS


def parameters(estimator: type) -> set[str]:
    return set(inspect.signature(estimator).parameters)


def test_every_name_has_its_choices_and_can_be_asked_for() -> None:
    assert tuple(PRESETS) == kinds.PRESETS
    assert get_args(get_args(Kind)[0]) == (*kinds.PRESETS, "anomaly")
    assert get_args(get_args(Noise)[0]) == ("auto", *KINDS[1:])
    assert set(get_args(get_args(RowsAre)[0])) == {"auto", *SITUATIONS} - {"pairs"}


@pytest.mark.parametrize("name", kinds.PRESETS)
def test_an_estimator_lacks_what_its_preset_decides(name: str) -> None:
    preset = PRESETS[name]
    own, general = parameters(getattr(estimators, preset.estimator)), parameters(Autoencoder)
    assert own - general == set(preset.takes)
    assert general - own >= set(preset.decides)
