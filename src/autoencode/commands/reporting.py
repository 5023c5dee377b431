"""From a fitted model and its data to what a report shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autoencode.bounds_summary import bounds_sentence, known_bounds
from autoencode.commands.drawn_reporting import drawn_of, explored_of
from autoencode.commands.filter_reporting import filters_of
from autoencode.commands.unit_reporting import dense_codes, units_of, units_sentence
from autoencode.data.reading import pictures_of
from autoencode.data.rows import FloatArray, Rows
from autoencode.opening import open_like
from autoencode.preprocess.table_rows import TableRows
from autoencode.report_parts.data import ReportData
from autoencode.report_parts.groups import best_separated
from autoencode.report_parts.missing import Missingness, find_missing
from autoencode.report_parts.table_content import (
    cell_errors,
    column_facts,
    deviations,
    grouping_candidates,
    measured_quality,
    missing_cells,
    rebuilt_cells,
    take_rows,
)
from autoencode.report_parts.table_data import TableReportData

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = [
    "MOST_ROWS",
    "facts_of",
    "loading_lines",
    "missing_of",
    "opened",
    "report_data",
    "shown_rows",
]

MOST_ROWS = 2000
# How many rows are looked at for missing cells, fewer if they are wide, and for deviations.
_MOST_LOOKED_AT = 50_000
_MOST_CELLS = 50_000_000
_MOST_MEASURED = 5_000
_MOST_VALUES = 20_000_000

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Sources:
    """All rows of a fit, opened, and which of them are shown."""

    rows: Rows
    shown: Rows
    wanted: Rows
    numbers: Numbers


def report_data(
    model: Autoencoder,
    rows: Any,
    *,
    held_out: Any = None,
    target: Any = None,
    title: str = "autoencode",
    data_path: str = "",
    model_path: str = "",
) -> ReportData | TableReportData:
    """Collect what a report shows about a fitted model.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    rows : array-like, frame, table, path, Rows or TableData
        What it was fitted to.
    held_out : like rows, optional
        The held-out rows of that fit, if they were given to it.
    target : like rows, optional
        What was to be reconstructed, if not the rows themselves.
    title : str
        The page's heading.
    data_path, model_path : str
        Where data and model are, for the lines that load them.

    Returns
    -------
    ReportData or TableReportData
        With at most 2,000 of the rows on which the model's figures were measured.

    Raises
    ------
    DataError
        If the data do not have the columns of the fit.
    """
    given = opened(model, rows)
    shown = given if held_out is None else opened(model, held_out)
    wanted = shown if target is None or held_out is not None else opened(model, target)
    numbers, unseen = shown_rows(model._state.facts, shown, given=held_out is not None)
    sources = _Sources(given, shown, wanted, numbers)
    missing = missing_of(given)
    common: dict[str, Any] = {
        "title": title,
        "sentence": _sentence(model, unseen=unseen),
        "facts": facts_of(model, data_path, model_path),
        "curve": model.curve_,
        "chosen_size": model.n_components_,
        "level": model.n_components if isinstance(model.n_components, float) else None,
        "row_numbers": numbers,
        "history": model.history_,
        "loading": loading_lines(
            data_path,
            model_path,
            imputes=missing is not None,
            pictures=pictures_of(given) is not None,
        ),
        "missing": missing,
        "bounds": known_bounds(model._state.facts),
        "drawn": drawn_of(model, given, shown, numbers, unseen=unseen),
        "explored": explored_of(model, shown, numbers),
    }
    if model._state.schema is None:
        return _array_data(model, sources, common)
    return _table_data(model, sources, common)


def opened(model: Autoencoder, data: Any) -> Rows:
    """Return rows under the schema of a model."""
    names = getattr(model, "feature_names_in_", None)
    return open_like(data, model._state.schema, None if names is None else tuple(names))


def _array_data(model: Autoencoder, sources: _Sources, common: Mapping[str, Any]) -> ReportData:
    rows, count = sources.rows, len(sources.numbers)
    files = pictures_of(sources.shown)
    shown = sources.shown.take(sources.numbers)
    inputs = Rows(shown.reshape(count, *rows.sample_shape), kind="numpy", names=rows.names)
    codes = model._dense_codes(inputs)
    data = ReportData(
        **common,
        rows=shown if sources.wanted is sources.shown else sources.wanted.take(sources.numbers),
        reconstructions=_plain(model.reconstruct(inputs)).reshape(count, -1),
        codes=codes,
        column_scale=model._state.scaling.scale,
        names=rows.names,
        sample_shape=rows.sample_shape,
        row_names=None if files is None else tuple(files.names[n] for n in sources.numbers),
    )
    shape = data.picture_shape
    data = replace(data, filters=filters_of(model, shape))
    pictures = None if shape is None else shown.reshape(count, -1)
    kept = sources.shown.kept
    return replace(data, units=units_of(model, codes, sources.numbers, pictures, shape, kept))


def _table_data(
    model: Autoencoder, sources: _Sources, common: Mapping[str, Any]
) -> TableReportData:
    state, rows = model._state, sources.rows
    shown, wanted = (take_rows(part, sources.numbers) for part in (sources.shown, sources.wanted))
    assert isinstance(rows, TableRows)
    schema, truth = rows.schema, wanted.cells
    rebuilt = rebuilt_cells(shown, model.reconstruct(shown), model.impute(shown))
    quality = state.facts.get("columns")
    if not quality:
        quality = measured_quality(schema, truth, rebuilt, state.scaling.scale)
    columns = column_facts(schema, quality)
    deviation = deviations(schema, rows.cells[_sample(rows.n_rows, _MOST_MEASURED)])
    measures = [column.measure for column in columns]
    codes = dense_codes(model.transform(shown))
    return TableReportData(
        **common,
        columns=columns,
        original=wanted.table,
        rebuilt=schema.table(rebuilt),
        errors=cell_errors(schema, measures, truth, rebuilt, deviation),
        codes=codes,
        groupings=best_separated(grouping_candidates(schema, truth), codes),
        units=units_of(model, codes, sources.numbers, None, None, sources.shown.kept),
    )


def missing_of(rows: Rows) -> Missingness | None:
    """Look for missing cells, in a sample of the rows if there are many."""
    if not rows.has_missing or len(rows.sample_shape) > 1:
        return None
    width = rows.n_columns
    numbers = _sample(rows.n_rows, max(1, min(_MOST_LOOKED_AT, _MOST_CELLS // width)))
    if isinstance(rows, TableRows):
        return find_missing(missing_cells(rows, numbers), rows.schema.names, rows.n_rows)
    pieces = np.array_split(numbers, max(1, len(numbers) * width // 2**22))
    found = np.concatenate([np.isnan(rows.take(piece)) for piece in pieces])
    names = rows.names or tuple(f"column {column}" for column in range(width))
    return find_missing(found, names, rows.n_rows)


def _sample(count: int, most: int) -> Numbers:
    """Choose at most so many of ``count`` rows at random, always the same, ascending."""
    if count <= most:
        return np.arange(count)
    chosen: Numbers = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    return chosen


def shown_rows(facts: Mapping[str, Any], source: Rows, *, given: bool) -> tuple[Numbers, bool]:
    """Return the numbers of the rows to show, and whether the fit never saw them."""
    most = max(1, min(MOST_ROWS, _MOST_VALUES // max(1, source.n_features)))
    claimed = np.asarray(facts.get("claim_rows") or [], dtype=np.int64)
    if len(claimed) and claimed.max() < source.n_rows:
        return claimed[:most], True
    return np.arange(min(source.n_rows, most)), given


def _sentence(model: Autoencoder, *, unseen: bool) -> str:
    place = list(model.curve_["size"]).index(model.n_components_)
    explained = float(model.curve_["explained_variance"][place])
    pca = float(model.curve_["pca_explained_variance"][place])
    kind = "An autoencoder" if model.gate_ else "PCA (a network did not pay here)"
    length = f"{model.n_components_} number{'' if model.n_components_ == 1 else 's'}"
    measured = "rows it never saw" if model._state.facts["n_claim"] else "its training rows"
    text = units_sentence(model, measured) or (
        f"{kind} turns {_given(model)} into {length} and keeps {explained:.2%} of "
        f"the variance of {measured}"
    )
    if not text.endswith("."):
        text += f"; PCA of the same length keeps {pca:.2%}." if model.gate_ else "."
    likely = bounds_sentence(model._state.facts, measured)
    text += f" {likely}" if likely else ""
    if not unseen:
        text += " The examples below are training rows."
    return text


def _given(model: Autoencoder) -> str:
    """Say what goes into a model: so many columns, or pictures of a size."""
    shape = model._state.facts["sample_shape"]
    if len(shape) < 2:
        return f"{model.n_features_in_} columns"
    return f"pictures of {' x '.join(map(str, shape))} values"


def facts_of(model: Autoencoder, data_path: str, model_path: str) -> dict[str, str]:
    """Return the table at the end of a page."""
    facts, made_of = model._state.facts, model._state.composition
    hidden = ", ".join(map(str, made_of.hidden_layer_sizes)) or "none"
    return {
        "data": data_path,
        "model": model_path,
        "rows": f"{facts['n_rows']}: {facts['n_train']} to train, {facts['n_choose']} to choose, "
        f"{facts['n_claim']} to measure",
        "columns": _columns(model),
        "components asked for": str(model.n_components),
        "hidden layers": hidden,
        "architecture": str(made_of.architecture),
        "bottleneck": str(made_of.bottleneck),
        "corruption": str(made_of.corruption),
        "likelihood": str(made_of.likelihood),
        "penalties": ", ".join(map(str, made_of.penalties)) or "none",
        "epochs": str(model.n_iter_),
        "seconds": f"{facts['seconds']:.1f}",
        "stopped": str(facts["stop_reason"]),
        "seed": str(facts["seed"]),
    }


def _columns(model: Autoencoder) -> str:
    """Count the columns, those of a table by kind."""
    count, schema = str(model.n_features_in_), model._state.schema
    if schema is None:
        return count
    kinds = Counter(block.kind for block in schema.blocks).most_common()
    return f"{count}: {', '.join(f'{times} {kind}' for kind, times in kinds)}"


def loading_lines(
    data_path: str,
    model_path: str,
    *,
    imputes: bool = False,
    denoises: bool = False,
    pictures: bool = False,
) -> str:
    """Return the Python that loads a model and does what it is for."""
    model = os.path.basename(model_path) or "model.safetensors"
    data = Path(data_path).name or "data.csv"
    lines = ["import autoencode\n", f"model = autoencode.load({model!r})"]
    given = repr(data)
    if pictures:
        lines.append(f"pictures = autoencode.read_pictures({data!r}, like=model)")
        given = "pictures.pixels"
    if denoises:
        return "\n".join([*lines, f"restored = model.denoise({given})"]) + "\n"
    lines += [
        f"codes = model.transform({given})",
        "rows = model.inverse_transform(codes)",
    ]
    if imputes:
        lines.append(f"complete = model.impute({given})")
    return "\n".join(lines) + "\n"


def _plain(values: Any) -> FloatArray:
    """Return an array whatever ``set_output`` asked for."""
    array: FloatArray = np.asarray(values)
    return array
