"""Rows -> further rows like them: restored after a corruption, or moved in the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import check_random_state
from torch import nn

from autoencode.corruptions import GaussianNoise, Hide
from autoencode.data.rows import Rows
from autoencode.defaults import positive
from autoencode.errors import DataError, SpecError
from autoencode.inference import apply
from autoencode.interfaces import Batch, Corruption
from autoencode.spec import parse
from autoencode.state import State

__all__ = [
    "AUGMENTATION_KINDS",
    "LABELLED_KINDS",
    "Choice",
    "choose",
    "require_classes",
    "variants",
]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

LABELLED_KINDS = ("differences", "interpolate")
AUGMENTATION_KINDS = ("restore", *LABELLED_KINDS)

_STRENGTH = {"restore": 0.5, "differences": 0.5, "interpolate": 1.0}
_NEIGHBOURS = 5
_PIECES = 16
"""How many calls of the networks make rows that are restored at a time."""
"""As many as SMOTE has (Chawla et al., 2002)."""


@dataclass(frozen=True)
class Choice:
    """How rows are varied, checked.

    Attributes
    ----------
    kind : str
        One of `AUGMENTATION_KINDS`.
    strength : float or None
        None: that of the model's own corruption, if it has one.
    count : int
        Variants of each row.
    seed : int
        Of all that is random.
    """

    kind: str
    strength: float | None
    count: int
    seed: int

    @property
    def amount(self) -> float:
        """The strength, as a number."""
        return _STRENGTH[self.kind] if self.strength is None else self.strength


def choose(
    kind: str, strength: float | None, n: int, random_state: Any, *, labelled: bool
) -> Choice:
    """Check what was asked for, and resolve "auto".

    Raises
    ------
    SpecError
        Naming the parameter, what was given and what is allowed.
    """
    if kind == "auto":
        kind = "differences" if labelled else "restore"
    if kind not in AUGMENTATION_KINDS:
        raise SpecError(f"kind={kind!r} should be 'auto' or one of {AUGMENTATION_KINDS}")
    if kind in LABELLED_KINDS and not labelled:
        raise SpecError(f"kind={kind!r} needs y, the class of each row; 'restore' does not")
    if strength is not None:
        strength = positive("strength", strength, other="None")
        if strength > 1 and (kind == "interpolate"):
            raise SpecError(f"strength={strength!r} should be at most 1 to interpolate")
    count = int(positive("n", n, whole=True, other=None))
    try:
        seed = int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise SpecError(f"random_state={random_state!r} cannot be used: {error}") from None
    return Choice(kind, strength, count, seed)


def require_classes(y: Any, n_rows: int) -> npt.NDArray[Any]:
    """Return labels as an array of one class for each row.

    Raises
    ------
    DataError
        If there are not as many as rows, or some are missing.
    """
    labels = np.asarray(y)
    if labels.shape != (n_rows,):
        raise DataError(
            f"y has shape {labels.shape}; it should have one class for each row, ({n_rows},)"
        )
    absent = [label is None or label != label for label in labels.tolist()]
    if any(absent):
        raise DataError(
            f"y has missing classes in {sum(absent)} rows, the first is row {absent.index(True)} "
            "(counted from 0); leave these out"
        )
    return labels


def variants(state: State, rows: Rows, labels: Any, choice: Choice, piece: int) -> Iterator[Array]:
    """Yield variants of rows as values, a few at a time, before they are turned into cells.

    Parameters
    ----------
    state : State
        The fitted model.
    rows : Rows
        To be varied; where cells are missing, plausible values are drawn first.
    labels : ndarray of shape (n_rows,) or None
        Their classes.
    choice : Choice
        How.
    piece : int
        Rows per call of the networks.

    Yields
    ------
    ndarray of shape (some rows, n_values)
        The first variant of every row, then the second, and so on: ``count * n_rows`` in all.
    """
    source = _Variants(state, piece, np.random.default_rng(choice.seed))
    if choice.kind == "restore":
        corruption, step = _corruption(state, choice), _PIECES * piece
        for start in list(range(0, rows.n_rows, step)) * choice.count:
            block = np.array(rows.block(start, min(start + step, rows.n_rows)), dtype=np.float64)
            yield source.restored(block, corruption)
        return
    given = np.array(rows.dense(), dtype=np.float64)
    _, groups = np.unique(labels, return_inverse=True)
    if len(np.unique(groups)) == len(groups):
        raise DataError("every class of y has one row only; two are needed to tell how rows differ")
    move: Callable[..., Array] = source.transplanted
    if choice.kind == "interpolate":
        move = source.interpolated
    for _ in range(choice.count):
        yield move(given, groups, choice.amount)


def _corruption(state: State, choice: Choice) -> Corruption:
    """Return the model's own corruption, if no strength is asked for, else one that it can undo.

    Half of the rows that training hides cells of lose none: here all do.
    """
    composition = state.composition
    named = composition.corruption
    own = composition.corrupter()
    hides = isinstance(named, str) and parse(named)[0] == "hide"
    if choice.strength is None and own is not None and not hides:
        return own
    if composition.masked or state.schema is not None:
        if choice.amount > 1:
            raise SpecError(f"strength={choice.amount!r} is a share of hidden cells: at most 1")
        return Hide(composition.layout, level=choice.amount, rows=1.0, together=False)
    return GaussianNoise(composition.layout, choice.amount)


class _Variants:
    """Draws variants of rows of values; every call draws others.

    Parameters
    ----------
    state : State
        The fitted model.
    piece : int
        Rows per call of the networks.
    generator : numpy.random.Generator
        The only source of randomness.
    """

    def __init__(self, state: State, piece: int, generator: np.random.Generator) -> None:
        self.state, self.piece, self.generator = state, piece, generator
        self.torch_rng = torch.Generator().manual_seed(int(generator.integers(2**62)))
        fitted = state.fitted(torch.float64)
        self.encoder, self.decoder = fitted.encoder, fitted.decoder
        self.both = nn.Sequential(fitted.encoder, fitted.decoder)
        self.selection = state.selection()

    def restored(self, given: Array, corruption: Corruption) -> Array:
        """Return corrupted rows as the model restores them.

        Hidden cells are drawn. To other rows is added what restoring changes of the
        change: they keep what the code does not hold.
        """
        filled = self.filled(given)
        scaled = torch.from_numpy(self.state.scaling.forward(filled))
        spoilt = corruption(Batch(scaled), self.torch_rng)
        if spoilt.observed is not None:
            return self.filled(np.where(spoilt.observed.numpy(), filled, np.nan))
        noisy = self.state.scaling.backward(spoilt.x.numpy())
        return filled + self._run(self.both, noisy) - self._run(self.both, filled)

    def transplanted(self, given: Array, groups: Places, strength: float) -> Array:
        """Return rows moved by a part of the difference of two rows of one class, any class.

        Rows of all classes tell how rows of one class differ (as in the delta-encoder of
        Schwartz et al., 2018): a class of few rows is not varied by those few alone.
        """
        sizes = np.bincount(groups)
        several = np.flatnonzero(sizes[groups] > 1)
        first = self.generator.choice(several, size=len(given))
        second = _others(groups, first, self.generator)
        filled = self.filled(given)
        codes, left = self._coded(filled)
        moved = codes + strength * (codes[first] - codes[second])
        result = self._decoded(moved) + left + strength * (left[first] - left[second])
        return self._within(result, filled)

    def interpolated(self, given: Array, groups: Places, strength: float) -> Array:
        """Return rows between each row and one of its nearest in code of the same class.

        SMOTE (Chawla et al., 2002), in codes; a row that is alone in its class stays.
        """
        filled = self.filled(given)
        codes, left = self._coded(filled)
        other = _neighbours(codes, groups, self.generator)
        share = strength * self.generator.random((len(given), 1))
        moved = codes + share * (codes[other] - codes)
        return self._decoded(moved) + left + share * (left[other] - left)

    def filled(self, given: Array) -> Array:
        """Return rows with a plausible value in each missing cell."""
        absent = np.isnan(given)
        if not absent.any():
            return given
        values = self._run(self.both, given, takes_missing=True)
        numbers = self._numbers()
        drawn = values + numbers * self._errors(values.shape)
        if self.selection is not None:
            scaled = torch.from_numpy(self.state.scaling.forward(values))
            pair = torch.from_numpy(self.generator.standard_normal((2, *values.shape)))
            raw = self.state.scaling.backward(self.selection.draw(scaled, *pair).numpy())
            drawn = np.where(self.selection.numbers.numpy(), raw, drawn)
        return np.where(absent, drawn, given)

    def _numbers(self) -> npt.NDArray[np.bool_]:
        """Return which values are real numbers; the others are probabilities."""
        found = np.ones(self.state.n_values, dtype=np.bool_)
        for part in self.state.composition.segments:
            found[part.start : part.stop] = part.likelihood in ("gaussian", "huber", "count")
        return found

    def _errors(self, shape: tuple[int, ...]) -> Array:
        """Draw errors as those of restored values on held-out rows."""
        residuals = self.state.residuals
        if not residuals.shape[1]:
            return np.zeros(shape)
        places = self.generator.integers(residuals.shape[1], size=shape)
        errors: Array = residuals[np.arange(shape[1]), places]
        return errors

    def _coded(self, filled: Array) -> tuple[Array, Array]:
        """Return codes, and what they leave of the rows."""
        codes = self._run(self.encoder, filled, self.state.n_components)
        return codes, filled - self._decoded(codes)

    def _decoded(self, codes: Array) -> Array:
        return self._run(self.decoder, codes)

    def _run(
        self,
        module: nn.Module,
        values: Array,
        width: int | None = None,
        *,
        takes_missing: bool = False,
    ) -> Array:
        result = np.empty((len(values), self.state.n_values if width is None else width))
        missing = self.both if takes_missing and self.encoder.takes_missing else None
        apply(module, Rows(values, kind="numpy"), result, self.piece, missing=missing)
        return result

    def _within(self, values: Array, filled: Array) -> Array:
        """Keep values of arrays in the range of their column; tables know it themselves."""
        if self.state.schema is not None:
            return values
        clipped: Array = np.clip(values, filled.min(0), filled.max(0))
        return clipped


def _others(groups: Places, chosen: Places, generator: np.random.Generator) -> Places:
    """Return for each chosen row another one of its class."""
    order = np.argsort(groups, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    sizes = np.bincount(groups)
    start = (np.cumsum(sizes) - sizes)[groups[chosen]]
    size = sizes[groups[chosen]]
    step = 1 + (generator.random(len(chosen)) * (size - 1)).astype(np.intp)
    others: Places = order[start + (place[chosen] - start + step) % size]
    return others


def _neighbours(codes: Array, groups: Places, generator: np.random.Generator) -> Places:
    """Return for each row one of the nearest of its class; itself if it is alone there."""
    from sklearn.neighbors import NearestNeighbors

    result = np.arange(len(codes))
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == group)
        count = min(_NEIGHBOURS, len(members) - 1)
        if count < 1:
            continue
        search = NearestNeighbors(n_neighbors=count).fit(codes[members])
        near = search.kneighbors(return_distance=False)
        picked = generator.integers(count, size=len(members))
        result[members] = members[near[np.arange(len(members)), picked]]
    return result
