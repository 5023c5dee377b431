"""What speaks for a row being an anomaly, each kind on a logarithmic scale of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.anomaly_parts.neighbours import FEWEST, distances, nearest
from autoencode.anomaly_parts.restoring import LEVELS, Reading, Restorer, fit_restorer
from autoencode.anomaly_parts.scaled_values import Numbers

__all__ = ["KINDS", "Evidence", "Fusion"]

Array = npt.NDArray[np.float64]

KINDS = {
    "normal": {"near": 1.0, "code": 0.5, "restored": 0.5},
    "contaminated": {"wide": 1.0, "central": 1.0},
}
"""What counts how much: where training rows are normal, and where anomalies are among them."""

_WIDE_SHARE, _FEWEST_WIDE = 0.05, 20
_MOST_REFERENCES = {"normal": 2000, "contaminated": 4000}
_DIRECTIONS = 16
_LEAST_SHARE = 0.05
"""Share of the usual distance that is added to each, so that equal rows are not infinitely near."""
_MEASURED = 500
_LEAST_DEVIATION = 0.02
_KEPT_SHARE = 0.5
_ROUNDS = 12
_SHRINKAGE = 0.02
_STORED = ("references", "features", "middle", "directions", "usual", "center", "whitening")


@dataclass(frozen=True)
class Evidence:
    """Fitted to rows: says of each row how far it is from them, in several ways.

    Attributes
    ----------
    situation : {"normal", "contaminated"}
        Whether all rows of the fit are normal.
    references : ndarray of shape (n_references, n_values)
        Rows that neighbours are looked for among, scaled.
    features : ndarray of shape (n_references, n_directions)
        Their hidden layer along its leading directions; empty if it does not count.
    middle : ndarray of shape (width,)
        The hidden layer's mean.
    directions : ndarray of shape (width, n_directions)
        Principal axes of the hidden layer, its units divided by their deviations first.
    usual : ndarray of shape (n_kinds,)
        What is added to the distances of every kind.
    center : ndarray of shape (n_values,)
        Of the inner half of rows, for "central".
    whitening : ndarray of shape (n_values, n_values)
        From centred rows to directions of variance 1, shrunk.
    restorer : Restorer or None
        None where no value varies.
    residual : ndarray of shape (n_levels, n_values)
        How far training rows move when they are restored.
    """

    situation: str
    references: Array
    features: Array
    middle: Array
    directions: Array
    usual: Array
    center: Array
    whitening: Array
    restorer: Restorer | None
    residual: Array

    @classmethod
    def fit(
        cls,
        numbers: Numbers,
        covariance: Array,
        situation: str,
        seed: int,
        max_epochs: Any,
        *,
        learns: bool = True,
        reading: Reading | None = None,
    ) -> Evidence:
        """Learn from rows.

        Parameters
        ----------
        numbers : Numbers
            Rows, scaled.
        covariance : ndarray of shape (n_values, n_values)
            Of their values.
        situation : {"normal", "contaminated"}
            Whether all of them are normal.
        seed : int
            The only source of randomness.
        max_epochs : "auto" or int
            Of the network.
        learns : bool
            Whether there is a network.
        reading : Reading or None
            What another network says of these rows; then none is trained.
        """
        generator = np.random.default_rng([seed, 7])
        values = numbers.values
        most = _MOST_REFERENCES[situation]
        chosen = np.sort(generator.permutation(len(values))[:most])
        references = values[chosen]
        center, whitening = _inner_half(values, covariance, situation)
        restorer, residual = None, np.zeros((len(LEVELS), values.shape[1]))
        hidden = np.zeros((len(chosen), 0))
        said = None if reading is None else reading.rows(chosen)
        if learns and said is None and values.shape[1] and situation == "normal":
            restorer = fit_restorer(values, covariance, seed, max_epochs)
            said = restorer.read(references)
        if said is not None:
            squares = np.square(said.moves).mean(1, dtype=np.float64)
            residual = np.sqrt(squares) + _LEAST_DEVIATION
            hidden = said.hidden.double().numpy()
        middle, directions = _leading(hidden)
        features = (hidden - middle) @ directions
        usual = np.ones(len(KINDS[situation]))
        fitted = cls(
            situation,
            references,
            features,
            middle,
            directions,
            usual,
            center,
            whitening,
            restorer,
            residual,
        )
        few = chosen[:: max(1, len(chosen) // _MEASURED)]
        said = None if reading is None else reading.rows(few)
        plain = fitted._measured(values[few], said, others=True)
        usual[:] = np.maximum(_LEAST_SHARE * plain.mean(0), 1e-3)
        return fitted

    def logs(self, numbers: Numbers, reading: Reading | None = None) -> Array:
        """Return the evidence of each kind, and the number of broken constants.

        Parameters
        ----------
        numbers : Numbers
            Rows in the units of the fit.
        reading : Reading or None
            What another network says of them.

        Returns
        -------
        ndarray of shape (n, n_kinds + 1)
            Logarithms of distances, higher is odder; and the number as it is.
        """
        others = self.situation == "contaminated"
        found = np.log(self._measured(numbers.values, reading, others=others) + self.usual)
        return np.column_stack([found, numbers.broken.sum(1)])

    def _measured(self, values: Array, reading: Reading | None, *, others: bool) -> Array:
        """Return distances of every kind."""
        count = len(values)
        # So many rows at a time: what is said of a row does not depend on how many there are.
        values = np.pad(values, ((0, -count % FEWEST), (0, 0)))
        result = np.zeros((len(values), len(self.usual)))
        if not values.shape[1]:
            return result[:count]
        if self.restorer is not None:
            reading = self.restorer.read(values)
        for place, kind in enumerate(KINDS[self.situation]):
            if kind == "central":
                result[:, place] = _central(values, self.center, self.whitening)
            elif kind == "near" and not others:
                known = torch.from_numpy(self.references)
                result[:, place] = nearest(torch.from_numpy(values), known).numpy()
            elif kind not in ("code", "restored"):
                wanted = 1 if kind == "near" else self._wide_count
                result[:, place] = _mean_distances(values, self.references, wanted, others)
            elif reading is not None:
                read = self._code if kind == "code" else self._restored
                found = read(reading, others)
                result[: len(found), place] = found
        return result[:count]

    @property
    def _wide_count(self) -> int:
        return max(_FEWEST_WIDE, round(_WIDE_SHARE * len(self.references)))

    def _code(self, reading: Reading, others: bool) -> Array:
        kind = reading.hidden.dtype
        off = reading.hidden - torch.from_numpy(self.middle).to(kind)
        along = off @ torch.from_numpy(self.directions).to(kind)
        if not others:
            known = torch.from_numpy(self.features)
            return nearest(along, known).numpy()
        return _mean_distances(along, self.features, 1, others)

    def _restored(self, reading: Reading, others: bool) -> Array:
        moves = reading.moves / self.residual[:, None].astype(reading.moves.dtype)
        # The geometric mean over levels of the root mean square over values.
        squares = np.einsum("lnv,lnv->ln", moves, moves) / moves.shape[2]
        found: Array = np.exp(0.5 * np.log(squares + 1e-12, dtype=np.float64).mean(0))
        return found

    def to_file(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return header and tensors."""
        tensors = {name: getattr(self, name) for name in (*_STORED, "residual")}
        header: dict[str, Any] = {"situation": self.situation, "restorer": None}
        if self.restorer is not None:
            header["restorer"], own = self.restorer.to_file()
            tensors |= {f"restorer.{name}": part for name, part in own.items()}
        return header, tensors

    @classmethod
    def from_file(
        cls, header: dict[str, Any], tensors: dict[str, npt.NDArray[Any]], covariance: Array
    ) -> Evidence:
        """Rebuild it."""
        restorer = None
        if header["restorer"] is not None:
            own = {
                name.removeprefix("restorer."): part
                for name, part in tensors.items()
                if name.startswith("restorer.")
            }
            restorer = Restorer.from_file(header["restorer"], own, covariance)
        parts = {name: tensors[name] for name in (*_STORED, "residual")}
        return cls(situation=header["situation"], restorer=restorer, **parts)


