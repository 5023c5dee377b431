"""A scikit-learn transformer that completes tables."""

from __future__ import annotations

import os
from typing import Any, Self

from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from autoencode.estimators.autoencoder import Autoencoder

__all__ = ["Imputer"]


class Imputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Restore missing cells by an autoencoder without a bottleneck.

    It starts as the best linear guess (the conditional mean of a normal distribution),
    learns to restore hidden cells, and is used where it is better on held-out rows.

    Parameters
    ----------
    columns : mapping of str to str, default=None
        Kinds of a table's columns that are not to be found by looking.
    missing : {"ignorable", "informative"}, default="ignorable"
        Whether that a cell is missing says nothing about its value, given the others;
        "informative": large values, say, may be missing more often.
    max_time : float or None, default=None
        Seconds of fitting.
    device, dtype, n_threads
        As in `Autoencoder`.
    random_state : int, RandomState instance or None, default=None
        The only source of randomness.

    Attributes
    ----------
    model_ : Autoencoder
        The fitted model.
    n_features_in_, feature_names_in_
        Number of columns, and their names if they have any.
    """

    def __init__(
        self,
        *,
        columns: Any = None,
        missing: str = "ignorable",
        max_time: float | None = None,
        device: Any = "auto",
        dtype: Any = "auto",
        n_threads: Any = "auto",
        random_state: Any = None,
    ) -> None:
        self.columns = columns
        self.missing = missing
        self.max_time = max_time
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Fit to rows with or without missing cells.

        Parameters
        ----------
        X : array-like, frame or path
            ``(n_samples, n_features)``.
        y : object, ignored
            For pipelines.
        checkpoint : path, optional
            As in `Autoencoder.fit`.

        Returns
        -------
        Imputer
            Itself.

        Raises
        ------
        DataError
            If the data cannot be used; the message names the column.
        """
        model = Autoencoder(n_components=None, **self.get_params())
        self.model_ = model.fit(X, checkpoint=checkpoint)
        self.n_features_in_ = model.n_features_in_
        if hasattr(model, "feature_names_in_"):
            self.feature_names_in_ = model.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def transform(self, X: Any) -> Any:
        """Return X with every missing cell restored; what is observed stays bit-identical."""
        return self.impute(X)

    def impute(self, X: Any, n_draws: int | None = None) -> Any:
        """Return X completed, or a list of plausible completions; see `Autoencoder.impute`."""
        check_is_fitted(self)
        return self.model_.impute(X, n_draws)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
