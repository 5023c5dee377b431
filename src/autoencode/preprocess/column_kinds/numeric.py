"""Numbers, durations and times of day."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.data.tables import shortened
from autoencode.errors import DataError, SpecError
from autoencode.preprocess.column_kinds.block import (
    Block,
    FloatArray,
    gaussian_nats,
    number,
    quantile,
    refuse_unless,
    uniform,
)
from autoencode.preprocess.column_kinds.conversion import cell_text, keys_as
from autoencode.preprocess.column_kinds.keys import EXACT, family, floats, from_floats
from autoencode.preprocess.column_kinds.number_texts import count_numbers
from autoencode.preprocess.column_kinds.summary import ColumnSummary
from autoencode.preprocess.column_kinds.tails import LARGEST_BENT, Bend, choose_bend

__all__ = ["Numeric", "exact_numbers"]

FAMILIES = ("integer", "float", "decimal", "duration", "time")
TRANSFORMS = ("auto", "none", "asinh")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numeric(Block):
    """A number: itself, or ``asinh((x - centre) / width)`` if its tails are heavy.

    Integers, decimals, durations and times of day come back rounded to their unit.

    Attributes
    ----------
    transform : {"none", "asinh"}
        How the value is made from the number.
    centre, width : float
        Of the transform; beyond ``centre ± width`` it turns from straight to
        logarithmic.
    low, high : float
        The range that was observed.
    """

    kind: ClassVar[str] = "numeric"

    transform: str
    centre: float
    width: float
    low: float
    high: float

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse what is no number, and numbers that float64 does not hold exactly."""
        if summary.family not in FAMILIES:
            return f"it is {summary.type}, not numbers{_first_word(summary)}"
        if pa.types.is_dictionary(summary.type):
            return f"it is {summary.type}; decode the dictionary first"
        if not summary.is_exact:
            return "it has numbers beyond 2^53, which a float64 does not hold exactly"
        if not summary.n_observed:
            return "it has no values"
        return None

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit all numbers."""
        # A refusal looks through text, which can do without.
        return None if summary.family == "text" or cls.refusal(summary) else "numbers"

    @classmethod
    def fit(cls, summary: ColumnSummary, *, transform: str = "auto") -> Self:
        """Measure the range and, with ``transform="auto"``, the tails."""
        if transform not in TRANSFORMS:
            raise SpecError(
                f"columns[{summary.name!r}]: transform={transform!r} is not known; choose from "
                f"{', '.join(TRANSFORMS)}"
            )
        refuse_unless(cls, summary)
        numbers = summary.numbers
        bend = None
        if transform != "none":
            unit = 0.0 if summary.family == "float" else 10.0**-summary.value_scale
            bend = choose_bend(numbers, summary.counts, forced=transform == "asinh", unit=unit)
        if bend is None and transform == "asinh":
            raise DataError(
                f"column {summary.name!r}: transform='asinh' could not be inverted exactly for "
                "numbers of such different sizes; choose transform=none"
            )
        chosen = bend or Bend(0.0, 1.0)
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            transform="none" if bend is None else "asinh",
            centre=chosen.centre,
            width=chosen.width,
            low=float(numbers[0]),
            high=float(numbers[-1]),
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """One real number."""
        return (("gaussian", 1),)

    @property
    def copies(self) -> bool:
        """Without a transform."""
        return self.transform == "none"

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return the numbers."""
        return exact_numbers(self.name, column, self.type)[:, None]

    def column(self, cells: FloatArray) -> pa.Array:
        """Return the numbers in the column's type."""
        return from_floats(np.asarray(cells)[:, 0], self.type)

    def spread(self, cells: Tensor) -> Tensor:
        """Return the number, or its transform."""
        if self.transform == "none":
            return cells.clone()
        return _asinh((cells - number(self.centre, cells)) / number(self.width, cells))

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Invert the transform and round to the column's unit."""
        return self._valid(self._back(values), clip=clip)

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the normal density of the value, times the transform's slope.

        Per unit of the column: of the number itself, of a duration's or a time's unit.
        """
        density = gaussian_nats(self.spread(cells) - values, deviation)
        if self.transform != "none":
            steps = (cells - self.centre) / self.width
            density = density - torch.log(torch.hypot(steps, torch.ones_like(steps)) * self.width)
        return density[:, 0]

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Add a residual drawn by its quantiles."""
        return self.gather(values + quantile(residuals[0], uniform(normals)))

    def expected(self, values: Tensor, residuals: Tensor) -> Tensor:
        """Average over the residuals what a transformed value goes back to.

        The smearing estimate of Duan (1983), J. Am. Stat. Assoc. 78, eq. 2.2.
        """
        if self.transform == "none":
            return self.gather(values)
        candidates = self._back(values + residuals).clamp(self.low, self.high)
        return self._valid(candidates.mean(1, keepdim=True), clip=True)

    def describe(self) -> str:
        """Name the range and the transform."""
        unit = f" {self.type.unit}" if family(self.type) in ("duration", "time") else ""
        bent = "" if self.transform == "none" else ", heavy tails (asinh)"
        return f"numeric, {self.low:.6g} to {self.high:.6g}{unit}{bent}"

    def _back(self, values: Tensor) -> Tensor:
        if self.transform == "none":
            return values
        return number(self.centre, values) + number(self.width, values) * _sinh(values)

    def _valid(self, numbers: Tensor, *, clip: bool) -> Tensor:
        low, high = (self.low, self.high) if clip else type_range(self.type)
        if self._per_unit:
            per_unit = number(self._per_unit, numbers)
            numbers = torch.round(numbers * per_unit) / per_unit
        return numbers.clamp(number(low, numbers), number(high, numbers))

    @cached_property
    def _per_unit(self) -> float:
        """How many of the smallest steps make up 1; 0 for floats."""
        kind = family(self.type)
        return {"float": 0.0, "decimal": 10.0 ** getattr(self.type, "scale", 0)}.get(kind, 1.0)


