"""From a fitted model that takes noise out, and its data, to what a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.commands.reporting import (
    facts_of,
    loading_lines,
    missing_of,
    opened,
    shown_rows,
)
from autoencode.corruptions import real_values
from autoencode.data.arrays import open_array
from autoencode.data.reading import pictures_of
from autoencode.data.rows import Rows
from autoencode.denoising import Denoised, denoised
from autoencode.noise import Noise
from autoencode.preprocess.filling import covariance_of
from autoencode.preprocess.shrinking import Shrink
from autoencode.preprocess.table_rows import TableRows
from autoencode.report_parts.cells import cell_text, column_style
from autoencode.report_parts.data import picture_shape_of
from autoencode.report_parts.markup import value_text
from autoencode.report_parts.noise import Examples, LevelErrors, NoiseReportData, Residuals
from autoencode.report_parts.table_content import take_rows
from autoencode.state import State
from autoencode.summary import at_size, describe_noise, known_noise

if TYPE_CHECKING:
    from autoencode.estimators import DenoisingAutoencoder

__all__ = ["noise_report_data"]

_MOST_ROWS = 300
_MOST_RESIDUALS = 200_000
_MOST_CORRELATED = 400
_PICTURES, _OTHERS = 6, 3
_LEVELS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4)
_MIDDLE_LEVEL, _MIDDLE_SHARE = 0.5, 0.2
_FITTED_TO = {"clean": "clean rows", "noisy": "noisy rows", "pairs": "pairs"}

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


def noise_report_data(
    model: DenoisingAutoencoder,
    rows: Any,
    *,
    held_out: Any = None,
    target: Any = None,
    title: str = "autoencode",
    data_path: str = "",
    model_path: str = "",
) -> NoiseReportData:
    """Collect what a report shows about a model that takes noise out.

    Parameters
    ----------
    model : DenoisingAutoencoder
        Fitted to take out a noise; not one that has a code, or has learned its pairs themselves.
    rows, held_out, target, title, data_path, model_path
        As for `autoencode.commands.reporting.report_data`.

    Returns
    -------
    NoiseReportData
        With figures on at most 300 rows that the fit did not see.

    Raises
    ------
    DataError
        If the data do not have the columns of the fit.
    """
    state = model._state
    given = opened(model, rows)
    shown = given if held_out is None else opened(model, held_out)
    numbers, _ = shown_rows(state.facts, shown, given=held_out is not None)
    numbers = numbers[:_MOST_ROWS]
    wanted = None if target is None else opened(model, target)
    trial = _trial(model, shown, wanted, numbers)
    known = known_noise(state.facts, state.scaling.scale)
    assert known is not None
    errors, measured = _errors(trial)
    return NoiseReportData(
        title=title,
        sentence=_sentence(model, errors),
        facts=facts_of(model, data_path, model_path),
        history=model.history_,
        loading=loading_lines(
            data_path, model_path, denoises=True, pictures=pictures_of(shown) is not None
        ),
        missing=missing_of(given),
        fitted_to=_FITTED_TO[model.situation_],
        noise="" if known["kind"] == "none" else describe_noise(known),
        shown_noise=trial.words,
        errors=errors,
        measured=measured,
        examples=_examples(trial, numbers),
        levels=_by_level(trial),
        residuals=_residuals(trial) if trial.adds else None,
    )


@dataclass(frozen=True)
class _Trial:
    """Held-out rows, noisy and restored; values in the data's units."""

    state: State
    rows: Rows
    noisy: Array
    found: Denoised
    linear: Array
    clean: Array | None
    words: str

    @property
    def real(self) -> npt.NDArray[np.intp]:
        """Which values are numbers."""
        return real_values(self.state.composition.layout)

    @property
    def adds(self) -> bool:
        """Whether the noise is added to values, and does not take their place."""
        return self.found.noise.kind == "gaussian"

    def distance(self, values: Array, truth: Array) -> float:
        """Return the root mean squared error of the numbers, as the report's units have it."""
        scaling, real = self.state.scaling, self.real
        steps = ((values - truth) / scaling.scale)[:, real] * scaling.unit
        return float(np.sqrt(np.nanmean(np.square(steps))))

    @property
    def unit(self) -> str:
        """What errors are in."""
        common = self.state.scaling.unit != 1.0
        return "in the data's units" if common else "in deviations of the columns"


def _trial(
    model: DenoisingAutoencoder, rows: Rows, wanted: Rows | None, numbers: npt.NDArray[np.int64]
) -> _Trial:
    state = model._state
    some = _taken(rows, numbers)
    noise = Noise.from_header(state.facts["noise"])
    clean = None
    if model.situation_ == "clean":
        clean = _values(some)
        some, words = _spoilt(state, some)
        found, linear = _both(state, some, None, None)
    else:
        if wanted is not None:
            clean = _values(_taken(wanted, numbers))
        found, linear = _both(state, some, noise, None)
        words = "Their noise is their own."
    return _Trial(state, some, _values(some), found, linear, clean, words)


