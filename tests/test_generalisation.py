"""Where networks count as worse than they seem, because they know their training rows by heart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autoencode.generalisation import Generalisation
from autoencode.strength import Evidence, Trial


def errors(*values: float) -> Any:
    return lambda *_: np.array(values)[:, None]


def generalisation(held: float, trained: float, evidence: Evidence | None) -> Generalisation:
    choose = SimpleNamespace(floor=errors(8.0, 12.0), errors=errors(held, held))
    seen = SimpleNamespace(errors=errors(trained, trained, trained))
    data: Any = SimpleNamespace(choose=choose, training=None, judged=lambda *_, **__: seen)
    return Generalisation(data, evidence)


NETWORK: Any = SimpleNamespace(encoder=SimpleNamespace(n_products=1))
TRIAL = Trial([1, 2], np.zeros((2, 2)), np.array([[30.0, 20.0], [34.0, 24.0]]), np.zeros(3))


@pytest.mark.parametrize(
    ("held", "trained", "expected"),
    # PCA has 10 here and 22 in cross-validation: a network with 5 is expected to have 11.
    [
        (5.0, 11.0, 1.0),
        (5.0, 11 / 1.2, 1.0),
        (5.0, 5.5, (2 / 1.2) ** 4),
        (10.0, 5.5, (4 / 1.2) ** 4),
    ],
)
def test_errors_far_above_those_of_training_rows_count_more(
    held: float, trained: float, expected: float
) -> None:
    found = generalisation(held, trained, Evidence(trial=TRIAL))
    assert found.excess(NETWORK, 2) == pytest.approx(expected)


def test_nothing_is_told_without_cross_validation_of_that_size_or_without_convolutions() -> None:
    far = (5.0, 1.0)
    dense: Any = SimpleNamespace(encoder=SimpleNamespace())
    assert generalisation(*far, None).excess(NETWORK, 2) == 1.0
    assert generalisation(*far, Evidence()).excess(NETWORK, 2) == 1.0
    assert generalisation(*far, Evidence(trial=TRIAL)).excess(NETWORK, 3) == 1.0
    assert generalisation(*far, Evidence(trial=TRIAL)).excess(dense, 2) == 1.0
    assert generalisation(*far, Evidence(trial=TRIAL)).excess(NETWORK, 2) > 1.0