@dataclass(frozen=True)
class Fusion:
    """Puts all kinds of evidence on one scale, by rows that the evidence did not see.

    Attributes
    ----------
    center, spread : ndarray of shape (n_kinds,)
        Median and interquartile range of normal rows' evidence.
    weights : ndarray of shape (n_kinds,)
        What each counts.
    step : ndarray of shape (1,)
        What each broken constant adds.
    """

    center: Array
    spread: Array
    weights: Array
    step: Array

    @classmethod
    def fit(cls, logs: Array, situation: str) -> Fusion:
        """Learn from the evidence of rows.

        A broken constant is as odd as it is rare among these rows; where there is none, it is
        odder than all of them.
        """
        kinds, broken = logs[:, :-1], logs[:, -1] > 0
        low, center, high = np.quantile(kinds, (0.25, 0.5, 0.75), axis=0)
        spread = np.maximum(high - low, 1e-3)
        weights = np.array(list(KINDS[situation].values()))
        plain = cls(center, spread, weights, np.zeros(1)).totals(logs)
        share = float(broken.mean())
        if share > 0:
            step = max(float(np.quantile(plain, 1 - share) - np.median(plain)), 0.0)
        else:
            step = 2.0 * float(np.ptp(plain)) + 1.0
        return cls(center, spread, weights, np.array([step]))

    def totals(self, logs: Array) -> Array:
        """Return the weighted mean of the evidence, ``(n,)``: 0 is usual, higher is odder."""
        scaled = (logs[:, :-1] - self.center) / self.spread
        result: Array = scaled @ self.weights / self.weights.sum() + self.step * logs[:, -1]
        return result


