"""A fitted detector of anomalies: evidence, fused and calibrated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.anomaly_parts.borrowed import read_by
from autoencode.anomaly_parts.conformal import Calibration
from autoencode.anomaly_parts.evidence import KINDS, Evidence, Fusion
from autoencode.anomaly_parts.reasons import reasons
from autoencode.anomaly_parts.restoring import Reading
from autoencode.anomaly_parts.scaled_values import Numbers, Units, plain_values
from autoencode.anomaly_parts.windows import Windows
from autoencode.data.rows import Rows
from autoencode.errors import ModelFileError
from autoencode.explanation import explained_anomalies
from autoencode.preprocess.columns import Schema
from autoencode.preprocess.table_rows import TableRows

__all__ = ["Detector", "Wishes", "fit_detector", "group"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_FEWEST_LEARNED = 30
"""Rows below which a network learns nothing that neighbours do not say."""
_FOLDS, _FEWER_FOLDS, _MANY_ROWS = 5, 3, 2000
_MOST_CALIBRATED = 20_000
_FUSION_FOLDS = 3
_ROUNDS = 2
_DOUBTED = 0.02
_PIECE = 20_000


@dataclass(frozen=True)
class Wishes:
    """What a fit is asked for.

    Attributes
    ----------
    novelty : bool
        Whether all rows are normal.
    calibration : {"cross", "split"}
        How normal rows are calibrated.
    confidence : float or None
        See `Calibration`.
    seed : int
        The only source of randomness.
    max_epochs : "auto" or int
        Of each network.
    window : None, "auto" or int
        Steps of a window, where rows are steps of a series.
    gap : int
        How many rows share values with one before them; those of a series are windows.
    """

    novelty: bool
    calibration: str
    confidence: float | None
    seed: int
    max_epochs: Any
    window: Any = None
    gap: int = 0

    @property
    def situation(self) -> str:
        """One of `KINDS`."""
        return "normal" if self.novelty else "contaminated"


class Given(NamedTuple):
    """Rows as they are.

    Attributes
    ----------
    values, novel : ndarray
        As of `plain_values`.
    reading : Reading or None
        What another autoencoder says of them, in the data's units.
    """

    values: Array
    novel: Mask
    reading: Reading | None

    @classmethod
    def of(cls, rows: Rows, model: Any) -> Given:
        """Return rows, with what a model says of them if there is one."""
        values, novel = plain_values(rows)
        return cls(values, novel, None if model is None else read_by(model, rows))

    def rows(self, places: Any) -> Given:
        """Return some of the rows."""
        reading = None if self.reading is None else self.reading.rows(places)
        return Given(self.values[places], self.novel[places], reading)

    def scaled(self, units: Units) -> Reading | None:
        """Return what the model says in these units."""
        return None if self.reading is None else self.reading.scaled(units.kept, units.scale)


@dataclass(frozen=True)
class Fitted:
    """Evidence and the units that it is in."""

    units: Units
    evidence: Evidence

    def logs(self, given: Given) -> Array:
        """Return the evidence on rows, ``(n, n_kinds + 1)``; see `Evidence.logs`."""
        found = [np.zeros((0, len(KINDS[self.evidence.situation]) + 1))]
        for start in range(0, len(given.values), _PIECE):
            few = given.rows(slice(start, start + _PIECE))
            numbers = self.units.numbers(few.values, few.novel)
            found.append(self.evidence.logs(numbers, few.scaled(self.units)))
        return np.concatenate(found)


@dataclass
class Detector:
    """Everything that a fitted estimator reads from.

    Attributes
    ----------
    fitted : Fitted
        To all rows, or to those that are not there to calibrate.
    fusion : Fusion
        From evidence to one score.
    calibration : Calibration
        From scores to p-values.
    schema : Schema or None
        What a table's columns are.
    facts : dict
        Plain values.
    model : Autoencoder or None
        Another autoencoder that says what there is to say of rows.
    """

    fitted: Fitted
    fusion: Fusion
    calibration: Calibration
    schema: Schema | None
    facts: dict[str, Any]
    model: Any = None

    @property
    def windows(self) -> Windows | None:
        """How a series becomes rows; None where rows are rows."""
        header = self.facts.get("windows")
        return None if header is None else Windows(**header)

    def scores(self, rows: Rows) -> Array:
        """Return how odd rows are, or steps; 0 is usual, higher is odder."""
        windows = self.windows
        if windows is None:
            return self._scores(rows)
        parts = [self._scores(part) for part in windows.pieces(rows)]
        return windows.by_step(np.concatenate(parts))

    def _scores(self, rows: Rows) -> Array:
        return self.fusion.totals(self.fitted.logs(Given.of(rows, self.model)))

    def explained(self, rows: Rows) -> Any:
        """Return a table of cells with how odd they are; see `explained_anomalies`."""
        windows = self.windows
        if windows is None:
            return self._explained(rows)
        found, first = [], windows.width - 1
        for part in windows.pieces(rows):
            table = self._explained(part)
            steps = pa.array(table["row"].to_numpy() + first)
            found.append(table.set_column(0, "row", steps))
            first += part.n_rows
        return pa.concat_tables(found)

    def _explained(self, rows: Rows) -> Any:
        values, novel = plain_values(rows)
        units, references = self.fitted.units, self.fitted.evidence.references
        found = reasons(units, references, units.numbers(values, novel), self.facts["n_rows"])
        return explained_anomalies(rows, found.expected, found.deviation, found.nats)

    def to_file(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return header and tensors."""
        evidence, tensors = self.fitted.evidence.to_file()
        tensors = {f"evidence.{name}": part for name, part in tensors.items()}
        tensors |= {f"units.{name}": part for name, part in self.fitted.units.tensors().items()}
        tensors |= {
            "fusion.center": self.fusion.center,
            "fusion.spread": self.fusion.spread,
            "fusion.weights": self.fusion.weights,
            "fusion.step": self.fusion.step,
            "calibration": self.calibration.scores,
        }
        calibration = {
            "kind": self.calibration.kind,
            "confidence": self.calibration.confidence,
            "borrowed": self.calibration.borrowed,
        }
        header = {"evidence": evidence, "calibration": calibration, "facts": self.facts}
        if self.schema is not None:
            header["columns"] = self.schema.header()
        return header, {name: np.ascontiguousarray(part) for name, part in tensors.items()}

    @classmethod
    def from_file(
        cls, header: dict[str, Any], tensors: dict[str, npt.NDArray[Any]], model: Any = None
    ) -> Detector:
        """Rebuild a detector, over a model if it was.

        Raises
        ------
        ModelFileError
            If something is missing or does not fit together.
        """
        try:
            units = Units.from_tensors(group(tensors, "units."))
            evidence = Evidence.from_file(
                header["evidence"], group(tensors, "evidence."), units.covariance
            )
            parts = group(tensors, "fusion.")
            schema = Schema.from_header(header["columns"]) if "columns" in header else None
            return cls(
                Fitted(units, evidence),
                Fusion(**parts),
                Calibration(tensors["calibration"], **header["calibration"]),
                schema,
                header["facts"],
                model,
            )
        except (KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(f"the model file does not fit together: {reason}") from None


def group(tensors: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors whose names begin so, under the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def fit_detector(rows: Rows, wishes: Wishes, model: Any = None) -> Detector:
    """Fit to rows.

    Parameters
    ----------
    rows : Rows
        Normal ones, or with anomalies among them.
    wishes : Wishes
        What is asked for.
    model : Autoencoder or None
        Fitted; takes the place of the network.

    Raises
    ------
    DataError
        If a value is infinite, or rows are too wide.
    """
    if wishes.window is not None:
        return _fit_series(rows, wishes)
    given = Given.of(rows, model)
    values = given.values
    search = _Search(rows, given, wishes)
    if not wishes.novelty:
        fitted, fusion, scores = search.contaminated()
        kind = "estimated"
    elif wishes.calibration == "split":
        fitted, fusion, scores = search.split()
        kind = "windows" if wishes.gap else "split"
    else:
        fitted, fusion, scores = search.crossed(np.arange(len(values)), search.n_folds())
        kind = "windows" if wishes.gap else "cross"
    calibration = Calibration(np.sort(scores), kind, wishes.confidence, model is not None)
    facts = {
        "n_rows": len(values),
        "n_calibration": len(scores),
        "situation": wishes.situation,
        "kinds": list(KINDS[wishes.situation]),
        "sample_shape": list(rows.sample_shape),
        "network": fitted.evidence.restorer is not None or model is not None,
    }
    schema = rows.schema if isinstance(rows, TableRows) else None
    return Detector(fitted, fusion, calibration, schema, facts, model)


def _fit_series(rows: Rows, wishes: Wishes) -> Detector:
    windows = Windows.fit(rows, wishes.window)
    cut = windows.of_fit(rows)
    detector = fit_detector(cut, replace(wishes, window=None, gap=windows.gap))
    detector.schema = rows.schema if isinstance(rows, TableRows) else None
    detector.facts["windows"] = windows.header()
    return detector


Found = tuple[Fitted, Fusion, Array]


class _Search:
    """The steps of one fit; all return what was fitted, the fusion and normal rows' scores."""

    def __init__(self, rows: Rows, given: Given, wishes: Wishes) -> None:
        self.rows, self.given, self.wishes = rows, given, wishes
        self.values = given.values
        self.generator = np.random.default_rng(wishes.seed)

    def n_folds(self) -> int:
        """Return how many folds: more where rows are few and each counts."""
        folds = _FOLDS if len(self.values) < _MANY_ROWS else _FEWER_FOLDS
        return min(folds, len(self.values))

    def crossed(self, places: Places, n_folds: int) -> Found:
        """Fit to all these rows, and score each by a model that did not see its fold."""
        learns = len(places) >= _FEWEST_LEARNED
        order = self.generator.permutation(places)
        seeds = self.generator.integers(2**31, size=n_folds + 1)
        most = -(-_MOST_CALIBRATED // n_folds)
        found = []
        for fold in range(n_folds):
            apart, others = self._apart(places, order, fold, n_folds)
            one = self._fit(others, int(seeds[fold]), learns=learns)
            few = apart[:: -(-len(apart) // most)]
            found.append(one.logs(self.given.rows(few)))
        logs = np.concatenate(found)
        fusion = Fusion.fit(logs, self.wishes.situation)
        fitted = self._fit(places, int(seeds[-1]), learns=learns)
        return fitted, fusion, fusion.totals(logs)

    def _apart(
        self, places: Places, order: Places, fold: int, n_folds: int
    ) -> tuple[Places, Places]:
        """Return the rows of a fold, and those that have nothing in common with them."""
        gap = self.wishes.gap
        if not gap:
            apart = order[fold::n_folds]
            return apart, np.setdiff1d(places, apart)
        edges = np.linspace(0, len(places), n_folds + 1).astype(int)
        apart = places[edges[fold] : edges[fold + 1]]
        near = (places > apart[0] - gap) & (places < apart[-1] + gap)
        return apart, places[~near]

    def split(self) -> Found:
        """Fit to half of the rows, and calibrate by the others."""
        order = self.generator.permutation(len(self.values))
        if self.wishes.gap:
            order = np.arange(len(self.values))
        half = (len(order) + 1) // 2
        training = np.sort(order[:half])
        folds = min(_FUSION_FOLDS, half)
        fitted, fusion, _ = self.crossed(training, folds)
        others = order[half + max(0, self.wishes.gap - 1) :][:_MOST_CALIBRATED]
        logs = fitted.logs(self.given.rows(others))
        return fitted, fusion, fusion.totals(logs)

    def contaminated(self) -> Found:
        """Fit to rows of which some may be anomalies, which are trimmed by the evidence."""
        everything = np.arange(len(self.values))
        seed = int(self.generator.integers(2**31))
        trusted = None
        for _ in range(_ROUNDS):
            fitted = self._fit(everything, seed, learns=False, trusted=trusted)
            _, scores = self._own(fitted)
            doubted = Calibration(np.sort(scores), "estimated").p_values(scores) < _DOUBTED
            trusted = ~doubted
        fitted = self._fit(
            everything, seed, learns=len(everything) >= _FEWEST_LEARNED, trusted=trusted
        )
        fusion, scores = self._own(fitted)
        return fitted, fusion, scores

    def _own(self, fitted: Fitted) -> tuple[Fusion, Array]:
        some = self.generator.permutation(len(self.values))[:_MOST_CALIBRATED]
        logs = fitted.logs(self.given.rows(some))
        fusion = Fusion.fit(logs, self.wishes.situation)
        return fusion, fusion.totals(logs)

    def _fit(
        self, places: Places, seed: int, *, learns: bool, trusted: Mask | None = None
    ) -> Fitted:
        some = self.given.rows(places)
        units = Units.fit(some.values, self.rows, trusted)
        numbers: Numbers = units.numbers(some.values, some.novel)
        evidence = Evidence.fit(
            numbers,
            units.covariance,
            self.wishes.situation,
            seed,
            self.wishes.max_epochs,
            learns=learns,
            reading=some.scaled(units),
        )
        return Fitted(units, evidence)
