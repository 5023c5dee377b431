"""Looking at what codes mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.data.rows import Rows
from autoencode.defaults import positive
from autoencode.errors import DataError, SpecError
from autoencode.estimators.generating import Generating
from autoencode.exploration import (
    CodeMap,
    along,
    between,
    checked_components,
    code_spread,
    decoded,
    grid_codes,
    grid_of,
    whole_plane,
)

__all__ = ["Exploring"]

Array = npt.NDArray[np.float64]


class Exploring(Generating):
    """Decode ways between rows, steps along components, and a grid over all rows."""

    def interpolate(self, a: Any, b: Any, n_steps: int = 9) -> Any:
        """Go from rows to other rows, evenly, on the straight ways between their codes.

        Parameters
        ----------
        a, b : array-like, frame or path
            The first and the last row of each way: as many rows in both.
        n_steps : int, default=9
            Rows of a way, 2 at least. Its ends are reconstructions of the given rows.

        Returns
        -------
        ndarray or frame
            As ``a`` was given: ``n_steps`` rows of the first way, then of the next.

        Raises
        ------
        DataError
            If the rows cannot be used, or there are not as many in ``a`` as in ``b``.
        SpecError
            If ``n_steps`` is not a whole number from 2.
        """
        self._require_decoder()
        count = _steps(n_steps)
        first, last = self._check(a), self._check(b)
        if first.n_rows != last.n_rows:
            raise DataError(f"a has {first.n_rows} rows, b has {last.n_rows}: they should be pairs")
        return self._as_given(self._interpolated(first, last, count), first)

    def _interpolated(self, first: Rows, last: Rows, n_steps: int) -> Array:
        ways = between(self._dense_codes(first), self._dense_codes(last), n_steps)
        return decoded(self._state, ways)

    def traverse(
        self, components: Any, around: Any = "mean", *, span: float = 2.0, n_steps: int = 9
    ) -> Any:
        """Change single components of a code, and decode.

        Parameters
        ----------
        components : int or sequence of int
            Which components, from 0; each is changed alone.
        around : "mean", or array-like, frame or path of one row, default="mean"
            Whose code is changed: the mean of all codes of the fit, or that of this row.
        span : float, default=2.0
            How far to either side, in deviations of the component over the rows of the fit.
        n_steps : int, default=9
            Rows for each component, evenly spaced, 2 at least.

        Returns
        -------
        ndarray or frame
            As the data was given to ``fit``: ``n_steps`` rows of the first component, from the
            lowest code to the highest, then of the next.

        Raises
        ------
        DataError
            If ``around`` is not one row, or the model does not know how codes vary.
        SpecError
            If a parameter is not allowed.
        """
        self._require_sampler()
        chosen = checked_components(components, self.n_components_)
        count, width = _steps(n_steps), positive("span", span, other=None)
        rows, code = None, None
        if not (isinstance(around, str) and around == "mean"):
            rows = self._check(around)
            if rows.n_rows != 1:
                raise DataError(f"around has {rows.n_rows} rows; it should be 'mean' or one row")
            code = self._dense_codes(rows)[0]
        return self._as_given(self._traversed(chosen, code, span=width, n_steps=count), rows)

    def _traversed(
        self, components: Sequence[int], code: Array | None = None, *, span: float, n_steps: int
    ) -> Array:
        mean, deviation = code_spread(self._require_sampler())
        codes = along(mean if code is None else code, components, span * deviation, n_steps)
        return decoded(self._state, codes)

    def code_map(self, X: Any, n_steps: int = 12) -> CodeMap:
        """Lay rows out in a plane, and decode a grid of its places.

        Parameters
        ----------
        X : array-like, frame or path
            Rows, 2 at least.
        n_steps : int, default=12
            Columns and lines of the grid, 2 at least.

        Returns
        -------
        CodeMap
            The rows' positions, and the grid with what is decoded.

        Raises
        ------
        DataError
            If codes have one component, or the rows cannot be used.
        SpecError
            If ``n_steps`` is not a whole number from 2.
        """
        self._require_decoder()
        count, rows = _steps(n_steps), self._check(X)
        found = self._mapped(rows, count)
        return replace(found, grid=self._as_given(found.grid, rows))

    def _mapped(self, rows: Rows, n_steps: int) -> CodeMap:
        """Return a map whose grid is decoded values."""
        codes = self._dense_codes(rows)
        plane, positions = whole_plane(codes)
        sides = grid_of(positions, n_steps)
        places, counts = grid_codes(codes, plane, positions, sides)
        grid = decoded(self._state, places)
        return CodeMap(positions, *sides, grid, counts, plane.explained)

    def _dense_codes(self, rows: Rows) -> Array:
        """Return codes in float64, whatever ``set_output`` or ``sparse_output`` asked for."""
        codes: Any = self.transform(rows)
        dense: Array = np.asarray(codes.toarray() if hasattr(codes, "toarray") else codes)
        return dense.astype(np.float64, copy=False)

    def _as_given(self, values: Array, rows: Rows | None) -> Any:
        """Return decoded values as rows were given, else as those of the fit."""
        schema = self._state.schema
        if schema is None:
            kept = values if rows is None else values.astype(rows.dtype, copy=False)
            return kept.reshape(len(values), *self._state.facts["sample_shape"])
        return self._framed(schema.table(schema.gather(values, clip=True)), rows, index=None)


def _steps(given: Any) -> int:
    count = int(positive("n_steps", given, whole=True, other=None))
    if count < 2:
        raise SpecError(f"n_steps={given!r} should be 2 at least")
    return count
