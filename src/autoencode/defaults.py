"""What "auto" means: one place for each default."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.utils import check_random_state

from autoencode.errors import SpecError

__all__ = [
    "FEW_ROWS",
    "MANY_PICTURES",
    "batch_size",
    "channels",
    "device",
    "dtype",
    "hidden_layer_sizes",
    "learning_rate",
    "max_epochs",
    "patience",
    "positive",
    "seed",
]

FEW_ROWS = 300
"""With fewer, a held-out part is too small to judge a network by."""

MANY_PICTURES = 20_000
"""With as many, moving them in training is not tried."""

_ROWS_SEEN = 4_000_000
_MOST_EPOCHS, _MOST_NOISY_EPOCHS = 400, 150
_MANY_ROWS = 50_000
_FEWEST_EPOCHS, _FEWEST_WIDE_EPOCHS = 10, 4
_FEW_VALUES = 64
_MOST_WEIGHTS = 20_000_000
_ROWS_PER_UNIT, _FEWEST_UNITS = 16, 64
_SMALLEST_SIDE, _MOST_CHANNELS = 8, 64


def hidden_layer_sizes(
    given: Any, n_features: int, likely_rows: int | None = None
) -> tuple[int, ...]:
    """Return the hidden layers' sizes, from the data to the code.

    "auto" is two layers, about four times as wide as the data where those are narrow;
    very wide data get fewer units, so that the weights stay below 20 million.

    ``likely_rows``: how many rows a model is fitted to that is judged by how likely it makes
    others; None: it is not. A learned scale makes networks sure of the rows they know: then
    a unit of the first layer for each 16 rows, 64 at least, and half as many in the second.
    """
    if isinstance(given, str):
        if given != "auto":
            raise SpecError(f"hidden_layer_sizes={given!r} should be 'auto' or a sequence of sizes")
        width = 1 << max(5, (4 * n_features - 1).bit_length())
        affordable = max(16, _MOST_WEIGHTS // (2 * n_features))
        widest = 512 if n_features < 512 else 1024
        first = min(width, widest, affordable)
        if likely_rows is None:
            return (first, min(first, widest // 2))
        known = 1 << max(likely_rows // _ROWS_PER_UNIT, _FEWEST_UNITS).bit_length() - 1
        first = min(first, known)
        return (first, max(first // 2, 1))
    try:
        sizes = tuple(operator.index(size) for size in given)
    except (TypeError, ValueError):
        raise SpecError(
            f"hidden_layer_sizes={given!r} should be 'auto' or a sequence of sizes"
        ) from None
    if any(size < 1 for size in sizes):
        raise SpecError(f"hidden_layer_sizes={given!r}: every size should be at least 1")
    return sizes


def channels(sample_shape: Sequence[int]) -> tuple[int, ...]:
    """Return channels of a convolutional network, each time that sides are halved.

    Halved until the longer side has at most 8 pixels, at least once; 16, 32, then 64.
    """
    longest, found = max(sample_shape[:2]), [16]
    while -(-longest // 2) > _SMALLEST_SIDE:
        longest = -(-longest // 2)
        found.append(min(2 * found[-1], _MOST_CHANNELS))
    return tuple(found)


def batch_size(given: int | str, n_rows: int, *, mixed: bool = False) -> int:
    """Return rows per step: a twentieth of the data between 32 and 256.

    Under a likelihood for each column steps cost more, whatever their size: where rows are
    many, 512.
    """
    if given != "auto":
        return int(positive("batch_size", given, whole=True))
    if mixed and n_rows >= _MANY_ROWS:
        return 512
    return min(max(1 << max(n_rows // 20, 1).bit_length() - 1, 32), 256)


def learning_rate(given: float | str) -> float:
    """Return the highest rate."""
    return 2e-3 if given == "auto" else positive("learning_rate", given)


def max_epochs(
    given: int | str,
    n_rows: int,
    max_time: float | None,
    *,
    mixed_values: int = 0,
    noisy: bool = False,
) -> int:
    """Return passes over the data: four million rows in all, 400 passes at most.

    150 at most where noise is drawn anew in each and weights are averaged.

    Under a likelihood for each column as many fewer as rows have more than 64 values
    (``mixed_values``): each costs more there, by hidden layers and by filling in.

    Under a time budget it is the time that ends the fit: ten times as many.
    """
    if given != "auto":
        return int(positive("max_epochs", given, whole=True))
    seen, fewest = _ROWS_SEEN, _FEWEST_EPOCHS
    if mixed_values > _FEW_VALUES:
        seen, fewest = seen * _FEW_VALUES // mixed_values, _FEWEST_WIDE_EPOCHS
    epochs = min(max(seen // n_rows, fewest), _MOST_NOISY_EPOCHS if noisy else _MOST_EPOCHS)
    return epochs if max_time is None else 10 * epochs


def patience(max_epochs: int, *, mixed: bool = False) -> int:
    """Return epochs without a gain after which the rate falls: a quarter, 100 at most.

    A tenth under a likelihood for each column: codes that are trained on without a gain
    only become more tangled.
    """
    return max(10, min(max_epochs, _MOST_EPOCHS) // (10 if mixed else 4))


def device(given: str | torch.device) -> torch.device:
    """Return where to train: CUDA if there is one, else the CPU."""
    if given == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(given)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError(f"device={given!r} cannot be used: {reason}") from None
    return chosen


def dtype(given: str | torch.dtype) -> torch.dtype:
    """Return the floating type of training: float32 unless float64 is asked for."""
    named = {
        "auto": torch.float32,
        "float32": torch.float32,
        "float64": torch.float64,
        torch.float32: torch.float32,
        torch.float64: torch.float64,
    }
    if given not in named:
        raise SpecError(f"dtype={given!r} is not known; choose from auto, float32, float64")
    return named[given]


def positive(name: str, value: Any, *, whole: bool = False, other: str | None = "'auto'") -> float:
    """Return a positive number, or raise `SpecError` naming the parameter.

    ``other`` is what else is allowed, for the message; None: nothing.
    """
    wanted = f"a positive {'whole number' if whole else 'number'}"
    wanted = wanted if other is None else f"{other} or {wanted}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SpecError(f"{name}={value!r} should be {wanted}") from None
    refused = isinstance(value, (bool, str)) or (whole and not float(number).is_integer())
    if refused or not 0 < number < float("inf"):
        raise SpecError(f"{name}={value!r} should be {wanted}")
    return number


def seed(random_state: Any) -> int:
    """Return a seed drawn from what scikit-learn takes as a source of randomness.

    Raises
    ------
    SpecError
        If it is none.
    """
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise SpecError(f"random_state={random_state!r} cannot be used: {error}") from None