def _both(
    state: State, rows: Rows, noise: Noise | None, level: float | None
) -> tuple[Denoised, Array]:
    """Take noise out by the model, and by the best linear guess."""
    found = denoised(state, rows, noise, level)
    if found.noise.kind == "gaussian":
        return found, _wiener(state, _values(rows), found)
    facts = state.facts | {"used_for": {}}
    linear = replace(state, sources=["pca"] * len(state.sources), networks={}, facts=facts)
    return found, denoised(linear, rows, noise, level).values


def _wiener(state: State, values: Array, found: Denoised) -> Array:
    """Take normal noise out of the numbers by their covariance alone."""
    assert state.precision is not None
    real = real_values(state.composition.layout)
    covariance = covariance_of(state.precision)[np.ix_(real, real)]
    given = np.where(np.isnan(values), found.values, values)
    scaled = state.scaling.forward(given)
    level = np.stack([np.ones_like(found.levels), np.square(found.levels)], axis=1)
    guess = Shrink(torch.from_numpy(covariance))(
        torch.from_numpy(scaled[:, real]), torch.from_numpy(level)
    )
    scaled[:, real] = guess.numpy()
    return state.scaling.backward(scaled)


def _taken(rows: Rows, numbers: npt.NDArray[np.int64]) -> Rows:
    if isinstance(rows, TableRows):
        return take_rows(rows, numbers)
    values = rows.take(numbers).astype(np.float64)
    return open_array(values.reshape(len(values), *rows.sample_shape), checked=False)


def _values(rows: Rows) -> Array:
    values: Array = np.concatenate([block for _, block in rows.blocks()]).astype(np.float64)
    return values


def _spoilt(state: State, rows: Rows, level: float | None = None) -> tuple[Rows, str]:
    """Add noise of a kind that the model learned to take out, of a middle strength."""
    rng, values = np.random.default_rng(0), _values(rows)
    real = real_values(state.composition.layout)
    if "noise" in state.learned:
        level = _MIDDLE_LEVEL if level is None else level
        steps = level * state.scaling.scale[real]
        values[:, real] += steps * rng.standard_normal((len(values), len(real)))
        words = f"normal noise of {value_text(level * state.scaling.unit, 3)}"
        words += "" if state.scaling.unit != 1.0 else " deviations of the columns"
    else:
        level = _MIDDLE_SHARE if level is None else level
        hit = rng.random((len(values), len(real))) < level
        if state.facts["asked"] == "impulse":
            others = np.full_like(values[:, real], np.nanmax(values[:, real]))
            what = "the greatest value of all"
        else:
            others = np.stack([rng.permutation(column) for column in values[:, real].T], axis=1)
            what = "values of other rows"
        values[:, real] = np.where(hit, others, values[:, real])
        words = f"{what} in place of {level:.0%} of the cells"
    return _with_values(rows, values), f"To rows as the model knows them, {words} was added."


def _with_values(rows: Rows, values: Array) -> Rows:
    if not isinstance(rows, TableRows):
        return open_array(values.reshape(len(values), *rows.sample_shape), checked=False)
    cells = rows.schema.gather(np.nan_to_num(values), clip=False)
    return rows.with_cells(np.where(np.isnan(rows.cells), np.nan, cells))


def _errors(trial: _Trial) -> tuple[dict[str, float], str]:
    """Return errors on the rows that are shown, or what the fit estimated without clean ones."""
    if trial.clean is not None:
        parts = {"noisy": trial.noisy, "linear": trial.linear, "model": trial.found.values}
        found = {name: trial.distance(part, trial.clean) for name, part in parts.items()}
        return found, f"errors of {len(trial.noisy):,} held-out rows, {trial.unit}"
    figures, state = at_size(trial.state), trial.state
    assert figures is not None
    unit = state.scaling.unit
    roots = {
        "linear": unit * float(np.sqrt(max(figures["pca_error"], 0.0))),
        "model": unit * float(np.sqrt(max(figures["error"], 0.0))),
    }
    noise = state.facts["noise"]
    if noise["kind"] == "gaussian":
        roots["noisy"] = unit * float(noise["level"])
        return roots, f"errors are estimated: clean rows are not known; {trial.unit}"
    return roots, f"errors are of cells hidden in held-out rows, {trial.unit}"


def _sentence(model: DenoisingAutoencoder, errors: dict[str, float]) -> str:
    kind = "An autoencoder" if model.gate_ else "The best linear guess (a network did not pay here)"
    text = f"{kind} takes noise out of {model.n_features_in_} columns"
    if errors.get("noisy"):
        text += f" and leaves {errors['model'] / errors['noisy']:.0%} of the error"
        text += f"; the best linear guess leaves {errors['linear'] / errors['noisy']:.0%}"
    return text + "."


