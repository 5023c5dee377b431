"""What every column kind promises: one fitted column, its cells and its values."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.errors import DataError, ModelFileError
from autoencode.preprocess.column_kinds.levels import Levels
from autoencode.preprocess.column_kinds.port import (
    Port,
    floats_from_integers,
    integers_from_floats,
)
from autoencode.preprocess.column_kinds.summary import ColumnSummary
from autoencode.preprocess.column_kinds.type_text import type_from_json, type_to_json

__all__ = [
    "Block",
    "gaussian_nats",
    "novelty",
    "number",
    "quantile",
    "refuse_unless",
    "smoothed",
    "uniform",
]

FloatArray = npt.NDArray[np.float64]

# How much of a probability's mean squared error is added to it before its logarithm is
# taken: enough that a surprise costs what its frequency says, not infinitely much.
SMOOTHING = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block(ABC):
    """One fitted column.

    A column has three forms. *Cells* are ``(n, n_cells)`` numbers in float64, NaN where
    missing, from which the column comes back exactly. *Values* are ``(n, n_values)``
    numbers that a network can learn, NaN in every value of a missing cell. All methods
    on values use float64 torch operations on whole columns, so that `spread` can be
    exported.

    Attributes
    ----------
    kind : str
        The name in `COLUMN_KINDS`.
    name : str
        The column's name.
    type : pyarrow.DataType
        Its original type.
    n_rows, n_missing : int
        All rows and the missing ones when it was fitted.
    n_cells : int
        Width of the cells.
    """

    kind: ClassVar[str]
    n_cells: ClassVar[int] = 1

    name: str
    type: pa.DataType
    n_rows: int
    n_missing: int

    @classmethod
    @abstractmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Say why a column cannot be of this kind; None if it can."""

    @classmethod
    @abstractmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Say in a few words why this kind suits a column; None if it does not.

        Kinds are asked in the order of `COLUMN_KINDS`, so a kind may count on those
        before it to have declined.
        """

    @classmethod
    @abstractmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Fit the block; subclasses take their options as keywords.

        Raises
        ------
        DataError
            If the column cannot be of this kind.
        SpecError
            If an option has a value that is not allowed.
        """

    @property
    @abstractmethod
    def segments(self) -> tuple[tuple[str, int], ...]:
        """The likelihood and the width of each run of values."""

    @property
    def n_values(self) -> int:
        """Width of the values."""
        return sum(width for _, width in self.segments)

    @property
    def n_draws(self) -> int:
        """How many standard normal numbers `draw` needs for a row."""
        return len(self.segments)

    @property
    def copies(self) -> bool:
        """Whether the values are the cells themselves, for a fast way around `spread`."""
        return False

    @abstractmethod
    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return the cells of a column, ``(n, n_cells)``.

        Raises
        ------
        DataError
            If a cell is not one that such a column can have; the message names the
            column, the row, counted from 1, and the cell.
        """

    @abstractmethod
    def column(self, cells: FloatArray) -> pa.Array:
        """Return the column, of the original type; NaN becomes null."""

    @abstractmethod
    def spread(self, cells: Tensor) -> Tensor:
        """Return the values of cells, ``(n, n_values)``."""

    @abstractmethod
    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the cells nearest to values.

        Parameters
        ----------
        values : Tensor of shape (n, n_values)
            Means: probabilities where the likelihood is categorical or bernoulli, which
            need not lie in [0, 1] nor sum to one; numbers elsewhere.
        clip : bool
            Whether cells stay in the range that was observed. Otherwise they only stay
            on its grid, and in the range of the column's type.
        """

    @abstractmethod
    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the log-density of cells, in nats and in the data's units.

        Parameters
        ----------
        cells : Tensor of shape (n, n_cells)
            What was observed.
        values : Tensor of shape (n, n_values)
            What was expected; see `gather`.
        deviation : Tensor of shape (n_values,)
            Root mean squared residual of each value on held-out rows; positive.

        Returns
        -------
        Tensor of shape (n,)
            NaN where missing.
        """

    @abstractmethod
    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Return plausible cells: what could stand where ``values`` are expected.

        Parameters
        ----------
        values : Tensor of shape (n, n_values)
            What is expected; see `gather`.
        normals : Tensor of shape (n_draws,) or (n, n_draws)
            Standard normal numbers, the same for all rows or one set for each.
        residuals : Tensor of shape (n_values, q)
            Quantiles of each value's residual on held-out rows at the levels
            ``(i + 0.5) / q``.
        """

    def expected(self, values: Tensor, residuals: Tensor) -> Tensor:
        """Return the best single guess as cells; ``residuals`` as for `draw`."""
        return self.gather(values)

    @abstractmethod
    def describe(self) -> str:
        """Return one line for people: ``categorical, 105 levels, 3 rare``."""

    def header(self) -> dict[str, Any]:
        """Return everything that was fitted as plain JSON values.

        ``detail`` is for people: it is what `describe` says.
        """
        found: dict[str, Any] = {"kind": self.kind, "detail": self.describe()}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, pa.DataType):
                value = type_to_json(value)
            elif isinstance(value, Levels):
                value = value.to_json()
            found[field.name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> Self:
        """Return the block that `header` described.

        Raises
        ------
        ModelFileError
            If it is not the header of such a block.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if header.get("kind") != cls.kind or header.keys() != {"kind", "detail", *fields}:
            raise ModelFileError(
                f"the header of column {header.get('name')!r} is not that of kind {cls.kind!r}"
            )
        found = {key: value for key, value in header.items() if key in fields}
        found["type"] = type_from_json(found["type"])
        for key, value in found.items():
            if fields[key].type == "Levels":
                found[key] = Levels.from_json(found["type"], value)
            elif isinstance(value, list):
                found[key] = tuple(value)
        return cls(**found)

    @property
    def port(self) -> Port | None:
        """How the column enters and leaves an exported graph; None if it does not.

        Raises
        ------
        DataError
            If it should, but cannot.
        """
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        levels = next((value for value in values if isinstance(value, Levels)), None)
        return Port.of(self.name, self.type, levels)

    def cells_from_port(self, given: Tensor) -> Tensor:
        """Return the cells, ``(n, n_cells)``, of what enters a graph, ``(n,)``.

        Looked-up levels come as their places: int64, `MISSING_INTEGER` where missing.
        """
        numbers = given if given.dtype == torch.float64 else floats_from_integers(given)
        return numbers[:, None]

    def port_from_cells(self, cells: Tensor) -> Tensor:
        """Return what leaves a graph; the opposite of `cells_from_port`."""
        port, numbers = self.port, cells[:, 0]
        if port is None or (port.type == "double" and port.levels is None):
            return numbers
        return integers_from_floats(numbers)


def refuse_unless(block: type[Block], summary: ColumnSummary) -> None:
    """Refuse to fit a block to a column that cannot be of its kind.

    Raises
    ------
    DataError
        With the reason, if there is one.
    """
    reason = block.refusal(summary)
    if reason is not None:
        raise DataError(f"column {summary.name!r} cannot be {block.kind}: {reason}")


def number(value: float, like: Tensor) -> Tensor:
    """Return a number as a tensor of the same type, which export keeps as precise as that.

    Plain Python numbers become float32 in ONNX.
    """
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def gaussian_nats(residual: Tensor, deviation: Tensor) -> Tensor:
    """Return the log-density of a normal distribution, in nats per unit of the residual."""
    return -0.5 * (residual / deviation) ** 2 - torch.log(deviation) - 0.5 * math.log(2 * math.pi)


def smoothed(probabilities: Tensor, deviation: Tensor) -> Tensor:
    """Return probabilities that are positive and sum to one over the last axis.

    What is given may be negative or sum to something else. A tenth of each one's mean
    squared error on held-out rows is added first: a certainty that held-out rows do not
    bear out is none.
    """
    positive = probabilities.clamp(0.0, 1.0) + SMOOTHING * deviation.square()
    return positive / positive.sum(-1, keepdim=True)


def novelty(n_observed: int) -> tuple[float, float]:
    """Return the log-probabilities that a cell is of a known level, and that it is new.

    By Laplace's rule: ``(n + 1) / (n + 2)`` and ``1 / (n + 2)`` after ``n`` cells.
    """
    return math.log((n_observed + 1) / (n_observed + 2)), -math.log(n_observed + 2)


def uniform(normals: Tensor) -> Tensor:
    """Return the levels in (0, 1) of standard normal numbers."""
    tiny = 1e-12
    levels: Tensor = torch.special.ndtr(normals)
    return levels.clamp(tiny, 1 - tiny)


def quantile(residuals: Tensor, levels: Tensor) -> Tensor:
    """Return quantiles at the given levels, between those known, by straight lines.

    Parameters
    ----------
    residuals : Tensor of shape (q,)
        Quantiles at ``(i + 0.5) / q``.
    levels : Tensor
        Numbers in (0, 1), of any shape.
    """
    count = residuals.shape[0]
    place = (levels * count - 0.5).clamp(0, count - 1)
    below = place.floor()
    above = (below + 1).clamp(max=count - 1)
    low, high = residuals[below.long()], residuals[above.long()]
    found: Tensor = low + (place - below) * (high - low)
    return found
