"""What an error against clean rows would be, told from noisy ones alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["unbiased_risk"]

Array = npt.NDArray[np.float64]

_STEP = 1e-2
_DIRECTIONS = 4


def unbiased_risk(restore: Callable[[Array], Array], rows: Array, deviation: float) -> Array:
    """Estimate the squared error of restored rows under normal noise of a known strength.

    ``|f(y) - y|^2 - n s^2 + 2 s^2 div f(y)`` (Stein, 1981, theorem 1), the divergence from a
    few random directions (Ramani, Blu and Unser, 2008, eq. 12). Unbiased for rows that
    had no part in making ``restore``.

    Parameters
    ----------
    restore : callable
        From noisy rows to restored ones.
    rows : ndarray of shape (n_rows, n_values)
        Noisy.
    deviation : float
        Of the noise, in the units of the rows.

    Returns
    -------
    ndarray of shape (n_rows,)
        Estimated sum of squares for each row; single ones may be negative.
    """
    result = restore(rows)
    generator = np.random.default_rng(0)
    step = _STEP * max(float(rows.std()), 1e-300)
    divergence = np.zeros(len(rows))
    for _ in range(_DIRECTIONS):
        signs = generator.choice([-1.0, 1.0], rows.shape)
        divergence += (signs * (restore(rows + step * signs) - result)).sum(1) / step
    squares = np.square(result - rows).sum(1)
    risk: Array = squares + deviation**2 * (2 * divergence / _DIRECTIONS - rows.shape[1])
    return risk
