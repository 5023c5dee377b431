"""Denoising that chooses its own noise."""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Real
from typing import Any, Self

import numpy as np

from autoencode.corruptions import real_values
from autoencode.data.rows import Rows
from autoencode.denoising import Denoised, denoised, swap_weight
from autoencode.errors import DataError, SpecError
from autoencode.estimators.autoencoder import Autoencoder
from autoencode.imputation import joined
from autoencode.interfaces import Layout
from autoencode.noise import Noise
from autoencode.noise_facts import exchanges_of, level_curve, usual_values
from autoencode.planning import segments_of
from autoencode.plausibility import ranges_of
from autoencode.preprocess.filling import WIDEST_FILL
from autoencode.preprocess.scaling import choose_scaling
from autoencode.preprocess.table_rows import TableRows
from autoencode.row_prior import RowPrior
from autoencode.second_opinion import row_prior
from autoencode.situation import situation_of
from autoencode.state import State

__all__ = ["DenoisingAutoencoder"]

_FEATURE_NOISE = "gaussian:level=0.6,numbers=False"
"""What codes are learned under: of the levels tried the one whose codes say most of classes."""
_MOST_LEVEL = 1e3
"""Of normal noise, in deviations of the rows."""


class DenoisingAutoencoder(Autoencoder):
    """Autoencoder that learns to restore spoilt rows, and finds out what noise there is.

    Three situations, told by what ``fit`` is given: pairs of noisy and clean rows
    (``target``); clean rows, from which noise of all levels is learned at once, and that of
    the rows given to `denoise` is estimated; noisy rows alone.

    Parameters
    ----------
    n_components : int, float or None, default=None
        None: no bottleneck, for `denoise`. Else codes, as in `Autoencoder`, learned from
        rows with noise. With a whole number, and no target, the network gives them where
        simple readers tell like rows better from its codes than from PCA's.
    noise : {"auto", "gaussian", "impulse", "swap"}, default="auto"
        What kind of noise there is or will be: added to every value; a fixed value in place
        of some; another row's value in place of some. Pairs show it themselves.
    rows : {"auto", "clean", "noisy"}, default="auto"
        What the rows given to ``fit`` are; "auto": noisy if there is plainly noise in them.
        Of no effect on pairs.
    columns, hidden_layer_sizes, architecture, bottleneck, likelihood, penalties
        As in `Autoencoder`.
    max_epochs, max_time, batch_size, learning_rate, validation_fraction, scaling
        As in `Autoencoder`.
    device, dtype, n_threads, random_state, verbose
        As in `Autoencoder`.

    Attributes
    ----------
    situation_ : {"pairs", "clean", "noisy"}
        What the model was fitted to.
    noise_ : Noise
        What noise was found in ``fit``; of kind "none" for clean rows. The level of normal
        noise is in the data's units, or in columns' deviations where these differ.
    """

    def __init__(
        self,
        n_components: float | None = None,
        *,
        noise: str = "auto",
        rows: str = "auto",
        columns: Any = None,
        hidden_layer_sizes: Any = "auto",
        architecture: Any = "auto",
        bottleneck: Any = "plain",
        likelihood: Any = "auto",
        penalties: Any = (),
        max_epochs: Any = "auto",
        max_time: float | None = None,
        batch_size: Any = "auto",
        learning_rate: Any = "auto",
        validation_fraction: float = 0.1,
        scaling: str = "auto",
        device: Any = "auto",
        dtype: Any = "auto",
        n_threads: Any = "auto",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            n_components,
            columns=columns,
            hidden_layer_sizes=hidden_layer_sizes,
            architecture=architecture,
            bottleneck=bottleneck,
            likelihood=likelihood,
            penalties=penalties,
            max_epochs=max_epochs,
            max_time=max_time,
            batch_size=batch_size,
            learning_rate=learning_rate,
            validation_fraction=validation_fraction,
            scaling=scaling,
            device=device,
            dtype=dtype,
            n_threads=n_threads,
            random_state=random_state,
            verbose=verbose,
        )
        self.noise = noise
        self.rows = rows

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        target: Any = None,
        X_held_out: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit to clean rows, noisy rows, or pairs of both.

        Parameters
        ----------
        X : array-like, frame, sparse matrix or path
            ``(n_samples, n_features)``, or pictures ``(n_samples, height, width)``.
        y : object, ignored
            For pipelines.
        target : like X, optional
            The same rows without noise.
        X_held_out : like X, optional
            Held-out rows, instead of a part of X; only for clean rows.
        checkpoint : path, optional
            As in `Autoencoder.fit`.

        Returns
        -------
        DenoisingAutoencoder
            Itself.

        Raises
        ------
        DataError
            If the data cannot be used; the message names the column.
        SpecError
            If a parameter is not allowed.
        """
        self._held_out = X_held_out is not None
        try:
            return super().fit(X, y, target=target, X_held_out=X_held_out, checkpoint=checkpoint)
        finally:
            for name in ("_given", "_held_out", "_situation"):
                self.__dict__.pop(name, None)

    def _assigned(
        self, rows: Rows, target: Rows | None
    ) -> tuple[dict[str, Any], Rows, Rows | None]:
        given = self.get_params() | {"nested": "auto", "missing": "ignorable"}
        layout = Layout(rows.n_features, segments_of(rows))
        scaling = choose_scaling(self.scaling, named=rows.names is not None)
        coded, numbers = self.n_components is not None, real_values(layout)
        if not coded and target is None and rows.n_features > WIDEST_FILL:
            raise DataError(_too_long(rows.n_features))
        if not len(numbers) and self.rows == "noisy":
            raise DataError("rows='noisy' needs a column of numbers: noise is looked for in these")
        # There is no noise to look for in categories alone.
        kind = "clean" if not len(numbers) and self.rows == "auto" else self.rows
        found = situation_of(rows, target, layout, scaling, self.noise, kind)
        self._situation = found
        self._given = rows
        if found.name != "clean" and self._held_out:
            raise SpecError("X_held_out needs clean rows: leave it out")
        if coded:
            given |= {"corruption": _FEATURE_NOISE, "features": target is None}
            return given, rows, target
        given |= {"corruption": found.corruption}
        if found.target is not None:
            fraction = self.validation_fraction
            if not isinstance(fraction, int | float):
                raise SpecError(f"validation_fraction={fraction!r} should be a number below 1")
            training = rows.n_rows - round(fraction * rows.n_rows)
            given |= {"n_components": min(training, rows.n_features), "nested": False}
        return given, found.rows, found.target

    def _adopt(self, state: State) -> None:
        if hasattr(self, "_situation"):
            state.facts["situation"] = self._situation.name
            state.facts["asked"] = self.noise
            state.facts["noise"] = self._situation.noise.header()
            numbers = real_values(state.composition.layout)
            learned = (
                self._situation.rows if self._situation.target is None else self._situation.target
            )
            state.facts["exchanges"] = self._exchanges(state)
            state.facts["ranges"] = ranges_of(state.scaling, learned, numbers)
            state.facts["swap_weight"] = swap_weight(state, self._situation.rows)
            state.prior = self._prior(state)
            if self._situation.name == "clean" and len(numbers):
                state.facts["level_curve"] = level_curve(state, self._situation.rows)
                state.facts["usual_values"] = usual_values(state, self._situation.rows)
        super()._adopt(state)
        self.situation_ = state.facts["situation"]
        self.noise_ = self._in_units(Noise.from_header(state.facts["noise"]))

    def _exchanges(self, state: State) -> dict[str, Any] | None:
        """Return how rows are in which nothing is exchanged, if that will be asked for."""
        found = self._situation
        wanted = (
            self.noise in ("auto", "swap") if found.name == "clean" else found.noise.kind == "swap"
        )
        learned = found.rows if found.target is None else found.target
        return exchanges_of(state, learned) if wanted and state.learned else None

    def _prior(self, state: State) -> RowPrior | None:
        """Return a second opinion on normal noise, if the model takes such noise out."""
        found = self._situation
        wanted = found.noise.kind == "gaussian" or (
            found.name == "clean" and self.noise in ("auto", "gaussian")
        )
        if not wanted or not state.learned or state.precision is None:
            return None
        seed = int(state.facts["seed"])
        if found.name == "noisy":
            return row_prior(state, self._given, found.noise, clean=False, seed=seed)
        learned = found.rows if found.target is None else found.target
        return row_prior(state, learned, found.noise, clean=True, seed=seed)

    def _in_units(self, noise: Noise) -> Noise:
        if noise.kind != "gaussian":
            return noise
        unit = self._state.scaling.unit
        return replace(noise, level=noise.level * unit, error=noise.error * unit)

    def denoise(self, X: Any, *, level: float | None = None) -> Any:
        """Take the noise out of rows; what it did not touch stays as it is, bit by bit.

        Parameters
        ----------
        X : array-like, frame or path
            Noisy rows; what is missing is restored as well.
        level : float, optional
            Standard deviation of normal noise, in the data's units (in columns' deviations
            where these differ); without it, the noise is that of ``fit``, or it is found
            out if that was to clean rows.

        Returns
        -------
        ndarray or frame
            As the data was given.
        """
        return self.denoise_with_noise(X, level=level)[0]

    def denoise_with_noise(self, X: Any, *, level: float | None = None) -> tuple[Any, Noise]:
        """Return the same, and what noise was found; see `denoise`."""
        return self._with_noise(X, level, None)

    def _with_noise(self, X: Any, level: float | None, kind: str | None) -> tuple[Any, Noise]:
        """Return rows without noise, and what it was; its kind, if it is known already."""
        self._require_decoder()
        rows = self._check(X)
        level = self._level(level)
        if not self._state.learned:
            # It has a code, or has learned the pairs themselves.
            values = self._reconstructed(rows)
            return self._shaped(values, rows, clip=True), self.noise_
        result = self._denoised(rows, level, kind)
        if isinstance(rows, TableRows):
            cells = rows.schema.gather(result.values, clip=True)
            return joined(rows, cells, _columns(rows, result)), self._in_units(result.noise)
        values = result.values.astype(rows.dtype, copy=False)
        return values.reshape(len(values), *rows.sample_shape), self._in_units(result.noise)

    def _level(self, level: Any) -> float | None:
        """Return a level in the network's units; refuse one that the model cannot use."""
        if level is None:
            return None
        if isinstance(level, bool | np.bool_) or not isinstance(level, Real):
            raise SpecError(f"level={level!r} should be None or a positive number")
        found = float(level) / self._state.scaling.unit
        if not 0 < found < _MOST_LEVEL:
            most = _MOST_LEVEL * self._state.scaling.unit
            raise SpecError(f"level={level!r} should be None or a number between 0 and {most:g}")
        if self.n_components is not None:
            raise DataError(
                "level has no effect: the model restores through a code of fixed length; leave it "
                "out"
            )
        if "noise" not in self._state.learned:
            raise DataError(
                "level is for normal noise, and the model was fitted to another: leave it out"
            )
        return found

    def _denoised(self, rows: Rows, level: float | None, kind: str | None) -> Denoised:
        state = self._state
        known = Noise.from_header(state.facts["noise"])
        if state.precision is None:
            raise DataError(_too_long(state.n_values))
        noise = None if state.facts["situation"] == "clean" else known
        if noise is None and kind is not None:
            # What a sample has shown holds for all: none, or one kind alone is looked for.
            noise = Noise("none") if kind == "none" else None
            state = replace(state, facts=state.facts | {"asked": kind})
        return denoised(state, rows, noise, level)


def _too_long(n_values: int) -> str:
    return (
        f"rows of {n_values} values are too long to take noise out of: fit to parts, or, for "
        "pictures, use PictureDenoiser"
    )


def _columns(rows: TableRows, result: Denoised) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which cells of a table changed, ``(n_rows, n_columns)``; dates only if missing."""
    changed = rows.missing().copy()
    for place, span in enumerate(rows.schema.spans):
        if span.block.kind != "datetime":
            changed[:, place] = result.changed[:, span.values].any(1)
    return changed
