"""What a fitted model does with rows and codes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import _check_feature_names, check_is_fitted
from torch import nn

from autoencode.augmentation import choose, require_classes, variants
from autoencode.codec import fast_encoder
from autoencode.data.frames import to_frame
from autoencode.data.picture_form import PictureForm
from autoencode.data.rows import Rows
from autoencode.defaults import positive
from autoencode.errors import DataError
from autoencode.explanation import explained_cells
from autoencode.imputation import completed, drawn
from autoencode.inference import apply, chunk_rows
from autoencode.inpainting import drawn_pictures, holes_of, mended, with_holes
from autoencode.metrics import explained_variance, log_likelihood
from autoencode.opening import open_codes, open_like
from autoencode.preprocess.columns import Schema
from autoencode.preprocess.pixels import as_pixels
from autoencode.preprocess.table_rows import TableRows
from autoencode.row_likelihood import has_likelihood, row_likelihoods
from autoencode.state import State

__all__ = ["FittedCoding", "rows_like_fit", "torch_dtype", "with_names"]

FloatArray = npt.NDArray[np.floating[Any]]


class FittedCoding(TransformerMixin):
    """Encode, decode, score and restore: everything that reads a fitted `State`."""

    _state: State
    n_components_: int
    n_features_in_: int

    def transform(self, X: Any) -> FloatArray:
        """Return codes, ``(n_samples, n_components_)``, of the dtype of X (float32 or 64)."""
        return self._encoded(self._check(X))

    def _encoded(self, rows: Rows) -> FloatArray:
        encoder = self._state.fitted(torch_dtype(rows.dtype)).encoder
        codes = np.empty((rows.n_rows, self.n_components_), dtype=rows.dtype)
        missing = encoder if encoder.takes_missing else None
        apply(fast_encoder(encoder), rows, codes, self._piece(), missing=missing)
        return codes

    def inverse_transform(self, X: Any, *, clip: bool = True) -> Any:
        """Return rows in the data's units from codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Codes; shorter ones are not padded: see `truncate`.
        clip : bool, default=True
            Keep the columns of a table within the range that was observed in ``fit``, and
            pictures of whole numbers whole; without it they are as computed.

        Returns
        -------
        ndarray of shape (n_samples, n_features) or (n_samples, height, width), or a frame
            As the data were given to ``fit``: a table with its names, types and index.
        """
        check_is_fitted(self)
        codes = open_codes(X)
        self._require_decoder()
        if codes.n_features != self.n_components_:
            raise DataError(
                f"codes have {codes.n_features} components, but the model has {self.n_components_}"
            )
        decoder = self._state.fitted(torch_dtype(codes.dtype)).decoder
        result = np.empty((codes.n_rows, self._state.n_values), dtype=codes.dtype)
        apply(decoder, codes, result, self._piece())
        return self._shaped(result, codes, clip=clip)

    def reconstruct(self, X: Any, *, clip: bool = True) -> Any:
        """Return what is left of X after coding and decoding, as the data was given.

        ``clip`` is as in `inverse_transform`.
        """
        rows = self._check(X)
        return self._shaped(self._reconstructed(rows), rows, clip=clip)

    def _require_decoder(self) -> None:
        check_is_fitted(self)
        if not self._state.column_errors.size:
            raise DataError("the model was saved with encoder_only=True: it cannot decode")

    def _reconstructed(self, rows: Rows) -> FloatArray:
        self._require_decoder()
        fitted = self._state.fitted(torch_dtype(rows.dtype))
        encode = fast_encoder(fitted.encoder)
        result = np.empty((rows.n_rows, self._state.n_values), dtype=rows.dtype)
        missing = nn.Sequential(fitted.encoder, fitted.decoder)
        apply(
            lambda x: fitted.decoder(encode(x)),
            rows,
            result,
            self._piece(),
            missing=missing if fitted.encoder.takes_missing else None,
        )
        return result

    def encode(self, X: Any) -> FloatArray:
        """Return codes; another name of `transform`."""
        return self.transform(X)

    def decode(self, X: Any, *, clip: bool = True) -> Any:
        """Return rows from codes; another name of `inverse_transform`."""
        return self.inverse_transform(X, clip=clip)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of X's variance that the reconstruction explains (R²).

        Variance-weighted over columns, in the model's scaled units, as
        ``sklearn.metrics.r2_score(..., multioutput="variance_weighted")``.
        """
        rows = self._check(X)
        return explained_variance(rows, self._reconstructed(rows), self._state.scaling.scale)

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """Return each row's reconstruction log-likelihood, in nats; higher: more normal.

        A normal density around the reconstruction with one deviation per column,
        measured on held-out rows and at least a thousandth of the column's scale (a
        category's probability, for tables), summed over the cells that are not missing,
        in the data's units.

        Of a variational model the likelihood of the row itself: the importance-weighted
        bound (Burda et al., 2016, eq. 8) by 500 draws of the code, the same for every row;
        exact where the gate is shut and the model is probabilistic PCA.
        """
        rows = self._check(X)
        if has_likelihood(self._state):
            self._require_decoder()
            return row_likelihoods(self._state, rows)
        nats = self._nats(rows, self._reconstructed(rows))
        total: npt.NDArray[np.float64] = np.nansum(nats, axis=1)
        return total

    def explain(self, X: Any) -> Any:
        """Return what each cell adds to `score_samples`, beside what was expected there.

        Of a variational model what it would add if only reconstructions counted.

        Parameters
        ----------
        X : array-like, frame or path
            Rows.

        Returns
        -------
        pyarrow.Table
            One line for each observed cell: ``row`` (from 0), ``column``, ``nats`` (of
            log-likelihood; the lowest are the oddest), ``observed`` and ``expected`` as
            text; sorted by row, and within a row the oddest cell first.
        """
        rows = self._check(X)
        values = self._reconstructed(rows)
        return explained_cells(rows, values, self._nats(rows, values))

    def _nats(self, rows: Rows, values: FloatArray) -> npt.NDArray[np.float64]:
        """Return each column's log-likelihood, ``(n_samples, n_columns)``; NaN if missing."""
        deviation = self._state.raw_deviations()
        if not isinstance(rows, TableRows):
            return log_likelihood(rows, values, deviation)
        return rows.schema.nats(rows.cells, values.astype(np.float64, copy=False), deviation)

    def impute(self, X: Any, n_draws: int | None = None) -> Any:
        """Restore what is missing in X; what is observed stays as it is, bit by bit.

        Parameters
        ----------
        X : array-like, frame or path
            Rows with missing cells.
        n_draws : int, optional
            How many plausible completions to draw; without it, the one of expected values.

        Returns
        -------
        ndarray or frame, or list of them
            As the data was given. Columns that the model leaves out stay as they are.
        """
        self._require_decoder()
        rows = self._check(X)
        values = self._reconstructed(rows)
        if n_draws is None:
            return completed(self._state, rows, values)
        count = int(positive("n_draws", n_draws, whole=True, other="None"))
        return drawn(self._state, rows, values, count)

    def restore(self, X: Any, mask: Any = None, n_draws: int | None = None) -> Any:
        """Fill holes in pictures; every other pixel stays as it is, bit by bit.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, colours)
            Pictures as those of ``fit``; NaN is a hole too.
        mask : array-like of bool, optional
            True where to fill: ``(height, width)`` for all alike, ``(n, height, width)``, or
            the shape of X.
        n_draws : int, optional
            How many plausible results to draw, of a variational model; without it, the
            expected one.

        Returns
        -------
        ndarray, or list of them
            Of the shape and type of X.

        Raises
        ------
        DataError
            If the model was not trained to restore, or shapes do not fit.
        SpecError
            If codes of this model cannot be drawn.
        """
        self._require_decoder()
        pictures = np.asarray(X)
        if not self._state.composition.masked or pictures.ndim < 3:
            raise DataError(
                "restore fills holes in pictures (n, height, width) by a model that was trained "
                "with holes: ConvolutionalAutoencoder(n_components=None), or corruption='holes' "
                "(fit --kind convolutional --components none, or --corruption holes)"
            )
        holes = holes_of(pictures, mask)
        rows = self._check(with_holes(pictures, holes))
        if n_draws is None:
            return mended(self._state, pictures, holes, self._reconstructed(rows))
        count = int(positive("n_draws", n_draws, whole=True, other="None"))
        drawn_values = drawn_pictures(self._state, rows, count)
        return [mended(self._state, pictures, holes, values) for values in drawn_values]

    def augment(
        self,
        X: Any,
        n: int,
        y: Any = None,
        *,
        kind: str = "auto",
        strength: float | None = None,
        random_state: Any = None,
    ) -> Any:
        """Draw new rows that are variants of those in X.

        Parameters
        ----------
        X : array-like, frame or path
            Rows; cells that are missing are drawn too.
        n : int
            Variants of each row.
        y : array-like of shape (n_samples,), optional
            The class of each row.
        kind : {"auto", "restore", "differences", "interpolate"}, default="auto"
            "restore": corrupt rows and restore them. "differences": move each row's code
            by a part of the difference of two rows of one class, any class.
            "interpolate": go towards a near row of the same class, in code. The latter
            two need ``y``; "auto" is "differences" with it, else "restore".
        strength : float, optional
            Share of the difference (0.5 if not given), or the largest share of the way
            (1). To restore: share of a row's cells to hide where the model takes missing
            values, else deviation of normal noise, in the model's scaled units; not
            given: the model's own corruption if it is another one, else 0.5.
        random_state : int, RandomState instance or None, default=None
            The only source of randomness.

        Returns
        -------
        ndarray or frame, or a pair of this and an ndarray
            As the data was given, ``n * n_samples`` rows: one variant of every row, then
            the next; with ``y`` their classes too.

        Raises
        ------
        SpecError
            If a parameter is not allowed.
        DataError
            If the rows or classes cannot be used.
        """
        self._require_decoder()
        choice = choose(kind, strength, n, random_state, labelled=y is not None)
        rows = self._check(X)
        labels = None if y is None else require_classes(y, rows.n_rows)
        parts = variants(self._state, rows, labels, choice, self._piece())
        result = self._plausible(np.concatenate(list(parts)), rows, choice.seed)
        return result if labels is None else (result, np.tile(labels, choice.count))

    def _plausible(self, values: npt.NDArray[np.float64], rows: Rows, seed: int) -> Any:
        """Return drawn values as the data was given; levels by their probabilities."""
        schema = self._state.schema
        if schema is None:
            shape = self._state.facts["sample_shape"]
            whole = as_pixels(values.astype(rows.dtype, copy=False), self._state.facts)
            return whole.reshape(len(whole), *shape)
        normals = np.random.default_rng([seed, 1]).standard_normal((len(values), schema.n_draws))
        cells = schema.draw(values, normals, np.zeros((schema.n_values, 2)))
        return self._framed(schema.table(cells), rows, index=None)

    def _check(self, X: Any) -> Rows:
        """Read rows to encode; they should have the columns of the fit."""
        check_is_fitted(self)
        stored = self._state.facts.get("pictures")
        form = None if stored is None else PictureForm.from_header(stored)
        return rows_like_fit(self, X, self._state.schema, form)

    def _piece(self) -> int:
        return chunk_rows(max(self._state.n_values, *self._state.composition.hidden_layer_sizes, 1))

    def _shaped(self, values: FloatArray, rows: Rows, *, clip: bool) -> Any:
        """Return reconstructed values as the data was given: an array, pictures or a frame."""
        schema = self._state.schema
        if schema is None:
            whole = as_pixels(values, self._state.facts) if clip else values
            return whole.reshape(len(whole), *self._state.facts["sample_shape"])
        cells = schema.gather(values.astype(np.float64, copy=False), clip=clip)
        return self._framed(schema.table(cells), rows, index=rows.index)

    def _framed(self, table: Any, rows: Rows | None, *, index: Any) -> Any:
        """Return a table as the kind of frame that was given, else as that of the fit."""
        frame = self._state.facts["frame"]
        if isinstance(rows, TableRows):
            frame = {"kind": rows.kind, "dtypes": rows.dtypes}
        return to_frame(table, frame["kind"], index=index, dtypes=frame["dtypes"])


