"""Rows -> complete, scaled numbers without constants, and which constants are broken."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from autoencode.data.finite import require_no_infinity
from autoencode.data.rows import Rows
from autoencode.errors import DataError
from autoencode.layout import Layout, Segment
from autoencode.planning import segments_of
from autoencode.preprocess.column_kinds.numeric import Numeric
from autoencode.preprocess.columns import Schema
from autoencode.preprocess.filling import Fill, fit_moments
from autoencode.preprocess.scaling import Scaling, fit_scaling
from autoencode.preprocess.table_rows import TableRows

__all__ = ["WIDEST", "Numbers", "Units", "bent_alike", "own_layout", "plain_values", "straightened"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

WIDEST = 1500
"""Values beyond which rows are too wide for what is kept of how values hang together."""

_FAR = 20.0
"""Deviations beyond which a value counts by its logarithm."""
_MOMENT_ROWS = 4000
_FILLED_ROWS = 512
_ROUNDING = 1e-9


class Numbers(NamedTuple):
    """Rows in the units of a fit.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_kept)
        Without missing values: the best linear guess stands for them.
    observed : ndarray of shape (n_rows, n_kept)
        Which of them were there.
    broken : ndarray of shape (n_rows, n_columns)
        Which columns that had one value in the fit have another, or a level never seen.
    """

    values: Array
    observed: Mask
    broken: Mask

    def rows(self, places: Any) -> Numbers:
        """Return some of the rows."""
        return Numbers(*(part[places] for part in self))


def plain_values(rows: Rows, places: npt.NDArray[np.intp] | None = None) -> tuple[Array, Mask]:
    """Return rows as numbers, NaN where missing, and where cells are new to the schema.

    Parameters
    ----------
    rows : Rows
        An array, or a table under the schema of its fit.
    places : ndarray of int, optional
        Which rows; all by default.

    Returns
    -------
    values : ndarray of shape (n_rows, n_values)
        In the data's units.
    novel : ndarray of shape (n_rows, n_columns)
        Where a constant has another value or a level was never seen; all False for arrays.

    Raises
    ------
    DataError
        If a value is infinite, or rows have more than 1,500 values.
    """
    require_no_infinity(rows)
    if rows.n_features > WIDEST:
        raise DataError(
            f"rows have {rows.n_features} values and anomalies are looked for in {WIDEST} at "
            "most: fit an Autoencoder, and pass its codes"
        )
    found = rows.dense() if places is None else rows.take(places)
    values = np.array(found, dtype=np.float64)
    novel = np.zeros((len(values), rows.n_columns), dtype=bool)
    if isinstance(rows, TableRows):
        cells = rows.cells if places is None else rows.cells[places]
        for column, span in enumerate(rows.schema.spans):
            if not span.block.n_cells:
                continue
            cell = cells[:, span.cells.start]
            if span.block.kind == "constant":
                novel[:, column] = ~np.isnan(cell) & (cell != 0)
            elif span.block.n_values:
                novel[:, column] = ~np.isnan(cell) & np.isnan(values[:, span.values.start])
    return values, novel


def straightened(rows: TableRows, named: Collection[str]) -> TableRows:
    """Return rows whose columns are in their own scale, or nearly in that of a logarithm.

    A few numbers far out make a column's tails look heavy, and bending them in would hide what
    is looked for.

    Parameters
    ----------
    rows : TableRows
        Some of which may be anomalies.
    named : collection of str
        Columns that stay as they are.
    """
    blocks = tuple(
        replace(block, transform="none", centre=0.0, width=1.0)
        if isinstance(block, Numeric) and block.centre and block.name not in named
        else block
        for block in rows.schema.blocks
    )
    return rows.with_schema(replace(rows.schema, blocks=blocks))


def bent_alike(rows: TableRows, fitted: Schema) -> TableRows:
    """Return rows whose numbers are transformed as in a fit, which may have straightened them.

    Parameters
    ----------
    rows : TableRows
        Opened before the fit.
    fitted : Schema
        Of the fit.
    """
    blocks = tuple(
        replace(own, transform=other.transform, centre=other.centre, width=other.width)
        if isinstance(own, Numeric) and isinstance(other, Numeric)
        else own
        for own, other in zip(rows.schema.blocks, fitted.blocks, strict=True)
    )
    return rows.with_schema(replace(rows.schema, blocks=blocks))


@dataclass(frozen=True)
class Units:
    """How rows are centred, scaled and completed; learned from normal rows.

    Attributes
    ----------
    center, scale : ndarray of shape (n_values,)
        Of all values; those of constants too.
    kept : ndarray of shape (n_values,)
        Which values vary.
    owner : ndarray of shape (n_values,)
        The column that each comes from.
    covariance : ndarray of shape (n_kept, n_kept)
        Of the kept values, scaled.
    precision : ndarray of shape (n_kept, n_kept)
        Its inverse, with a ridge.
    n_columns : int
        Columns of the data.
    """

    center: Array
    scale: Array
    kept: Mask
    owner: npt.NDArray[np.int64]
    covariance: Array
    precision: Array
    n_columns: int

    @classmethod
    def fit(cls, values: Array, rows: Rows, trusted: Mask | None = None) -> Units:
        """Learn from the values of rows.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_values)
            In the data's units, NaN where missing.
        rows : Rows
            What they come from: says which values are one column.
        trusted : ndarray of shape (n_rows,), optional
            Which rows are taken for normal; by default all.
        """
        segments = segments_of(rows)
        layout = Layout(values.shape[1], segments)
        scaling = fit_scaling([values], "standard", layout)
        kept = _range(values) > _ROUNDING * np.abs(scaling.center)
        if trusted is not None:
            inner = values[trusted]
            other = fit_scaling([inner], "standard", layout)
            still = _range(inner) <= _ROUNDING * np.abs(other.center)
            center = np.where(np.isnan(inner).all(0), scaling.center, other.center)
            scaling = Scaling(center, np.where(still, scaling.scale, other.scale))
            values = inner
        owner = np.arange(values.shape[1])
        for part in segments:
            owner[part.start : part.stop] = part.column
        scaled = ((values - scaling.center) / scaling.scale)[:, kept]
        every = -(-len(values) // _MOMENT_ROWS)
        if kept.any():
            moments = fit_moments(compressed(scaled[::every]), own_layout(owner[kept]))
            covariance, precision = moments.covariance, moments.precision()
        else:
            covariance = precision = np.zeros((0, 0))
        center, scale = scaling.center, scaling.scale
        return cls(center, scale, kept, owner, covariance, precision, rows.n_columns)

    def numbers(self, values: Array, novel: Mask) -> Numbers:
        """Return rows in these units; see `plain_values` for what is taken."""
        broken = novel.copy()
        still = np.flatnonzero(~self.kept)
        if len(still):
            off = np.abs(values[:, still] - self.center[still])
            other = off > _ROUNDING * np.maximum(np.abs(self.center[still]), 1e-300)
            for place, changed in zip(still, other.T, strict=True):
                broken[:, self.owner[place]] |= changed
        scaled = (values[:, self.kept] - self.center[self.kept]) / self.scale[self.kept]
        observed = ~np.isnan(scaled)
        return Numbers(self._filled(compressed(scaled), observed), observed, broken)

    def _filled(self, scaled: Array, observed: Mask) -> Array:
        lacking = np.flatnonzero(~observed.all(1))
        if not len(lacking):
            return scaled
        fill = Fill(torch.from_numpy(self.precision), own_layout(self.owner[self.kept]))
        result = np.where(observed, scaled, 0.0)
        with torch.inference_mode():
            for start in range(0, len(lacking), _FILLED_ROWS):
                few = lacking[start : start + _FILLED_ROWS]
                known, seen = torch.from_numpy(result[few]), torch.from_numpy(observed[few])
                result[few] = fill(known, seen).numpy()
        return result

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is stored."""
        return {
            "center": self.center,
            "scale": self.scale,
            "kept": self.kept,
            "owner": self.owner,
            "covariance": self.covariance,
            "precision": self.precision,
            "n_columns": np.array([self.n_columns], dtype=np.int64),
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[Any]]) -> Units:
        """Return the units that `tensors` described."""
        parts = {name: part for name, part in tensors.items() if name != "n_columns"}
        return cls(**parts, n_columns=int(tensors["n_columns"][0]))


def own_layout(owner: npt.NDArray[np.int64]) -> Layout:
    """Return which of some values belong together, as one segment for each column."""
    if len(set(owner.tolist())) == len(owner):
        return Layout(len(owner))
    edges = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(owner)]
    runs = pairwise(edges)
    return Layout(len(owner), tuple(Segment("gaussian", int(owner[a]), a, b) for a, b in runs))


def compressed(scaled: Array) -> Array:
    """Return values that far from the others count by their logarithms; in order, unbounded."""
    size = np.abs(scaled)
    with np.errstate(invalid="ignore"):
        if not (size > _FAR).any():
            return scaled
        far = _FAR + np.log1p(np.maximum(size - _FAR, 0.0))
    return np.where(size > _FAR, np.sign(scaled) * far, scaled)


def _range(values: Array) -> Array:
    """Return each value's range over the rows where it is observed; 0 if it never is."""
    missing = np.isnan(values)
    low = np.where(missing, np.inf, values).min(0)
    high = np.where(missing, -np.inf, values).max(0)
    return np.where(missing.all(0), 0.0, high - low)