def _examples(trial: _Trial, numbers: npt.NDArray[np.int64]) -> Examples:
    parts = [trial.noisy, trial.found.values]
    headings = ["noisy", "restored"]
    if trial.clean is not None:
        parts.append(trial.clean)
        headings.append("clean")
    shape = picture_shape_of(trial.rows.sample_shape)
    every = np.linspace(0, len(numbers) - 1, _OTHERS if shape is None else _PICTURES)
    places = np.unique(every.round().astype(np.int64))
    chosen = [int(number) for number in numbers[places]]
    parts = [part[places] for part in parts]
    if shape is not None:
        return Examples(chosen, tuple(headings), pictures=np.stack(parts), shape=shape)
    texts = _table_texts(trial.rows, parts) if isinstance(trial.rows, TableRows) else None
    if texts is None:
        names = trial.rows.names or [f"column {place}" for place in range(parts[0].shape[1])]
        texts = [
            [
                [str(name), *(value_text(float(part[row, place])) for part in parts)]
                for place, name in enumerate(names)
            ]
            for row in range(len(places))
        ]
    return Examples(chosen, tuple(headings), texts=texts)


def _table_texts(rows: TableRows, parts: Sequence[Array]) -> list[list[list[str]]]:
    """Write the cells of rows of a table that noise can hit, as the table holds them."""
    schema = rows.schema
    tables = [schema.table(schema.gather(np.nan_to_num(part), clip=False)) for part in parts]
    shown = [place for place, span in enumerate(schema.spans) if span.block.n_values]
    styles = {place: column_style(rows.table.column(place)) for place in shown}
    return [
        [
            [
                schema.names[place],
                *(cell_text(table.column(place)[row], styles[place]) or "–" for table in tables),
            ]
            for place in shown
        ]
        for row in range(len(parts[0]))
    ]


def _by_level(trial: _Trial) -> LevelErrors | None:
    """Add noise of several strengths to clean rows and take it out again."""
    state = trial.state
    if trial.clean is None or (
        state.facts["situation"] == "pairs" and "noise" not in state.learned
    ):
        return None
    clean = _with_values(trial.rows, trial.clean)
    errors: list[list[float]] = []
    levels = _told(state)
    for level in levels:
        spoilt, _ = _spoilt(state, clean, level)
        told = level if "noise" in state.learned else None
        found, linear = _both(state, spoilt, None, told)
        values = (_values(spoilt), linear, found.values)
        errors.append([trial.distance(part, trial.clean) for part in values])
    noisy, guess, model = (list(column) for column in zip(*errors, strict=True))
    label = "share of cells in which another value stands"
    if "noise" in state.learned:
        levels = [level * state.scaling.unit for level in levels]
        label = f"deviation of the noise, {trial.unit}"
    return LevelErrors(levels, noisy, guess, model, label, trial.unit)


def _told(state: State) -> list[float]:
    """Return the strengths to try: for pairs those around the noise that they have."""
    if "noise" not in state.learned:
        return list(_SHARES)
    if state.facts["situation"] == "clean":
        return list(_LEVELS)
    level = float(state.facts["noise"]["level"])
    return [level * factor for factor in (0.8, 0.9, 1.0, 1.1, 1.2)]


def _residuals(trial: _Trial) -> Residuals | None:
    """Compare what was taken out with noise of the strength that was found."""
    scaling, real = trial.state.scaling, trial.real
    level = trial.found.levels[:, None]
    used = scaling.scale[real] > 0
    steps = ((trial.noisy - trial.found.values) / scaling.scale)[:, real][:, used]
    steps = steps / np.where(level > 0, level, np.nan)
    values = steps[np.isfinite(steps)][:_MOST_RESIDUALS]
    if not len(values):
        return None
    found = []
    for name, first, second in _neighbours(trial):
        pair = [_correlation(part, first, second) for part in (steps, trial.noisy[:, real])]
        found.append((name, pair[0], pair[1]))
    return Residuals(values, found, 1.0 / float(np.sqrt(len(steps))))


def _neighbours(trial: _Trial) -> list[tuple[str, Places, Places]]:
    """Return places of neighbouring values: pixels to the right and below, or columns."""
    shape = picture_shape_of(trial.rows.sample_shape)
    if shape is None:
        places = np.arange(len(trial.real))[:_MOST_CORRELATED]
        return [("the next column", places[:-1], places[1:])] if len(places) > 1 else []
    places = np.arange(int(np.prod(shape))).reshape(shape)
    return [
        ("the pixel to the right", places[:, :-1].ravel(), places[:, 1:].ravel()),
        ("the pixel below", places[:-1].ravel(), places[1:].ravel()),
    ]


def _correlation(values: Array, first: Places, second: Places) -> float:
    """Return the root mean square of the correlations of pairs of columns."""
    known = np.nan_to_num(values - np.nanmean(values, axis=0))
    deviation = np.sqrt(np.mean(np.square(known), axis=0))
    both = deviation[first] * deviation[second]
    product = np.mean(known[:, first] * known[:, second], axis=0)
    usable = both > 0
    if not usable.any():
        return 0.0
    return float(np.sqrt(np.mean(np.square(product[usable] / both[usable]))))
