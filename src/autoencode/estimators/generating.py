"""Drawing new rows from a fitted model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from autoencode import defaults
from autoencode.augmentation import require_classes
from autoencode.conditioning import drawn_given, wanted_cells
from autoencode.errors import DataError, SpecError
from autoencode.estimators.fitted import FittedCoding
from autoencode.preprocess.pixels import as_pixels
from autoencode.prior_choice import wanted_prior
from autoencode.sampler import Sampler
from autoencode.sampler_fit import fit_sampler
from autoencode.sampling import drawn_pieces, part_numbers

__all__ = ["Generating"]

_FEW = 30


class Generating(FittedCoding):
    """Fit the density of codes, and draw rows from it."""

    conditional: bool

    def fit_prior(
        self, X: Any, y: Any = None, *, prior: str = "auto", random_state: Any = None
    ) -> Self:
        """Learn anew from rows what `sample` draws from; the network stays as it is.

        ``fit`` does this by itself. It is needed after `truncate`, and for a model that was
        not fitted here.

        Parameters
        ----------
        X : array-like, frame or path
            Rows.
        y : array-like of shape (n_samples,), optional
            Classes, of a model with ``conditional=True``.
        prior : {"auto", "normal", "mixture", "flow", "variational"}, default="auto"
            What codes are drawn from. "normal": the N(0, I) of a variational model, of others
            one normal distribution (one of each class). "mixture": many. "flow": coupling
            layers over codes (Dinh et al., 2017). "variational": a second autoencoder, of codes
            (Dai and Wipf, 2019); not by class. "auto": the likeliest by held-out codes; the
            latter two are tried from 2,000 rows on, for half as many epochs as the model had.
        random_state : int, RandomState instance or None, default=None
            The only source of randomness.

        Returns
        -------
        Autoencoder
            Itself.

        Raises
        ------
        DataError
            If the rows or classes cannot be used.
        SpecError
            If a parameter is not allowed.
        """
        self._require_decoder()
        wanted = wanted_prior(prior)
        rows = self._check(X)
        classes = self._classes(y, rows.n_rows)
        if rows.n_rows < 2:
            raise DataError(f"X has {rows.n_rows} rows; a density needs 2 at least")
        seed = defaults.seed(random_state)
        self._state.sampler = fit_sampler(self._state, rows, rows, classes, seed, prior=wanted)
        return self

    def sample(
        self,
        n: int = 1,
        y: Any = None,
        given: Mapping[Any, Any] | None = None,
        random_state: Any = None,
        *,
        noise: Any = "auto",
    ) -> Any:
        """Draw new rows.

        Codes are drawn from a density that was fitted to the codes of the rows of ``fit``, and
        decoded; categories are drawn by their chances, and numbers have what a code does not
        tell of them. Every column is spread as it was observed: whole numbers are whole, and
        nothing lies outside the range.

        Parameters
        ----------
        n : int, default=1
            Rows.
        y : class or array-like of shape (n,), optional
            The class of all rows, or of each; for a model that was fitted with
            ``conditional=True``. Without it classes are drawn by their shares.
        given : mapping of column to cell, optional
            Cells that every row is to have. They are conditioned on by importance resampling:
            rows are drawn, and chosen by how likely these cells are in them.
        random_state : int, RandomState instance or None, default=None
            The only source of randomness.
        noise : bool or "auto", default="auto"
            Whether numbers have what a code does not tell of them. "auto": except for pictures.

        Returns
        -------
        ndarray or frame, or a pair of this and an ndarray
            As the data was given to ``fit``; of a conditional model, the classes too.

        Warns
        -----
        UserWarning
            If given cells are so rare that fewer than 30 independent rows were to choose from.

        Raises
        ------
        SpecError
            If a parameter is not allowed.
        DataError
            If a class or a given cell was not there in the fit.
        """
        return self._sampled(n, y, given, random_state, noise)[0]

    def _sampled(
        self, n: int, y: Any, given: Mapping[Any, Any] | None, random_state: Any, noise: Any
    ) -> tuple[Any, float | None]:
        """Return new rows, and how many independent ones those with given cells are worth."""
        sampler = self._require_sampler()
        count = int(defaults.positive("n", n, whole=True, other=None))
        generator = np.random.default_rng(defaults.seed(random_state))
        wanted = _wanted_classes(sampler, y, count)
        noisy, effective = self._noisy(noise), None
        if given:
            cells = wanted_cells(self._state, given)
            found, parts, effective = drawn_given(
                self._state, cells, count, wanted, generator, noise=noisy
            )
            if effective < _FEW:
                warnings.warn(
                    f"the given cells are rare: the {count} rows were chosen from {effective:.0f} "
                    "independent ones; give fewer cells, or likelier ones",
                    UserWarning,
                    stacklevel=3,
                )
        else:
            parts = part_numbers(sampler, count, wanted, generator)
            found = np.concatenate(list(drawn_pieces(self._state, parts, generator, noise=noisy)))
        rows = self._as_fitted(found)
        if sampler.labels is None:
            return rows, effective
        return (rows, np.array(sampler.labels)[sampler.classes[parts]]), effective

    def _classes(self, y: Any, n_rows: int) -> npt.NDArray[Any] | None:
        """Return the classes of a fit, if it is to learn any."""
        if not isinstance(self.conditional, bool | np.bool_):
            raise SpecError(f"conditional={self.conditional!r} should be True or False")
        if not self.conditional:
            return None
        if y is None:
            raise SpecError("conditional=True needs y, the class of each row")
        return require_classes(y, n_rows)

    def _require_sampler(self) -> Sampler:
        self._require_decoder()
        if self._state.sampler is None:
            raise DataError(
                "the model does not know where codes lie (it was shortened, made by an earlier "
                "version or fitted elsewhere): call fit_prior with rows"
            )
        return self._state.sampler

    def _noisy(self, noise: Any) -> bool:
        if isinstance(noise, str) and noise == "auto":
            return self._state.schema is not None or len(self._state.facts["sample_shape"]) == 1
        if not isinstance(noise, bool | np.bool_):
            raise SpecError(f"noise={noise!r} should be 'auto', True or False")
        return bool(noise)

    def _as_fitted(self, found: npt.NDArray[np.float64]) -> Any:
        """Return cells or numbers as the data was given to ``fit``."""
        schema = self._state.schema
        if schema is None:
            whole = as_pixels(found, self._state.facts)
            return whole.reshape(len(whole), *self._state.facts["sample_shape"])
        return self._framed(schema.table(found), None, index=None)


def _wanted_classes(sampler: Sampler, y: Any, n: int) -> npt.NDArray[np.intp] | None:
    """Return the number of each row's class; None: they are drawn."""
    if y is None:
        return None
    if sampler.labels is None:
        raise SpecError("y needs a model that was fitted with conditional=True and classes")
    asked = [y] * n if np.ndim(y) == 0 else list(np.asarray(y).tolist())
    if len(asked) != n:
        raise DataError(f"y has {len(asked)} classes; it should have one, or one for each of {n}")
    places = {label: place for place, label in enumerate(sampler.labels)}
    unknown = [label for label in asked if label not in places]
    if unknown:
        raise DataError(f"y={unknown[0]!r} is no class of the fit; choose from {sampler.labels}")
    return np.array([places[label] for label in asked], dtype=np.intp)