def _first_word(summary: ColumnSummary) -> str:
    """Name the first cell of text that is no number."""
    if summary.family != "text":
        return ""
    row = count_numbers(summary.keys)[1]
    if row is None:
        return ", though every cell is one; convert it first"
    return f": {cell_text(summary.keys, row)} in row {row + 1}"


def _asinh(steps: Tensor) -> Tensor:
    """Return the inverse hyperbolic sine by operations that ONNX runtimes have in float64."""
    size = steps.abs()
    # Squares would overflow, and the root is the number itself.
    large = size > 1e150
    bounded = torch.where(large, 1.0, size)
    root = torch.sqrt(bounded * bounded + 1)
    near = torch.log1p(bounded + bounded * bounded / (1 + root))
    far = torch.log(torch.where(large, size, 1.0)) + number(math.log(2), size)
    return torch.sign(steps) * torch.where(large, far, near)


def _sinh(values: Tensor) -> Tensor:
    """Return the hyperbolic sine by operations that ONNX runtimes have in float64."""
    grown = torch.expm1(values.clamp(-LARGEST_BENT, LARGEST_BENT))
    return (grown + grown / (grown + 1)) / 2


def type_range(arrow_type: pa.DataType) -> tuple[float, float]:
    """Return the smallest and largest number of a type, as far as float64 is exact."""
    ends = from_floats(np.array([-math.inf, math.inf]), arrow_type)
    low, high = floats(keys_as("", pa.chunked_array([ends]), arrow_type))
    return float(low), float(high)


def exact_numbers(name: str, column: pa.ChunkedArray, fitted: pa.DataType) -> FloatArray:
    """Return a column's numbers, ``(n,)``.

    Raises
    ------
    DataError
        If the column has another type and a cell no equal in the fitted one, or if a
        number is too large for float64 to hold it exactly.
    """
    found = keys_as(name, column, fitted)
    numbers = floats(found)
    if family(fitted) != "float" and numbers.size:
        scale = 10.0**fitted.scale if family(fitted) == "decimal" else 1.0
        beyond = np.abs(numbers) * scale >= EXACT
        if beyond.any():
            row = int(beyond.argmax())
            cell = shortened(str(found[row].as_py()))
            raise DataError(
                f"column {name!r} has {cell} in row {row + 1}, which float64 does not hold "
                "exactly; correct the cell, or fit with the column as 'categorical'"
            )
    return numbers
