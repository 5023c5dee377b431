"""``autoencode inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoencode.commands.display import (
    curve_rows,
    print_columns,
    print_curve,
    print_fields,
    print_json,
)
from autoencode.commands.options import AsJson, Model
from autoencode.errors import ModelFileError

__all__ = ["inspect"]

_NAMES_SHOWN = 20
_NOT_FACTS = (
    "choose_rows",
    "claim_rows",
    "columns",
    "frame",
    "likelihood",
    "noise",
    "pictures",
    "situation",
)
_NOT_WORTH_SAYING: tuple[Any, ...] = ("auto", "none", "plain", "ignorable", None, False, [])


def inspect(model: Model, as_json: AsJson = False) -> None:
    """Say what a model file is: versions, parameters, columns and held-out figures.

    The whole file is checked; no part that it names is imported.
    """
    if model.is_dir():
        folder = _folder(model)
        if as_json:
            print_json(folder)
        else:
            print_fields({name: "" if part is None else str(part) for name, part in folder.items()})
        return
    from autoencode.model_file import read_model

    header, tensors = read_model(model)
    single = {
        "AnomalyDetector": _detector,
        "PictureDenoiser": _of_pictures,
        "PictureRestorer": _of_pictures,
    }
    if header.get("estimator") in single:
        known = single[header["estimator"]](str(model), header)
        if as_json:
            print_json(known)
        else:
            print_fields({name.replace("_", " "): _told(part) for name, part in known.items()})
        return
    try:
        found = _described(str(model), header, tensors)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelFileError(f"{model} does not fit together: {error}") from None
    if as_json:
        print_json(found)
        return
    print_fields(_fields(found))
    restores = found["parameters"]["n_components"] is None
    print_columns(found["columns"], restores=restores)
    if found["curve"] and not restores:
        held_out = bool(found["facts"]["n_choose"])
        print_curve(found["curve"], found["n_components"], held_out=held_out)


def _folder(model: Path) -> dict[str, Any]:
    """Return what a sparse autoencoder of another project is."""
    from autoencode.dictionary_files import read_dictionary

    found = read_dictionary(model)
    n_components, n_values = found.parts.shape
    return {
        "model": str(model),
        "estimator": "SparseAutoencoder",
        "bottleneck": found.kind,
        "n_features": n_values,
        "n_components": n_components,
        "n_active": found.n_active,
    }


def _told(value: Any) -> str:
    """Return a value as people read it; of several figures, those of one thing together."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ("; " if value and isinstance(value[0], dict) else ", ").join(map(_told, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _detector(path: str, header: dict[str, Any]) -> dict[str, Any]:
    """Return what a detector of anomalies is."""
    try:
        facts, calibration = header["facts"], header["calibration"]
        return {
            "model": path,
            "estimator": header["estimator"],
            "package_version": header["package_version"],
            "rows": facts["n_rows"],
            "situation": facts["situation"],
            "evidence": ", ".join(facts["kinds"]),
            "calibration": calibration["kind"],
            "calibration_rows": facts["n_calibration"],
            "n_features": header["n_features"],
        }
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path} does not fit together: {error}") from None


def _of_pictures(path: str, header: dict[str, Any]) -> dict[str, Any]:
    """Return what a model that restores pictures of any size is."""
    try:
        facts, network = header["facts"], header["network"]
        known, noisy = {}, "noise" in header
        if noisy:
            noise = header["noise"]
            known = {
                "situation": header["situation"],
                "noise": noise["kind"],
                "level": noise["level"],
            }
        return {
            "model": path,
            "estimator": header["estimator"],
            "package_version": header["package_version"],
            "pictures": facts["n_pictures"],
            **known,
            # One plane more says where holes are.
            "colours": network["n_colours"] - (not noisy),
            "hidden_layers": network["widths"],
            "held_out": facts["held_out"],
            "seconds": facts["seconds"],
            "stop_reason": facts["stop_reason"],
        }
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path} does not fit together: {error}") from None