def rows_like_fit(
    estimator: Any, X: Any, schema: Schema | None, form: PictureForm | None = None
) -> Rows:
    """Read rows for a fitted estimator; they should have the columns of its fit.

    Parameters
    ----------
    estimator : object
        Fitted: has ``n_features_in_``.
    X : array-like, frame or path
        Rows.
    schema : Schema or None
        That of the fit; None if that was to an array.
    form : PictureForm, optional
        Which files of pictures are brought to.

    Raises
    ------
    DataError
        If the columns are others, or a cell cannot be used.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if hasattr(X, "columns"):
        # Wrong names are said before what is wrong with the values.
        _check_feature_names(estimator, X, reset=False)
    rows = open_like(X, schema, None if names is None else tuple(names), form)
    if not hasattr(X, "columns") and not isinstance(X, Rows | str | os.PathLike):
        # An array has no names, whatever the schema calls its columns.
        bare = isinstance(rows, TableRows) and rows.kind == "numpy"
        named = np.empty((0, rows.n_columns)) if bare else with_names(rows)
        _check_feature_names(estimator, named, reset=False)
    if rows.n_columns != estimator.n_features_in_:
        raise DataError(
            f"X has {rows.n_columns} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    return rows


def with_names(rows: Rows) -> Any:
    """Return something small in which scikit-learn finds the columns' names, if any."""
    if rows.names is None:
        return np.empty((0, rows.n_columns))
    import pyarrow as pa

    return pa.table({name: pa.nulls(0) for name in rows.names})


def torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    """Return the type of modules that take rows of this one: float32 or float64."""
    return torch.float32 if dtype == np.float32 else torch.float64