def _mean_distances(values: Array | Tensor, references: Array, count: int, others: bool) -> Array:
    """Return mean distances to so many nearest references, ``(n,)``; in the rows' precision."""
    queries = torch.as_tensor(values)
    known = torch.from_numpy(references).to(queries.dtype)
    found: Array = distances(queries, known, count, others=others).mean(1).double().numpy()
    return found


def _inner_half(values: Array, covariance: Array, situation: str) -> tuple[Array, Array]:
    """Return centre and whitening; of contaminated rows those of the half nearest to itself.

    Concentration steps (Rousseeuw and Van Driessen, 1999, theorem 1) from all rows, with a
    covariance that is shrunk towards its mean variance.
    """
    center = values.mean(0) if len(values) else np.zeros(values.shape[1])
    whitening = _whitening(covariance)
    if situation != "contaminated" or not values.shape[1]:
        return center, whitening
    kept = np.zeros(len(values), dtype=bool)
    for _ in range(_ROUNDS):
        far = _central(values, center, whitening)
        inner = far <= np.quantile(far, _KEPT_SHARE)
        if (inner == kept).all():
            break
        kept = inner
        center = values[kept].mean(0)
        off = values[kept] - center
        whitening = _whitening(off.T @ off / len(off))
    return center, whitening


def _leading(hidden: Array) -> tuple[Array, Array]:
    """Return the mean of a hidden layer, and the axes along which it varies most."""
    unit = hidden.std(0) + 1e-3
    middle = hidden.mean(0)
    if not hidden.shape[1]:
        return middle, np.zeros((0, 0))
    scaled = (hidden - middle) / unit
    _, axes = np.linalg.eigh(scaled.T @ scaled)
    leading = axes[:, ::-1][:, :_DIRECTIONS]
    directions: Array = np.ascontiguousarray(leading / unit[:, None])
    return middle, directions


def _whitening(covariance: Array) -> Array:
    variances, axes = np.linalg.eigh(covariance)
    mean = max(float(variances.mean()) if len(variances) else 1.0, 1e-9)
    found: Array = axes / np.sqrt(np.maximum(variances, 0.0) + _SHRINKAGE * mean)
    return found


def _central(values: Array, center: Array, whitening: Array) -> Array:
    """Return each row's Mahalanobis distance."""
    found: Array = np.sqrt(np.square((values - center) @ whitening).sum(1))
    return found