def _described(path: str, header: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    curve = {
        name.removeprefix("curve."): array
        for name, array in tensors.items()
        if name.startswith("curve.")
    }
    from autoencode.bounds_summary import known_bounds
    from autoencode.summary import known_noise, known_units

    facts, made_of = header["facts"], header["composition"]
    noise = known_noise(facts, tensors["scale"])
    places = {
        name.removeprefix("unit."): array
        for name, array in tensors.items()
        if name.startswith("unit.")
    }
    units = known_units(facts, places, header["n_components"])
    bounds = known_bounds(facts)
    return {
        "model": path,
        "format_version": header["format_version"],
        "package_version": header["package_version"],
        "estimator": header["estimator"],
        "n_components": header["n_components"],
        "n_features": header["n_features"],
        "sample_shape": facts["sample_shape"],
        **({"pictures": facts["pictures"]} if "pictures" in facts else {}),
        "feature_names": header["feature_names"],
        **({} if noise is None else {"noise": noise}),
        **({} if units is None else {"units": units}),
        **({} if bounds is None else {"likelihood": bounds}),
        "columns": _columns(header),
        "parameters": header["parameters"],
        "composition": made_of,
        "numbers": sum(int(array.size) for array in tensors.values()),
        "facts": {name: value for name, value in facts.items() if name not in _NOT_FACTS},
        "curve": curve_rows(curve) if curve else [],
    }


def _columns(header: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the columns of a table are, without the torch that their blocks need."""
    from autoencode.summary import column_rows

    described = []
    for block in header.get("columns", {}).get("blocks", ()):
        arrow_type, missing = block["type"], block["n_missing"]
        described.append(
            {
                "name": block["name"],
                "type": arrow_type if isinstance(arrow_type, str) else arrow_type["name"],
                "kind": block["kind"],
                "detail": block["detail"],
                "missing": missing,
                "missing_share": missing / max(1, block["n_rows"]),
            }
        )
    return column_rows(described, header["facts"].get("columns", ()))


def _fields(found: dict[str, Any]) -> dict[str, str]:
    """Return what people are shown, by name."""
    from autoencode.bounds_summary import describe_bounds
    from autoencode.summary import (
        FITTED_TO,
        describe_noise,
        describe_rows,
        describe_units,
        left_out,
    )

    noise = found.get("noise")
    facts, names = found["facts"], found["feature_names"]
    at_size = [row for row in found["curve"] if row["size"] == found["n_components"]]
    quality, other, its = "", "PCA", "PCA's"
    if noise is not None and found["parameters"]["n_components"] is None:
        other, its = "the best linear guess", "its"
    if at_size:
        figures = at_size[0]
        quality = (
            f"{figures['explained_variance']:.2%} of the variance ({other} "
            f"{figures['pca_explained_variance']:.2%}), error {figures['ratio']:.3f} x {its}"
        )
    columns = str(found["n_features"])
    if names and not found["columns"]:
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
        "pictures": _pictures(found),
        "left out": left_out(found["columns"]),
        "components": str(found["n_components"]),
        "hidden layers": ", ".join(map(str, found["composition"]["hidden_layer_sizes"])) or "none",
        "fitted to": "" if noise is None else FITTED_TO[noise["situation"]],
        "noise": "" if noise is None or noise["kind"] == "none" else describe_noise(noise),
        "units": describe_units(found.get("units")),
        "bounds": describe_bounds(found.get("likelihood")).replace("\n", "; "),
        "held-out rows" if facts["n_choose"] else "rows of the fit": quality,
        "rows": describe_rows(facts) if facts["n_rows"] else "",
        "fit": f"{facts['seconds']:.1f} s; stopped: {facts['stop_reason']}",
        "size": f"{found['numbers']} numbers",
    }


def _pictures(found: dict[str, Any]) -> str:
    """Say what pictures of files are brought to; nothing if the model is of other data."""
    if "pictures" not in found:
        return ""
    from autoencode.data.picture_form import PictureForm

    form = PictureForm.from_header(found["pictures"])
    others = {"resize": "resized", "crop": "cropped", "tile": "cut into tiles"}
    return f"{form.describe()}; others are {others[form.fit]}"
