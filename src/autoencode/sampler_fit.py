"""Fitting what new rows are drawn from, right after the model itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.bottlenecks import GaussianCode
from autoencode.code_mixture import Mixture, standard_normal
from autoencode.codec import Encoder
from autoencode.data.rows import Rows
from autoencode.interfaces import Batch, Context, Segment
from autoencode.network import encode_observed
from autoencode.numerics import matrix_products
from autoencode.preprocess.table_rows import TableRows
from autoencode.prior_choice import Coordinates, choose_prior
from autoencode.sampler import Chances, Margins, Sampler
from autoencode.sampling import Decoding, chances_of, part_numbers, runs_of
from autoencode.state import State

__all__ = ["fit_sampler", "posterior_draws"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_MOST_ROWS, _FEWEST_ROWS = 5000, 500
_MOST_VALUES = 2_000_000
_CODE_DIRECTIONS, _REST_DIRECTIONS = 48, 64
_JOINT = 16
"""Directions of codes and remainders that are drawn together: parts have too few rows for more."""
_NEGLIGIBLE = 1e-8
"""Of the variance of all: directions with less are left out."""
_TRIED_ROWS, _FEWEST_TRIED, _MOST_TRIED = 8192, 512, 8_000_000
"""Rows drawn to see how columns are spread; at most so many values in all."""
_MOST_MARGINS, _LEVELS, _FEWEST_LEVELS = 256, 513, 129
_MOST_QUANTILES = 16_384
"""Quantiles of all columns: of more than 32 columns fewer are kept."""
_REPEATED = 3
"""Rows for each different cell, from which on a column has steps."""
_SLOPES = (0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_ROUNDS, _CLOSE = 40, 1e-3
_RARE = 1e-4
_DOUBT = 2.0
"""For how many rows of a part counts what the decoder says of their categories."""
_CHUNK = 1024


def fit_sampler(
    state: State,
    rows: Rows,
    goal: Rows,
    labels: npt.NDArray[Any] | None,
    seed: int,
    *,
    left_out: Sequence[int] = (),
    prior: str = "auto",
    hurried: bool = False,
) -> Sampler:
    """Learn where codes are, and what decoding them leaves open.

    Codes are drawn from their posteriors where the bottleneck gives these. With them goes the
    remainder of numbers: the difference of a row and its reconstruction.

    Parameters
    ----------
    state : State
        The fitted model.
    rows, goal : Rows
        What was encoded, and what was to be reconstructed; 5,000 rows at most are used.
    labels : ndarray of shape (n_rows,) or None
        Classes, for drawing by class.
    seed : int
        Of all that is random.
    left_out : sequence of int
        Rows that are not used, so that what is drawn can be judged by them; of a class that
        has no others they are.
    prior : str
        As `autoencode.prior_choice.choose_prior` takes it.
    hurried : bool
        Whether time is limited: then "auto" trains no networks.

    Returns
    -------
    Sampler
        Of float32 precision where it is stored so: the same after saving and loading.
    """
    generator = np.random.default_rng([seed, 3])
    most = max(_FEWEST_ROWS, min(_MOST_ROWS, _MOST_VALUES // max(state.n_values, 1)))
    most = min(most, max(_FEWEST_ROWS, _MOST_VALUES // state.n_components))
    numbers = _used(rows.n_rows, left_out, labels)
    numbers = numbers[:: -(-len(numbers) // most)]
    wanted = np.array(goal.take(numbers), dtype=np.float64)
    complete = ~np.isnan(wanted).any(1)
    if 2 * complete.sum() >= len(numbers):
        numbers, wanted = numbers[complete], wanted[complete]
    groups, classes = np.zeros(len(numbers), np.intp), None
    if labels is not None:
        classes, groups = np.unique(labels[numbers], return_inverse=True)
    given = np.array(rows.take(numbers), dtype=np.float64)
    near, codes = posterior_draws(state, given, generator)
    sampler, rest = _start(state, wanted, codes)
    kept = codes - sampler.code_mean
    coordinates = np.concatenate([kept @ sampler.code_basis.T, rest], 1)
    found = Coordinates(
        coordinates,
        np.concatenate([near @ sampler.code_basis.T, rest], 1),
        groups,
        0 if classes is None else len(classes),
        _own_prior(state, sampler, rest),
    )
    epochs = 0 if hurried else len(state.history.get("epoch", []))
    (mixture, parts, candidates, _), network = choose_prior(found, prior, epochs, generator)
    mixture = replace(mixture, factors=_single(mixture.factors))
    known = None if classes is None else classes.tolist()
    sampler = replace(
        sampler,
        mixture=mixture,
        classes=groups[np.unique(parts, return_index=True)[1]],
        labels=known,
        chances=_chances(state, wanted, Decoding(state, sampler).decoded(codes), parts),
        candidates=candidates,
        prior=network,
    )
    cells = goal.cells[numbers] if isinstance(goal, TableRows) else wanted
    return _matched(state, sampler, (wanted, cells), generator)


def _used(n_rows: int, left_out: Sequence[int], labels: npt.NDArray[Any] | None) -> Places:
    """Return the numbers of the rows to learn from."""
    used = np.ones(n_rows, np.bool_)
    used[list(left_out)] = False
    if labels is not None:
        used |= ~np.isin(labels, labels[used])
    found: Places = np.flatnonzero(used)
    return found if len(found) > 1 else np.arange(n_rows)


def posterior_draws(
    state: State, values: Array, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return codes of rows in float64, ``(n, k)``, and what is drawn from their posteriors.

    The same twice, where a bottleneck gives one code for a row.

    Parameters
    ----------
    state : State
        The fitted model.
    values : ndarray of shape (n, n_values)
        Rows in the data's units; NaN where missing.
    generator : numpy.random.Generator
        For bottlenecks that give a distribution over codes.
    """
    encoder = state.fitted(torch.float64).encoder
    codes = np.empty((len(values), state.n_components))
    draws = np.empty_like(codes)
    with torch.inference_mode(), matrix_products("ieee"):
        for first in range(0, len(values), _CHUNK):
            given = torch.from_numpy(values[first : first + _CHUNK])
            inside = slice(first, first + _CHUNK)
            codes[inside], draws[inside] = _posterior(encoder, given, generator)
    return codes, draws


