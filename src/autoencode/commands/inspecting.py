"""``autoencode inspect``."""

from __future__ import annotations

from typing import Any

from autoencode.commands.display import (
    curve_rows,
    print_curve,
    print_fields,
    print_json,
)
from autoencode.commands.options import AsJson, Model
from autoencode.errors import ModelFileError

__all__ = ["inspect"]

_NAMES_SHOWN = 20
_NOT_WORTH_SAYING: tuple[Any, ...] = ("auto", "none", "plain", None, False, [])


def inspect(model: Model, as_json: AsJson = False) -> None:
    """Say what a model file is: versions, parameters, columns and held-out figures.

    The whole file is checked; no part that it names is imported.
    """
    from autoencode.model_file import read_model

    header, tensors = read_model(model)
    try:
        found = _described(str(model), header, tensors)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelFileError(f"{model} does not fit together: {error}") from None
    if as_json:
        print_json(found)
        return
    print_fields(_fields(found))
    if found["curve"]:
        print_curve(found["curve"], found["n_components"])


def _described(path: str, header: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    curve = {
        name.removeprefix("curve."): array
        for name, array in tensors.items()
        if name.startswith("curve.")
    }
    facts, made_of = header["facts"], header["composition"]
    return {
        "model": path,
        "format_version": header["format_version"],
        "package_version": header["package_version"],
        "estimator": header["estimator"],
        "n_components": header["n_components"],
        "n_features": header["n_features"],
        "sample_shape": facts["sample_shape"],
        "feature_names": header["feature_names"],
        "parameters": header["parameters"],
        "composition": made_of,
        "numbers": sum(int(array.size) for array in tensors.values()),
        "facts": {name: value for name, value in facts.items() if name != "claim_rows"},
        "curve": curve_rows(curve) if curve else [],
    }


def _fields(found: dict[str, Any]) -> dict[str, str]:
    """Return what people are shown, by name."""
    facts, names = found["facts"], found["feature_names"]
    at_size = [row for row in found["curve"] if row["size"] == found["n_components"]]
    quality = ""
    if at_size:
        figures = at_size[0]
        quality = (
            f"{figures['explained_variance']:.2%} of the variance (PCA "
            f"{figures['pca_explained_variance']:.2%}), error {figures['ratio']:.3f} x PCA's"
        )
    columns = str(found["n_features"])
    if names:
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        columns += f": {', '.join(map(str, names[:_NAMES_SHOWN]))}{more}"
    elif len(found["sample_shape"]) > 1:
        columns += f" (pictures, {' x '.join(map(str, found['sample_shape']))})"
    set_by_hand = [
        f"{name}={value!r}"
        for name, value in found["parameters"].items()
        if value not in _NOT_WORTH_SAYING
    ]
    return {
        "model": found["model"],
        "written by": f"autoencode {found['package_version']}, format {found['format_version']}",
        "estimator": f"{found['estimator']}({', '.join(set_by_hand)})",
        "columns": columns,
        "components": str(found["n_components"]),
        "hidden layers": ", ".join(map(str, found["composition"]["hidden_layer_sizes"])) or "none",
        "held-out rows": quality,
        "rows": f"{facts['n_rows']}: {facts['n_train']} to train, {facts['n_choose']} to choose, "
        f"{facts['n_claim']} to measure",
        "fit": f"{facts['seconds']:.1f} s; stopped: {facts['stop_reason']}",
        "size": f"{found['numbers']} numbers",
    }
