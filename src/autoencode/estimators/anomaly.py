"""Anomalies as decisions: p-values, a false-discovery rate, and the reason."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from autoencode import defaults
from autoencode.anomaly import Detector, Wishes, fit_detector
from autoencode.anomaly_parts.conformal import Flags, flagged, share_between
from autoencode.anomaly_parts.scaled_values import bent_alike, straightened
from autoencode.anomaly_parts.streams import DriftTest, OnlineControl, Stream
from autoencode.anomaly_parts.windows import window_wish
from autoencode.data.rows import Rows
from autoencode.errors import DataError, SpecError
from autoencode.estimators.fitted import FittedCoding, rows_like_fit, with_names
from autoencode.estimators.storing import file_contents
from autoencode.explanation import reason_texts
from autoencode.model_file import write_model
from autoencode.opening import open_for_fit
from autoencode.preprocess.table_rows import TableRows

__all__ = ["AnomalyDetector"]

Array = npt.NDArray[np.float64]

_CALIBRATIONS = ("cross", "split")


class AnomalyDetector(OutlierMixin, BaseEstimator):
    """Find odd rows: each gets a p-value, a set of them a false-discovery rate.

    How far a row is from its nearest neighbours, as it is and as a denoising autoencoder
    without a bottleneck sees it, and how badly that restores it from noise of several
    strengths, are put on one scale by rows that the models did not see, and added up.
    Where rows of the fit may be anomalies, distances to more neighbours and to the inner
    half of the rows count instead.

    Parameters
    ----------
    novelty : bool, default=False
        Whether all rows given to ``fit`` are normal. If not, anomalies among them are
        trimmed by the model's own evidence, and p-values are estimates.
    calibration : {"cross", "split"}, default="cross"
        With ``novelty=True``: "cross" calibrates every row by a model that did not see it,
        and uses all; "split" keeps half of the rows apart, for a proven guarantee.
    confidence : float or None, default=None
        With ``novelty=True``: p-values that hold with this probability over the rows of the
        fit, for all rows to come; None: on average over such rows.
    false_alarm_rate : float, default=0.05
        Share of normal rows that `predict` may call anomalies.
    window : None, "auto" or int, default=None
        If rows are steps of a series, in the order of time: how many steps are judged
        together. A step is as odd as the window that ends there; "auto" is the series'
        strongest period. Columns of numbers count, others are left out.
    estimator : Autoencoder or None, default=None
        With ``novelty=True``: a fitted autoencoder of this package, whose codes and
        reconstructions take the place of the network that is trained otherwise. Fit to rows
        that it has not seen: those that it has, it restores better than rows to come.
    columns : mapping of str to str, default=None
        Kinds of a table's columns that are not to be found by looking.
    max_epochs : "auto" or int, default="auto"
        Passes over the rows in training each network; "auto" is about 400 steps.
    random_state : int, RandomState instance or None, default=None
        The only source of randomness.

    Attributes
    ----------
    offset_ : float
        ``decision_function`` is ``score_samples`` less this.
    n_calibration_ : int
        Rows that p-values rest on.
    guarantee_ : str
        What p-values are worth, and why.
    window_ : int or None
        Steps of a window.
    n_features_in_, feature_names_in_
        Number of columns, and their names if they have any.
    """

    def __init__(
        self,
        *,
        novelty: bool = False,
        calibration: str = "cross",
        confidence: float | None = None,
        false_alarm_rate: float = 0.05,
        window: Any = None,
        estimator: Any = None,
        columns: Any = None,
        max_epochs: Any = "auto",
        random_state: Any = None,
    ) -> None:
        self.novelty = novelty
        self.calibration = calibration
        self.confidence = confidence
        self.false_alarm_rate = false_alarm_rate
        self.window = window
        self.estimator = estimator
        self.columns = columns
        self.max_epochs = max_epochs
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit to rows: normal ones (``novelty=True``), or with anomalies among them.

        Parameters
        ----------
        X : array-like, frame, sparse matrix or path
            ``(n_samples, n_features)``, or pictures ``(n_samples, height, width)``.
        y : object, ignored
            For pipelines.

        Returns
        -------
        AnomalyDetector
            Itself.

        Raises
        ------
        DataError
            If the data cannot be used; the message names the column.
        SpecError
            If a parameter is not allowed.
        """
        wishes = self._wishes()
        model = self._model()
        rows = self._opened(X) if model is None else model._check(X)
        if rows.n_rows < 2:
            raise DataError(
                f"Found array with {rows.n_rows} sample(s) (shape={(rows.n_rows, rows.n_columns)})"
                " while a minimum of 2 is required by AnomalyDetector."
            )
        detector = fit_detector(rows, wishes, model)
        _check_feature_names(self, with_names(rows), reset=True)
        self.n_features_in_ = rows.n_columns
        self._adopt(detector)
        return self

    def _opened(self, X: Any) -> Rows:
        """Return rows to fit to; where some may be anomalies, in the data's own scale."""
        rows = open_for_fit(X, self.columns)
        if self.novelty or not isinstance(rows, TableRows):
            return rows
        return straightened(rows, self.columns or ())

    def _wishes(self) -> Wishes:
        if not isinstance(self.novelty, bool | np.bool_):
            raise SpecError(f"novelty={self.novelty!r} should be True or False")
        if self.calibration not in _CALIBRATIONS:
            raise SpecError(
                f"calibration={self.calibration!r} is not known; choose from cross, split"
            )
        share_between(0.0, "false_alarm_rate", self.false_alarm_rate)
        confidence = self.confidence
        if confidence is not None:
            confidence = share_between(0.0, "confidence", confidence)
        if not self.novelty and (confidence is not None or self.calibration == "split"):
            raise SpecError(
                "calibration='split' and confidence need rows that are all normal: pass "
                "novelty=True, or leave them out"
            )
        if self.max_epochs != "auto":
            defaults.positive("max_epochs", self.max_epochs, whole=True)
        window = window_wish(self.window)
        if window is not None and (confidence is not None or self.estimator is not None):
            raise SpecError("confidence and estimator are for single rows: leave out window")
        seed, novelty = defaults.seed(self.random_state), bool(self.novelty)
        return Wishes(novelty, self.calibration, confidence, seed, self.max_epochs, window)

    def _model(self) -> Any:
        """Return the fitted autoencoder that was given, if one was."""
        model = self.estimator
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        if model is None:
            return None
        if not isinstance(model, FittedCoding):
            raise SpecError(
                f"estimator={model!r} should be a fitted autoencoder of this package, or None"
            )
        if not self.novelty:
            raise SpecError("estimator needs rows that are all normal: pass novelty=True")
        if self.columns is not None or self.max_epochs != "auto":
            raise SpecError("columns and max_epochs are those of the estimator: leave them out")
        model._require_decoder()
        return model

    def _adopt(self, detector: Detector) -> None:
        """Set the fitted attributes."""
        self._detector = detector
        calibration = detector.calibration
        self.offset_ = -calibration.threshold(float(self.false_alarm_rate))
        self.n_calibration_ = len(calibration.scores)
        self.guarantee_ = calibration.guarantee()
        windows = detector.windows
        self.window_ = None if windows is None else windows.width

    def score_samples(self, X: Any) -> Array:
        """Return how normal rows are: 0 is usual, lower is odder, ``(n_samples,)``.

        In interquartile ranges of normal rows' evidence, which is logarithms of distances.
        """
        rows = self._check(X)
        return -self._detector.scores(rows)

    def decision_function(self, X: Any) -> Array:
        """Return ``score_samples(X) - offset_``: negative for what `predict` calls odd."""
        found: Array = self.score_samples(X) - self.offset_
        return found

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return -1 for rows whose p-value is at most ``false_alarm_rate``, else 1.

        With so few calibration rows that none could be: -1 for rows odder than all of them.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> Array:
        """Return the chance that a normal row is as odd as each of these, ``(n_samples,)``.

        What they are worth is in ``guarantee_``.
        """
        return self._detector.calibration.p_values(-self.score_samples(X))

    def flag(self, X: Any, fdr: float = 0.05, weights: npt.ArrayLike | None = None) -> Flags:
        """Flag rows such that, on average, at most a share ``fdr`` of them is normal.

        Parameters
        ----------
        X : array-like, frame or path
            Rows, judged together.
        fdr : float, default=0.05
            The false-discovery rate, in (0, 1).
        weights : array-like of shape (n_samples,), optional
            How readily each row is flagged, positive; their mean becomes 1.

        Returns
        -------
        Flags
            ``flags``, ``p_values``, ``threshold``, ``guarantee``, ``advice`` and more.

        Warns
        -----
        UserWarning
            If there are too few calibration rows for this rate; it says how many would do.
        """
        rate = share_between(0.0, "fdr", fdr)
        return flagged(self.p_values(X), self._detector.calibration, rate, weights)

    def explain(self, X: Any) -> Any:
        """Return how odd each cell is given the others of its row, and what was expected.

        Parameters
        ----------
        X : array-like, frame or path
            Rows, as a rule the few that were flagged.

        Returns
        -------
        pyarrow.Table
            One line for each observed cell: ``row`` (from 0), ``column``, ``nats`` (how much
            likelier the cell is as an error than given the others of its row; the highest are
            the oddest), ``observed`` and ``expected`` ("80 ± 35") as text; sorted by row, and
            within a row the oddest cell first.
        """
        return self._detector.explained(self._check(X))

    def reasons(self, X: Any) -> list[str]:
        """Return a line for each row: "amount 9400; expected 80 ± 35", the oddest first."""
        rows = self._check(X)
        return reason_texts(self._detector.explained(rows), rows.n_rows)

    def partial_calibrate(self, X: Any) -> Self:
        """Calibrate by further normal rows; the models stay as they are.

        Parameters
        ----------
        X : array-like, frame or path
            Normal rows that came after the fit.

        Returns
        -------
        AnomalyDetector
            Itself.

        Raises
        ------
        SpecError
            If the fit was to rows that may be anomalies.
        """
        check_is_fitted(self)
        known = self._detector.calibration
        if known.kind == "estimated":
            raise SpecError("partial_calibrate needs a fit to normal rows: pass novelty=True")
        self._require_rows("partial_calibrate")
        scores = np.sort(np.concatenate([known.scores, -self.score_samples(X)]))
        self._detector.calibration = replace(known, scores=scores)
        self._detector.facts["n_calibration"] = len(scores)
        self._adopt(self._detector)
        return self

    def stream(
        self, fdr: float = 0.05, *, false_alarm_rate: float = 0.01, random_state: Any = None
    ) -> Stream:
        """Return what judges rows as they come, and says when to fit again.

        Parameters
        ----------
        fdr : float, default=0.05
            Share of the flagged rows that may be normal, over the stream so far.
        false_alarm_rate : float, default=0.01
            Chance that a drift is ever announced if there is none.
        random_state : int, RandomState instance or None, default=None
            Breaks ties among scores.

        Returns
        -------
        Stream
            ``update(X)`` returns which rows are flagged; ``drifted`` whether to fit again.

        Raises
        ------
        SpecError
            If the fit was to rows that may be anomalies.
        """
        check_is_fitted(self)
        calibration = self._detector.calibration
        if calibration.kind == "estimated":
            raise SpecError("a stream needs a fit to normal rows: pass novelty=True")
        self._require_rows("a stream")
        drift = DriftTest(calibration.scores, false_alarm_rate, defaults.seed(random_state))
        return Stream(
            lambda rows: -self.score_samples(rows), calibration, OnlineControl(fdr), drift
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file (safetensors, no code inside).

        Parameters
        ----------
        path : path
            Replaced as a whole or not at all.
        """
        check_is_fitted(self)
        header, tensors = self._detector.to_file()
        parameters = self.get_params(deep=False) | {"random_state": None, "estimator": None}
        inner = self._detector.model
        if inner is not None:
            header["autoencoder"], own = file_contents(inner, inner._state)
            tensors |= {f"autoencoder.{name}": part for name, part in own.items()}
        if isinstance(self.random_state, int | np.integer):
            parameters["random_state"] = int(self.random_state)
        header |= {
            "estimator": type(self).__name__,
            "parameters": parameters,
            "feature_names": [str(name) for name in getattr(self, "feature_names_in_", [])] or None,
            "n_features": self.n_features_in_,
        }
        write_model(path, header, tensors)

    def _require_rows(self, what: str) -> None:
        if self.window_ is not None:
            raise SpecError(f"{what} is for single rows: leave out window; pass windows as rows")

    def _check(self, X: Any) -> Rows:
        check_is_fitted(self)
        model = self._detector.model
        if model is not None:
            found: Rows = model._check(X)
            return found
        rows, schema = rows_like_fit(self, X, self._detector.schema), self._detector.schema
        if rows is X and isinstance(rows, TableRows) and schema is not None:
            # Opened before the fit, which may have straightened columns.
            return bent_alike(rows, schema)
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags
