"""Errors of networks and of PCA on held-out rows, at one or many sizes of the code."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.batches import as_batch
from autoencode.guess import Guess, guessed_where_needed, restored, trust
from autoencode.interfaces import Batch, Context
from autoencode.network import Network
from autoencode.numerics import choose_threads, matrix_products, threads
from autoencode.objective import Objective
from autoencode.preprocess.filling import WIDEST_FILL
from autoencode.preprocess.principal import PrincipalComponents, residuals
from autoencode.scaled_rows import ScaledRows

__all__ = ["HeldOut", "quantiles"]

Array = npt.NDArray[np.float64]

_PIECE, _PIECE_VALUES = 1024, 1 << 22
_FEW_ROWS = 128
_COPIED_ROWS = 8192
_QUANTILES, _FEW_QUANTILES = 128, 8


class HeldOut:
    """Held-out rows, and PCA's errors on them.

    Parameters
    ----------
    rows : ScaledRows
        May be none at all: then PCA is judged on the rows it was fitted to.
    principal : PrincipalComponents
        PCA of the training rows.
    training : ScaledRows
        Those rows.
    guess : Guess
        The best linear guess of rows that are incomplete or noisy.
    spoil : callable or None
        Hides cells of a batch, or adds noise; then what counts is how well hidden cells
        are restored, and all cells of rows in which none is hidden.
    copies : int
        How often each row is taken, spoilt in other ways, at most; fewer where rows are
        many.
    whole : bool
        Whether all cells of spoilt rows count.

    Attributes
    ----------
    incomplete : ndarray of bool of shape (rows,) or None
        Which rows are without noise, but lose cells; None: none.
    swapped : ndarray of bool of shape (rows,) or None
        Which have values of others in place of some of their own; None: none.
    pca : ndarray of shape (rows, k + 1)
        PCA's squared error of each row with 0, 1, ..., k components, over its values
        that are observed (or hidden).
    """

    def __init__(
        self,
        rows: ScaledRows,
        principal: PrincipalComponents,
        training: ScaledRows,
        guess: Guess,
        spoil: Callable[[Batch], Batch] | None = None,
        copies: int = 8,
        whole: bool = False,
    ) -> None:
        self.rows, self.principal, self.training = rows, principal, training
        self.restores = spoil is not None
        self.trust: torch.Tensor | None = None
        self.incomplete: npt.NDArray[np.bool_] | None = None
        self.swapped: npt.NDArray[np.bool_] | None = None
        if not len(rows):
            total = sum(float(np.square(b - principal.mean).sum()) for b in training.blocks())
            explained = np.concatenate([[0.0], np.cumsum(principal.variances)])
            self.pca = np.maximum(total / len(training) - explained, 0.0)[None]
            return
        missing = rows.pairs.has_missing
        values, target = rows.tensors()
        self.x = as_batch(values, missing=missing)
        self.y = self.x if target is None else as_batch(target, missing=missing)
        self.truth = self.y
        if spoil is not None:
            self._spoil(spoil, copies, whole)
        if self.x.observed is not None or self.x.level is not None:
            # Guessed once, not at every evaluation.
            self.x = self._guessed(guess, self.x)
        self.pca = self._pca_errors()

    def _spoil(self, spoil: Callable[[Batch], Batch], most: int, whole: bool) -> None:
        """Keep a few spoilt copies of the rows; what was taken from them counts."""
        copies = min(most, max(1, _COPIED_ROWS // len(self.y.x)))
        given, truth = self.x.repeated(copies), self.y.repeated(copies)
        self.x, self.truth = spoil(given), truth
        level = self.x.level
        if level is not None:
            self.trust = trust(level)
            self.incomplete = (level[:, 1] == 0).cpu().numpy()
            self.swapped = (level[:, 0] < 1).cpu().numpy()
        wanted = truth.observed
        if self.x.observed is not None and not whole:
            known = torch.ones_like(self.x.observed) if wanted is None else wanted
            hidden = known & ~self.x.observed
            # Of noisy rows all values are to be restored, of others those that are hidden.
            noisy = hidden.new_zeros(len(hidden), 1) if level is None else level[:, 1:] > 0
            wanted = torch.where(noisy, known, hidden)
        self.y = Batch(truth.x, wanted)

    @staticmethod
    def _guessed(guess: Guess, batch: Batch) -> Batch:
        """Return the best linear guess, worked out in float64."""
        level = None if batch.level is None else batch.level.double()
        exact = guessed_where_needed(guess, batch._replace(x=batch.x.double(), level=level))
        return batch._replace(x=exact.x.to(batch.x), told=exact.told.to(batch.x))  # type: ignore[union-attr]

    def _pca_errors(self) -> Array:
        if self.y.observed is None and self.x.told is None and not self.restores:
            return residuals(self.principal, *self.rows.values())
        encoded, wanted = self.encoded(), self.y.x.double().cpu().numpy()
        if self.y.observed is None:
            return residuals(self.principal, encoded, wanted)
        counted = self.y.observed.cpu().numpy()
        mean, components = self.principal.mean, self.principal.components
        scores = (encoded - mean) @ components.T
        errors = np.empty((len(wanted), len(components) + 1))
        # A few rows at a time stay in the cache while one component after the other is added.
        for start in range(0, len(wanted), _FEW_ROWS):
            rows = slice(start, start + _FEW_ROWS)
            left = np.where(counted[rows], wanted[rows] - mean, 0.0)
            errors[rows, 0] = np.square(left).sum(1)
            for size in range(len(components)):
                left -= counted[rows] * (scores[rows, size, None] * components[size])
                errors[rows, size + 1] = np.square(left).sum(1)
        return errors

    def encoded(self) -> Array:
        """Return what PCA encodes, in float64: rows without missing values."""
        x = self.x.x.double().cpu().numpy()
        if self.x.observed is None or self.x.told is not None:
            return x
        return self.rows.filled(np.where(self.x.observed.cpu().numpy(), x, np.nan))

    def errors(self, network: Network, sizes: Sequence[int]) -> Array:
        """Return a network's squared error of every row at every size.

        Parameters
        ----------
        network : Network
            On the device of the rows.
        sizes : sequence of int
            Numbers of leading components.

        Returns
        -------
        ndarray of shape (rows, len(sizes))
            Sum of squares over values; products in float32, never less.
        """
        full = network.bottleneck.latent_shape[0]
        found = torch.empty(len(self.x.x), len(sizes), dtype=torch.float64)
        with self._measuring(network):
            for start, x, y in self._pieces():
                code = network.encode(x, Context())
                for place, size in enumerate(sizes):
                    params = network.decode(code, _cut(size, full, x.x))
                    error = _squares(self._mean(network, params, x), y)
                    found[start : start + len(error), place] = error.sum(1)
        return found.numpy()

    def floor(self, sizes: Sequence[int]) -> Array:
        """Return PCA's squared error of every row beside codes of some sizes.

        Parameters
        ----------
        sizes : sequence of int
            Numbers of components; of sparse codes, which have more, only as many principal
            components stand beside them as are active.

        Returns
        -------
        ndarray of shape (rows, len(sizes))
        """
        return self.pca[:, np.minimum(sizes, self.pca.shape[1] - 1)]

    def codes(self, network: Network) -> Array:
        """Return a network's codes of full length, in its own units, ``(rows, k)``."""
        with self._measuring(network):
            parts = [network.encode(x, Context()).z.double().cpu() for _, x, _ in self._pieces()]
        return torch.cat(parts).numpy()

    def weighted(self, errors: Array) -> Array:
        """Return errors of rows in units of what the noise in them leaves; see `trust`."""
        if self.trust is None:
            return errors
        weights = self.trust.double().cpu().numpy()
        weighted: Array = errors / np.square(weights)
        return weighted

    def frequencies(self, network: Network) -> Array:
        """Return the share of rows in which each unit of a sparse code is active."""
        total = torch.zeros(network.bottleneck.latent_shape, dtype=torch.float64)
        with self._measuring(network):
            for _, x, _ in self._pieces():
                total += (network.encode(x, Context()).z != 0).sum(0).cpu()
        result: Array = total.numpy() / len(self.x.x)
        return result

    def column_errors(self, network: Network, size: int) -> Array:
        """Return a network's mean squared error of every value, ``(n_values,)``."""
        full = network.bottleneck.latent_shape[0]
        total = torch.zeros(self.y.x.shape[1], dtype=torch.float64)
        with self._measuring(network):
            for _, x, y in self._pieces():
                params = network(x, _cut(size, full, x.x)).params
                total += _squares(self._mean(network, params, x), y).sum(0).cpu()
        result: Array = total.numpy() / self._counts()
        return result

    def compared(self, network: Network | None, size: int) -> tuple[Array, Array]:
        """Return what is to be reconstructed, and what a model makes of it.

        Parameters
        ----------
        network : Network or None
            None: PCA.
        size : int
            Number of leading components.

        Returns
        -------
        truth, guess : ndarray of shape (rows, n_values)
            Scaled; the truth is NaN where it does not count.
        """
        wanted = self.y.x.double().cpu().numpy()
        if network is None:
            head = self.principal.head(size)
            scores = (self.encoded() - head.mean) @ head.components.T
            guess = head.mean + scores @ head.components
        else:
            full = network.bottleneck.latent_shape[0]
            parts = []
            with self._measuring(network):
                for _, x, _ in self._pieces():
                    params = network(x, _cut(size, full, x.x)).params
                    parts.append(self._mean(network, params, x).double().cpu())
            guess = torch.cat(parts).numpy()
        if self.y.observed is not None:
            wanted = np.where(self.y.observed.cpu().numpy(), wanted, np.nan)
        return wanted, guess

    @contextlib.contextmanager
    def _measuring(self, network: Network) -> Iterator[None]:
        """Multiply in float32, on one thread where pieces are small.

        Beside other programs, threads wait for one another longer than a small product takes.
        """
        convolves = hasattr(network.encoder, "n_products")
        weights = sum(weight.numel() for weight in network.parameters())
        flops = math.inf if convolves else 2.0 * min(len(self.x.x), _PIECE) * weights
        used = choose_threads(flops, "auto")
        with torch.inference_mode(), matrix_products("ieee"), threads(used):
            yield

    def _pieces(self) -> Iterator[tuple[int, Batch, Batch]]:
        # Fewer rows at a time where they are large pictures, of which layers make many.
        piece = max(1, min(_PIECE, _PIECE_VALUES // self.x.x.shape[1]))
        for start in range(0, len(self.x.x), piece):
            x, y = (batch.rows(start, start + piece) for batch in (self.x, self.y))
            yield start, x, y

    def _mean(self, network: Network, params: torch.Tensor, x: Batch) -> torch.Tensor:
        """Return the expected values; of hidden cells, given that they were observed."""
        mean = network.likelihood.mean(params).flatten(1)
        if self.restores:
            mean = restored(network, mean, x)
        if network.selection is None or not self.restores:
            return mean
        return network.selection.mean(mean, missing=False)

    def missingness(self, network: Network, objective: Objective) -> float:
        """Return the held-out value of the loss term of the same name.

        Without any missing cell it says nothing: the error of hidden ones counts instead.
        """
        if self.truth.observed is None:
            return float(self.errors(network, [network.bottleneck.latent_shape[0]]).mean())
        total = 0.0
        with self._measuring(network):
            for start, x, _ in self._pieces():
                truth = self.truth.rows(start, start + len(x.x))
                loss = objective(network, network(x, Context()), truth, None)
                total += float(loss.terms["missingness"]) * len(x.x)
        return total / len(self.x.x)

    def _counts(self) -> Any:
        """Return how many rows have each value."""
        if self.y.observed is None:
            return len(self.y.x)
        return np.maximum(self.y.observed.sum(0).cpu().numpy(), 1)

    def pca_column_errors(self, size: int) -> Array:
        """Return PCA's mean squared error of every value, ``(n_values,)``."""
        head = self.principal.head(size)
        total = np.zeros(len(head.mean))
        if len(self.rows):
            counted = 1.0 if self.y.observed is None else self.y.observed.cpu().numpy()
            pieces = [(self.encoded(), self.y.x.double().cpu().numpy())]
            count = self._counts()
        else:
            counted = 1.0
            pieces = [(block, block) for block in self.training.blocks()]
            count = len(self.training)
        for values, wanted in pieces:
            scores = (values - head.mean) @ head.components.T
            total += (np.square(wanted - head.mean - scores @ head.components) * counted).sum(0)
        result: Array = total / count
        return result


def _squares(mean: torch.Tensor, y: Batch) -> torch.Tensor:
    squares = (mean - y.x).square()
    return squares if y.observed is None else squares * y.observed


def quantiles(errors: Array) -> Array:
    """Return how the errors of each value are spread.

    Parameters
    ----------
    errors : ndarray of shape (rows, n_values)
        NaN where there is none.

    Returns
    -------
    ndarray of shape (n_values, q)
        Quantiles at evenly spaced shares ``(i + 0.5) / q``; zeros for a value without any.
    """
    count = _QUANTILES if errors.shape[1] <= WIDEST_FILL else _FEW_QUANTILES
    shares = (np.arange(count) + 0.5) / count
    result = np.zeros((errors.shape[1], count))
    for place, column in enumerate(errors.T):
        known = column[~np.isnan(column)]
        if len(known):
            result[place] = np.quantile(known, shares)
    return result


def _cut(size: int, full: int, x: torch.Tensor) -> Context:
    if size == full:
        return Context()
    return Context(size=torch.full((len(x),), size, device=x.device))