def _posterior(
    encoder: Encoder, given: torch.Tensor, generator: np.random.Generator
) -> tuple[Array, Array]:
    scaled = encoder.scaled(given)
    observed = None
    if encoder.takes_missing:
        observed = torch.isnan(scaled).logical_not()
        scaled = torch.nan_to_num(scaled, nan=0.0)
    code = encode_observed(encoder, Batch(scaled, observed), Context())
    draws, neck = code.z, encoder.bottleneck
    if isinstance(neck, GaussianCode):
        noise = torch.from_numpy(generator.standard_normal(tuple(code.stats["mean"].shape)))
        draws = neck.drawn(code.stats, noise[None]).z
    return (code.z * encoder.code_scale).numpy(), (draws * encoder.code_scale).numpy()


def _start(state: State, wanted: Array, codes: Array) -> tuple[Sampler, Array]:
    """Return a sampler without mixture and margins, and the coordinates of the remainders."""
    n_values = state.n_values
    mean, basis = _leading(codes, _CODE_DIRECTIONS)
    off = codes - mean
    none = np.zeros((0, 2))
    bare = Sampler(
        mixture=standard_normal(len(basis)),
        classes=np.zeros(1, np.intp),
        labels=None,
        code_mean=mean,
        code_basis=basis,
        code_left=(off - off @ basis.T @ basis).std(0),
        rest_mean=np.zeros(n_values),
        rest_basis=np.zeros((0, n_values)),
        rest_noise=np.zeros((0, n_values)),
        rest_left=np.zeros(n_values),
        chances=Chances(np.ones(n_values), np.zeros(n_values), np.zeros((1, n_values))),
        margins=Margins(np.zeros(0, np.intp), none, none, np.zeros(0, np.bool_)),
        low=_extreme(wanted, np.fmin),
        high=_extreme(wanted, np.fmax),
        candidates=[],
    )
    decoded = Decoding(state, bare).decoded(codes)
    scale = state.scaling.scale
    rest = np.where(np.isnan(wanted), 0.0, wanted - decoded) / scale
    for run in runs_of(state):
        rest[:, run.start : run.stop] = 0.0
    filled = np.where(np.isnan(wanted), decoded, wanted) / scale
    total = float(filled.var(0).sum())
    joint = max(_JOINT - len(basis), 0)
    rest_mean, every = _leading(rest, _REST_DIRECTIONS, least=_NEGLIGIBLE * total)
    scores = (rest - rest_mean) @ every.T
    left = (rest - rest_mean - scores @ every).std(0)
    sampler = replace(
        bare,
        rest_mean=rest_mean * scale,
        rest_basis=_single(every[:joint] * scale),
        rest_noise=_single(scores.std(0)[joint:, None] * every[joint:] * scale),
        rest_left=left * scale,
    )
    return sampler, scores[:, :joint]


