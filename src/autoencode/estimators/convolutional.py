"""Convolutional autoencoders, for pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from autoencode.data.aligned_rows import AlignedRows, moved_pictures
from autoencode.data.rows import FloatArray, Rows
from autoencode.errors import DataError, SpecError
from autoencode.estimators.autoencoder import Autoencoder
from autoencode.opening import open_codes
from autoencode.planning import segments_of
from autoencode.state import State

__all__ = ["ConvolutionalAutoencoder"]

_PIXEL = 1e-3
"""A step of a pixel in codes, over the largest deviation of a component."""
_N_PLACES = 2


class ConvolutionalAutoencoder(Autoencoder):
    """Autoencoder of pictures of any height and width, never worse than PCA.

    Arrays ``(n, height, width)`` or ``(n, height, width, colours)``. Whole numbers (uint8,
    uint16) come back as such. Rows of one axis are lines of pixels: spectra and other signals.

    Parameters
    ----------
    n_components : int, float or None, default=0.95
        As in `Autoencoder`. None: no code; the model learns to restore blocks and single pixels
        that are hidden, for `restore`.
    augmentation : {"auto", "none", "shift", "shift_flip"}, default="auto"
        Whether pictures are moved by a pixel at random in training, and mirrored. "auto": each is
        tried by short trainings, and taken where it gains on held-out pictures; not tried with
        20,000 pictures or more.
    aligned : bool, default=False
        Move each picture by whole pixels to a place that does not depend on where it was, so
        that codes of a picture that moved are the same. Codes have two more columns at
        the end, down and right: where it was, so that it comes back there. They are small
        beside the others, and count little in distances. For pictures of one thing on an even
        background; others stay where they are. What is drawn is where aligned pictures are, and
        `explain` speaks of pixels there, as do `encoder_` and `decoder_`.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Channels each time that height and width are halved. Empty: the linear autoencoder.
    bottleneck, nested, corruption, likelihood, penalties, missing
        As in `Autoencoder`.
    max_epochs, max_time, batch_size, learning_rate, validation_fraction, scaling
        As in `Autoencoder`.
    device, dtype, n_threads, random_state, verbose
        As in `Autoencoder`.
    """

    def __init__(
        self,
        n_components: float | None = 0.95,
        *,
        augmentation: str = "auto",
        aligned: bool = False,
        hidden_layer_sizes: Any = "auto",
        bottleneck: Any = "plain",
        nested: Any = "auto",
        corruption: Any = "auto",
        likelihood: Any = "auto",
        penalties: Any = "auto",
        missing: str = "ignorable",
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
            hidden_layer_sizes=hidden_layer_sizes,
            bottleneck=bottleneck,
            nested=nested,
            corruption=corruption,
            likelihood=likelihood,
            penalties=penalties,
            missing=missing,
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
        self.augmentation = augmentation
        self.aligned = aligned

    def _opened(
        self, X: Any, target: Any, X_held_out: Any
    ) -> tuple[Rows, Rows | None, Rows | None]:
        if not isinstance(self.aligned, bool | np.bool_):
            raise SpecError(f"aligned={self.aligned!r} should be True or False")
        rows, wanted, held = super()._opened(X, target, X_held_out)
        if not self.aligned or segments_of(rows):
            return rows, wanted, held
        if self.n_components is None:
            raise SpecError("aligned=True is for codes: give n_components, or leave aligned out")
        rows = AlignedRows(rows)
        wanted = None if wanted is None else AlignedRows(wanted, rows.places)
        return rows, wanted, None if held is None else AlignedRows(held)

    def _assigned(
        self, rows: Rows, target: Rows | None
    ) -> tuple[dict[str, Any], Rows, Rows | None]:
        if segments_of(rows):
            raise DataError(
                "a convolutional autoencoder takes pictures (n, height, width) or rows of "
                "numbers, whose neighbours belong together; use Autoencoder for this table"
            )
        return self.get_params() | {"architecture": "conv"}, rows, target

    def _adopt(self, state: State) -> None:
        super()._adopt(state)
        self._n_features_out += _N_PLACES if self._is_aligned else 0

    @property
    def _is_aligned(self) -> bool:
        return bool(self._state.facts.get("aligned"))

    @property
    def _pixel(self) -> float:
        """What a pixel is in codes."""
        return _PIXEL * float(self._state.deviations.max() * self._state.scaling.unit) or 1.0

    def _check(self, X: Any) -> Rows:
        rows = super()._check(X)
        known = not self._is_aligned or isinstance(rows, AlignedRows)
        return rows if known else AlignedRows(rows)

    def _encoded(self, rows: Rows) -> FloatArray:
        codes = super()._encoded(rows)
        if not isinstance(rows, AlignedRows):
            return codes
        return np.hstack([codes, (rows.places * self._pixel).astype(codes.dtype)])

    def _dense_codes(self, rows: Rows) -> npt.NDArray[np.float64]:
        return super()._dense_codes(rows)[:, : self.n_components_]

    def inverse_transform(self, X: Any, *, clip: bool = True) -> Any:
        """Return pictures from codes, ``(n_samples, n_components_)``; see `Autoencoder`.

        Of aligned pictures codes have the two columns of `transform` that say where they go.
        """
        check_is_fitted(self)
        if not self._is_aligned:
            return super().inverse_transform(X, clip=clip)
        codes = open_codes(X).dense()
        length = self.n_components_ + _N_PLACES
        if codes.shape[1] != length:
            raise DataError(
                f"codes have {codes.shape[1]} components, but the model of aligned pictures has "
                f"{length}: the last {_N_PLACES} say where they go, in units of {self._pixel:g}"
            )
        values = super().inverse_transform(codes[:, : self.n_components_], clip=clip)
        places = np.rint(codes[:, self.n_components_ :] / self._pixel).astype(np.int64)
        return self._put(values, places)

    def impute(self, X: Any, n_draws: int | None = None) -> Any:
        """Restore what is missing in X; see `Autoencoder`. Not of aligned pictures."""
        check_is_fitted(self)
        if self._is_aligned:
            raise DataError(
                "impute fills in missing pixels, and aligned=True needs all of them to find a "
                "picture's place: fit without aligned"
            )
        return super().impute(X, n_draws)

    def _shaped(self, values: FloatArray, rows: Rows, *, clip: bool) -> Any:
        found = super()._shaped(values, rows, clip=clip)
        return self._put(found, rows.places) if isinstance(rows, AlignedRows) else found

    def _put(self, pictures: Any, places: npt.NDArray[np.int64]) -> Any:
        """Return aligned pictures where they belong."""
        flat = pictures.reshape(len(pictures), -1)
        return moved_pictures(flat, pictures.shape[1:], places).reshape(pictures.shape)
