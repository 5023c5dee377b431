"""From an estimator's parameters to a plan in which no "auto" is left."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from autoencode import defaults
from autoencode.architectures.own import own_modules
from autoencode.composition import Composition, outlined_bottleneck
from autoencode.corruptions import CORRUPTIONS
from autoencode.data.rows import Rows
from autoencode.errors import SpecError
from autoencode.fit_data import Plan
from autoencode.interfaces import Corruption, Layout, Segment
from autoencode.moves import AUGMENTATIONS
from autoencode.preprocess.scaling import choose_scaling
from autoencode.preprocess.table_rows import TableRows
from autoencode.selection import FEWEST_ROWS
from autoencode.spec import describe, make, parse
from autoencode.training import History

__all__ = ["make_plan", "plain", "said", "segments_of"]


def make_plan(given: Mapping[str, Any], rows: Rows) -> Plan:
    """Check an estimator's parameters and resolve them for these rows.

    Parameters
    ----------
    given : mapping
        As from ``get_params()``.
    rows : Rows
        What the fit is for.

    Returns
    -------
    Plan
        Complete.

    Raises
    ------
    SpecError
        Naming the parameter, what was given and what is allowed.
    """
    fraction = given["validation_fraction"]
    if not isinstance(fraction, int | float | np.number) or not 0 < fraction < 1:
        raise SpecError(f"validation_fraction={fraction!r} should lie between 0 and 1")
    restores = given["n_components"] is None
    sparse = outlined_bottleneck(given["bottleneck"]).sparse
    n_components = _components(given["n_components"], rows, float(fraction), sparse=sparse)
    limit, threads, verbose = given["max_time"], given["n_threads"], given["verbose"]
    max_time = None if limit is None else defaults.positive("max_time", limit)
    whole = threads != "auto"
    composition, few = _composition(given, n_components, rows)
    n_components = _in_places(n_components, composition, fitting=restores)
    mixed = bool(composition.segments)
    n_mixed = rows.n_features if mixed else 0
    return Plan(
        composition=composition,
        n_components=n_components,
        scaling=choose_scaling(given["scaling"], named=rows.names is not None),
        max_epochs=defaults.max_epochs(
            given["max_epochs"],
            rows.n_rows,
            max_time,
            mixed_values=n_mixed,
            noisy=restores and composition.noisy,
        ),
        max_time=max_time,
        batch_size=defaults.batch_size(given["batch_size"], rows.n_rows, mixed=mixed),
        learning_rate=defaults.learning_rate(given["learning_rate"]),
        validation_fraction=float(fraction),
        device=defaults.device(given["device"]),
        dtype=defaults.dtype(given["dtype"]),
        n_threads=int(defaults.positive("n_threads", threads, whole=True)) if whole else threads,
        seed=defaults.seed(given["random_state"]),
        report=verbose if callable(verbose) else said if verbose else None,
        restores=restores,
        features=bool(given.get("features", False)) and isinstance(n_components, int),
        fills=isinstance(rows, TableRows),
        few=few,
        lowers=isinstance(given["dtype"], str) and given["dtype"] == "auto",
        augmentation=_augmentation(given, composition, rows),
    )


def _augmentation(given: Mapping[str, Any], composition: Composition, rows: Rows) -> str:
    """Return how pictures are moved in training; "auto" where that is to be tried.

    It is not where there are many pictures, which differ enough, nor beside a likelihood.
    """
    asked = given.get("augmentation", "none")
    if asked not in ("auto", *AUGMENTATIONS):
        raise SpecError(
            f"augmentation={asked!r} is not known; choose from auto, {', '.join(AUGMENTATIONS)}"
        )
    tried = rows.n_rows < defaults.MANY_PICTURES and composition.trains
    tried = tried and not (composition.variational or composition.sparse)
    if asked == "auto" and (not tried or given["n_components"] is None):
        return "none"
    return str(asked)


def _composition(
    given: Mapping[str, Any], n_components: float, rows: Rows
) -> tuple[Composition, bool]:
    neck, nested = outlined_bottleneck(given["bottleneck"]), given["nested"]
    architecture, own = given["architecture"], isinstance(given["architecture"], list | tuple)
    if own:
        architecture = own_modules(architecture)
    elif isinstance(architecture, str) and architecture == "auto":
        architecture = "mlp"
    name = parse(architecture)[0] if isinstance(architecture, str) else ""
    sizes = given["hidden_layer_sizes"]
    if name == "conv" and isinstance(sizes, str) and sizes == "auto":
        sizes = defaults.channels(rows.sample_shape)
    likely = rows.n_rows if neck.costs_nats else None
    sizes = defaults.hidden_layer_sizes(sizes, rows.n_features, likely)
    if name == "dictionary":
        sizes = ()
    sparse, costs = neck.sparse, neck.costs_nats
    if isinstance(nested, str) and nested == "auto":
        whole = n_components == 1 or given["n_components"] is None
        nested = not (whole or sparse or costs or own)
    if not isinstance(nested, bool | np.bool_):
        raise SpecError(f"nested={nested!r} should be 'auto', True or False")
    if nested and not neck.cuts:
        raise SpecError("nested=True needs codes that can be shortened: not posterior='flow'")
    if isinstance(n_components, float) and not (nested or costs):
        raise SpecError("nested=False needs n_components as a whole number")
    segments = segments_of(rows)
    likelihood, corruption = given["likelihood"], given["corruption"]
    if likelihood == "auto":
        # Beside a cost in nats it is the scale that says how much a value counts.
        likelihood = "mixed" if segments else "gaussian:scale=learned" if costs else "gaussian"
    if corruption == "auto":
        corruption = _hiding(given, rows, pictures=name == "conv")
    layout = Layout(rows.n_features, segments, tuple(rows.sample_shape))
    # One from outside may be any callable: then it does neither.
    part: Corruption = make("corruption", CORRUPTIONS, corruption, layout)
    missing = given["missing"]
    if missing not in ("ignorable", "informative"):
        raise SpecError(f"missing={missing!r} should be 'ignorable' or 'informative'")
    few = _few(given, rows, segments, likelihood, corruption)
    composition = Composition(
        architecture=architecture,
        bottleneck=given["bottleneck"],
        corruption=corruption,
        likelihood=likelihood,
        penalties=_penalties(given["penalties"], few=few),
        hidden_layer_sizes=sizes,
        sample_shape=tuple(rows.sample_shape),
        nested=bool(nested) and (bool(sizes) or sparse),
        segments=segments,
        masked=rows.has_missing or getattr(part, "hides", False),
        noisy=getattr(part, "tells", False),
        informative=missing == "informative" and rows.has_missing,
    )
    composition.check()
    return composition, few


def _penalties(given: Any, *, few: bool) -> tuple[Any, ...]:
    """Return the penalties; where rows are few, "auto" is one whose strength is chosen."""
    if isinstance(given, str) and given == "auto":
        return ("l2:weight=auto",) if few else ()
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise SpecError(f"penalties={given!r} should be 'auto' or a sequence of penalties")
    return tuple(given)


def _few(
    given: Mapping[str, Any], rows: Rows, segments: Any, likelihood: Any, corruption: Any
) -> bool:
    """Say whether cross-validation should judge: few complete rows of plain numbers."""
    plain = not segments and not rows.has_missing and given["n_components"] is not None
    plain = plain and corruption == "none" and likelihood == "gaussian"
    plain = plain and not outlined_bottleneck(given["bottleneck"]).sparse
    return plain and FEWEST_ROWS <= rows.n_rows < defaults.FEW_ROWS


def segments_of(rows: Rows) -> tuple[Segment, ...]:
    """Return what the values are; nothing if all of them are columns of real numbers."""
    if not isinstance(rows, TableRows):
        return ()
    segments = tuple(Segment(*parts) for parts in rows.schema.segments)
    columns = {part.column for part in segments}
    plain = len(columns) == rows.n_features and all(
        part.likelihood == "gaussian" for part in segments
    )
    return () if plain else segments


def _hiding(given: Mapping[str, Any], rows: Rows, *, pictures: bool) -> str:
    """Return the corruption that "auto" stands for: cells are hidden where some are missing.

    A code of full length has nothing else to learn than to restore: every row loses cells.
    """
    if given["n_components"] is None and pictures:
        return "holes"
    if given["n_components"] is None:
        # What is missing together must not be hidden together where it tells of the values.
        together = given["missing"] != "informative"
        return f"hide:rows=1.0,together={together}"
    return "hide" if rows.has_missing else "none"


def _components(given: Any, rows: Rows, held_out: float, *, sparse: bool) -> int | float:
    """Return the asked length or share, checked; None is the full length."""
    most = min(rows.n_rows, rows.n_features)
    if given is None:
        return min(rows.n_rows - round(held_out * rows.n_rows), rows.n_features)
    whole = isinstance(given, int | np.integer) and not isinstance(given, bool | np.bool_)
    if sparse:
        if whole and given >= 1:
            return int(given)
        raise SpecError(
            f"n_components={given!r} must be a positive whole number where codes are sparse"
        )
    if isinstance(given, float | np.floating) and 0 < given < 1:
        return float(given)
    if whole and 1 <= given <= most:
        return int(given)
    raise SpecError(
        f"n_components={given!r} must be a whole number between 1 and "
        f"min(n_samples, n_features)={most}, a share of variance in (0, 1), or None"
    )


def _in_places(asked: int | float, composition: Composition, *, fitting: bool) -> int | float:
    """Return the length of a code, checked to be a multiple of its places.

    ``fitting``: the next smaller multiple will do.
    """
    step = composition.n_places
    if isinstance(asked, float) or asked % step == 0:
        return asked
    below = int(asked) // step * step
    if fitting and below:
        return below
    sides = " x ".join(str(side) for side in composition.code_size)
    near = f"{below} or {below + step}" if below else f"{step}"
    raise SpecError(
        f"n_components={asked!r}: a spatial code has a whole number of maps of {sides} places; "
        f"choose {near}"
    )


def said(phase: str, history: History) -> None:
    """Write one line of progress to standard error."""
    columns = history.columns
    sys.stderr.write(
        f"{phase} epoch {columns['epoch'][-1]}: held-out {columns['held_out'][-1]:.5g}, "
        f"{columns['seconds'][-1]:.1f} s\n"
    )


def plain(value: Any) -> Any:
    """Return a parameter as JSON holds it; a callable as the name it can be imported by."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return None
    if isinstance(value, torch.device | torch.dtype):
        return str(value).removeprefix("torch.")
    return describe(value)