def _single(values: Array) -> Array:
    """Return values of float32 precision: what a file keeps."""
    found: Array = values.astype(np.float32).astype(np.float64)
    return found


def _own_prior(state: State, sampler: Sampler, rest: Array) -> Mixture | None:
    """Return the prior of a bottleneck that has one, N(0, I), in coordinates.

    Remainders have a normal distribution beside it.
    """
    encoder = state.fitted(torch.float64).encoder
    if not isinstance(encoder.bottleneck, GaussianCode):
        return None
    basis, count = sampler.code_basis, len(sampler.code_basis)
    mean = np.zeros(count + rest.shape[1])
    mean[:count] = -basis @ sampler.code_mean
    covariance = np.diag(np.concatenate([np.zeros(count), rest.var(0)]))
    covariance[:count, :count] = basis * encoder.code_scale.numpy() ** 2 @ basis.T
    floor = 1e-12 * max(float(np.diag(covariance).max()), 1e-300)
    factor = np.linalg.cholesky(covariance + floor * np.eye(len(mean)))
    return Mixture(np.ones(1), mean[None], np.asarray(factor[None], dtype=np.float64))


def _extreme(values: Array, which: np.ufunc) -> Array:
    """Return the least or largest of each value; 0 where none was observed."""
    found: Array = np.nan_to_num(which.reduce(values, axis=0))
    return found


def _leading(matrix: Array, most: int, least: float = 0.0) -> tuple[Array, Array]:
    """Return the mean of rows and the leading directions in which they differ, ``(k, width)``."""
    mean = matrix.mean(0)
    off = matrix - mean
    wide = off.shape[1] > len(off)
    variances, vectors = np.linalg.eigh(off @ off.T if wide else off.T @ off)
    order = np.argsort(-variances)[: max(most, 0)]
    floor = max(least * len(off), _NEGLIGIBLE * max(float(variances.sum()), 0.0))
    kept = order[variances[order] > floor]
    basis = (off.T @ vectors[:, kept] / np.sqrt(variances[kept])) if wide else vectors[:, kept]
    return mean, np.ascontiguousarray(basis.T)


def _chances(state: State, wanted: Array, decoded: Array, parts: Places) -> Chances:
    """Return the slopes under which the observed categories are likeliest, and parts' shifts.

    A part's categories are drawn about as often as its rows had them; what the decoder says
    counts for a few rows.
    """
    count = int(parts.max()) + 1
    n_values = state.n_values
    chances = Chances(np.ones(n_values), np.zeros(n_values), np.zeros((count, n_values)))
    for run in runs_of(state):
        inside = slice(run.start, run.stop)
        known = ~np.isnan(wanted[:, run.start])
        truth, said, where = wanted[known, inside], decoded[known], parts[known]
        costs = []
        for slope in _SLOPES:
            chances.slopes[inside] = slope
            found = chances_of(run, said, chances, where)
            lost = truth * np.log(np.maximum(found, 1e-12))
            if run.likelihood == "bernoulli":
                lost = lost + (1 - truth) * np.log(np.maximum(1 - found, 1e-12))
            costs.append(-float(lost.sum()))
        chances.slopes[inside] = _SLOPES[int(np.argmin(costs))]
        found = chances_of(run, said, chances, where)
        sizes = np.bincount(where, minlength=count)[:, None]
        expected, observed = (_sums(rows, where, count) for rows in (found, truth))
        mean = np.clip((expected + found.mean(0)) / (sizes + 1), _RARE, 1 - _RARE)
        share = np.clip((observed + _DOUBT * mean) / (sizes + _DOUBT), _RARE, 1 - _RARE)
        shift = np.log(share / mean)
        if run.likelihood == "bernoulli":
            shift -= np.log((1 - share) / (1 - mean))
        chances.shifts[:, inside] = shift.astype(np.float32)
    return chances


