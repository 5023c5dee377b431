"""What is known of new rows: where their codes are, and what codes leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from autoencode.code_mixture import Mixture
from autoencode.code_prior import CodePrior, prior_from_file

__all__ = ["Chances", "Margins", "Sampler"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Chances:
    """From what a decoder says of a category to its chance.

    Attributes
    ----------
    slopes, offsets : ndarray of shape (n_values,)
        Log-odds (logarithms of shares in a one-hot run) are ``slope * decoded + offset``.
        1 and 0 for values that are numbers.
    shifts : ndarray of shape (parts, n_values)
        What is added to the offsets in each part of the mixture.
    """

    slopes: Array
    offsets: Array
    shifts: Array

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays by name; of shifts only the columns that have any."""
        shifted = np.flatnonzero(self.shifts.any(0))
        return {
            "slopes": self.slopes,
            "offsets": self.offsets,
            "shift_values": shifted.astype(np.int64),
            "shifts": self.shifts[:, shifted].astype(np.float32),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return what `tensors` described; see `Sampler.from_file`."""
        shifts = tensors["shifts"].astype(np.float64)
        if "shift_values" in tensors:  # not in files of an earlier version
            every = np.zeros((len(shifts), len(tensors["slopes"])))
            every[:, tensors["shift_values"]] = shifts
            shifts = every
        return cls(tensors["slopes"], tensors["offsets"], shifts)


@dataclass(frozen=True)
class Margins:
    """From drawn values of single columns to what was observed of them.

    Attributes
    ----------
    values : ndarray of int of shape (m,)
        Which values have margins: single numbers.
    drawn : ndarray of shape (m, q)
        Quantiles of values drawn, at evenly spaced levels from 0 to 1, of float32 precision.
    observed : ndarray of shape (m, q)
        The cells at these levels in the rows of the fit.
    stepped : ndarray of bool of shape (m,)
        Whether observed cells repeat, so that there is nothing between two of them.
    """

    values: Places
    drawn: Array
    observed: Array
    stepped: npt.NDArray[np.bool_]

    def levels(self, place: int, values: Array) -> Array:
        """Return the levels in [0, 1] of drawn values of one column."""
        known = self.drawn[place]
        levels: Array = np.interp(values, known, np.linspace(0.0, 1.0, len(known)))
        return levels

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays by name; cells that are alike at neighbouring levels once."""
        found: dict[str, npt.NDArray[Any]] = {
            "margin_values": self.values.astype(np.int64),
            "margin_drawn": self.drawn.astype(np.float32),
            "margin_observed": self.observed,
            "margin_stepped": self.stepped,
        }
        new = np.ones(self.observed.shape, np.bool_)
        new[:, 1:] = self.observed[:, 1:] != self.observed[:, :-1]
        starts = np.append(np.flatnonzero(new), new.size)
        repeats = np.diff(starts).astype(np.int32)
        different = self.observed.ravel()[starts[:-1]]
        if different.nbytes + repeats.nbytes < self.observed.nbytes:
            found |= {"margin_observed": different, "margin_repeats": repeats}
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return what `tensors` described; see `Sampler.from_file`."""
        drawn, observed = tensors["margin_drawn"].astype(np.float64), tensors["margin_observed"]
        if "margin_repeats" in tensors:
            observed = np.repeat(observed, tensors["margin_repeats"]).reshape(drawn.shape)
        values = tensors["margin_values"].astype(np.intp)
        return cls(values, drawn, observed, tensors["margin_stepped"])


@dataclass(frozen=True)
class Sampler:
    """Everything that is needed to draw rows from a fitted model.

    A row's coordinates are those of its code, by the leading directions in which codes
    differ, and those of its remainder, which is what decoding leaves of its numbers.

    Attributes
    ----------
    mixture : Mixture
        The density of coordinates.
    classes : ndarray of int of shape (parts,)
        The class of each part; all 0 without classes.
    labels : list or None
        The classes themselves, text or numbers.
    code_mean : ndarray of shape (k,)
        Of codes.
    code_basis : ndarray of shape (h, k)
        Orthonormal directions in which codes differ.
    code_left : ndarray of shape (k,)
        Deviations of what these do not explain.
    rest_mean : ndarray of shape (n_values,)
        Of remainders; 0 where the value is no number.
    rest_basis : ndarray of shape (q, n_values)
        The leading directions in which they differ, in the data's units.
    rest_noise : ndarray of shape (r, n_values)
        Further directions, each times its deviation: the same for all parts.
    rest_left : ndarray of shape (n_values,)
        Deviations of what these do not explain.
    chances : Chances
        Of categories.
    margins : Margins
        Of numbers.
    low, high : ndarray of shape (n_values,)
        The range of the values that were observed.
    candidates : list of dict
        What was tried; see `autoencode.prior_choice.choose_prior`.
    prior : CodePrior or None
        What coordinates are drawn from instead of the mixture, which then says which part they
        belong to.
    """

    mixture: Mixture
    classes: Places
    labels: list[Any] | None
    code_mean: Array
    code_basis: Array
    code_left: Array
    rest_mean: Array
    rest_basis: Array
    rest_noise: Array
    rest_left: Array
    chances: Chances
    margins: Margins
    low: Array
    high: Array
    candidates: list[dict[str, Any]]
    prior: CodePrior | None = None

    def header(self) -> dict[str, Any]:
        """Return what is no array, as plain values."""
        found = {"labels": self.labels, "candidates": self.candidates}
        return found if self.prior is None else found | {"prior": self.prior.header()}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays by name."""
        return {
            "shares": self.mixture.shares,
            "means": self.mixture.means,
            "factors": self.mixture.factors.astype(np.float32),
            "classes": self.classes.astype(np.int64),
            "code_mean": self.code_mean,
            "code_basis": self.code_basis,
            "code_left": self.code_left,
            "rest_mean": self.rest_mean,
            "rest_basis": self.rest_basis.astype(np.float32),
            "rest_noise": self.rest_noise.astype(np.float32),
            "rest_left": self.rest_left,
            **self.chances.tensors(),
            **self.margins.tensors(),
            "low": self.low,
            "high": self.high,
            **(
                {}
                if self.prior is None
                else {f"prior.{name}": part for name, part in self.prior.tensors().items()}
            ),
        }

    @classmethod
    def from_file(cls, header: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return the sampler that `header` and `tensors` described.

        Raises
        ------
        KeyError, ValueError
            If something is missing, or shapes do not go together.
        """
        mixture = Mixture(
            tensors["shares"], tensors["means"], tensors["factors"].astype(np.float64)
        )
        prior = None
        if "prior" in header:
            own = {
                name.removeprefix("prior."): part
                for name, part in tensors.items()
                if name.startswith("prior.")
            }
            prior = prior_from_file(header["prior"], own)
        return cls(
            mixture=mixture,
            classes=tensors["classes"].astype(np.intp),
            labels=header["labels"],
            code_mean=tensors["code_mean"],
            code_basis=tensors["code_basis"],
            code_left=tensors["code_left"],
            rest_mean=tensors["rest_mean"],
            rest_basis=tensors["rest_basis"].astype(np.float64),
            rest_noise=tensors["rest_noise"].astype(np.float64),
            rest_left=tensors["rest_left"],
            chances=Chances.from_tensors(tensors),
            margins=Margins.from_tensors(tensors),
            low=tensors["low"],
            high=tensors["high"],
            candidates=header["candidates"],
            prior=prior,
        )