def _sums(rows: Array, parts: Places, count: int) -> Array:
    """Return the sum of each part's rows."""
    total = np.zeros((count, rows.shape[1]))
    np.add.at(total, parts, rows)
    return total


def _matched(
    state: State, sampler: Sampler, rows: tuple[Array, Array], generator: np.random.Generator
) -> Sampler:
    """Return the sampler with every column spread as in rows, given as values and as cells."""
    wanted, cells = rows
    places, where = _single_numbers(state)
    observable = ~np.isnan(cells[:, where]).all(0)
    places, where = places[observable], where[observable]
    spread = 0 < len(places) <= _MOST_MARGINS and not _pictures(state)
    if not spread and not runs_of(state):
        return sampler
    count = max(_FEWEST_TRIED, min(_TRIED_ROWS, _MOST_TRIED // state.n_values))
    parts = part_numbers(sampler, count, None, generator)
    noise = not _pictures(state)
    values, parts = Decoding(state, sampler).drawn(parts, generator, noise=noise)
    for run in runs_of(state):
        truth = wanted[:, run.start : run.stop]
        truth = truth[~np.isnan(truth).any(1)]
        if len(truth):
            _match_run(run, sampler.chances, (values, parts), truth)
    if not spread:
        return sampler
    most = min(_LEVELS, max(_FEWEST_LEVELS, _MOST_QUANTILES // len(places) + 1))
    levels = np.linspace(0.0, 1.0, min(most, 2 * len(wanted) + 1))
    observed = np.empty((len(places), len(levels)))
    stepped = np.zeros(len(places), np.bool_)
    for row, place in enumerate(where):
        column = cells[~np.isnan(cells[:, place]), place]
        observed[row] = np.quantile(column, levels, method="inverted_cdf")
        stepped[row] = _REPEATED * len(np.unique(column)) <= len(column)
    drawn = _single(np.ascontiguousarray(np.quantile(values[:, places], levels, axis=0).T))
    return replace(sampler, margins=Margins(places, drawn, observed, stepped))


def _match_run(run: Segment, chances: Chances, drawn: tuple[Array, Places], truth: Array) -> None:
    """Move the offsets of a run until its categories are drawn as often as observed."""
    inside = slice(run.start, run.stop)
    shares = np.clip(truth.mean(0), 1e-6, 1 - 1e-6)
    for _ in range(_ROUNDS):
        found = np.clip(chances_of(run, drawn[0], chances, drawn[1]).mean(0), 1e-6, 1 - 1e-6)
        if np.abs(found - shares).max() < _CLOSE:
            break
        step = np.log(shares / found)
        if run.likelihood == "bernoulli":
            step = step - np.log((1 - shares) / (1 - found))
        chances.offsets[inside] += step


def _pictures(state: State) -> bool:
    return state.schema is None and len(state.facts["sample_shape"]) > 1


def _single_numbers(state: State) -> tuple[Places, Places]:
    """Return the values that are a number each and alone in their column, and their cells."""
    taken = {place for run in runs_of(state) for place in range(run.start, run.stop)}
    if state.schema is None:
        places = np.array([p for p in range(state.n_values) if p not in taken], dtype=np.intp)
        return places, places
    spans = [
        span
        for span in state.schema.spans
        if span.block.n_values == 1 and span.block.n_cells == 1 and span.values.start not in taken
    ]
    pairs = [(span.values.start, span.cells.start) for span in spans]
    values, cells = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return values, cells
