"""The forms in which other projects keep a sparse autoencoder, as they are read.

Each function takes a folder's configuration and tensors, and gives the dictionary whose
codes and reconstructions are those of the project itself. What would need more than a
`Dictionary` holds (gates, signed codes, transcoders, rows that are normalised one by
one) is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autoencode.dictionary import Dictionary
from autoencode.dictionary_source import Place, Source, made, unit_parts

__all__ = ["from_dictionary_learning", "from_saelens", "from_sparsify"]

_BY_NAME = (Place("W_enc", "vc"), Place("b_enc", "c"), Place("W_dec", "cv"), Place("b_dec", "v"))
_SPARSIFY = (
    Place("encoder.weight", "cv"),
    Place("encoder.bias", "c"),
    Place("W_dec", "cv"),
    Place("b_dec", "v"),
)


def _linear(bias: str) -> tuple[Place, ...]:
    """Return the places of two linear layers, whose weights are (outputs, inputs)."""
    return (
        Place("encoder.weight", "cv"),
        Place("encoder.bias", "c"),
        Place("decoder.weight", "vc"),
        Place(bias, "v"),
    )


# dict_class: how codes are chosen, where the arrays are, whether the bias is subtracted first.
_DICTIONARY_LEARNING: dict[str, tuple[str, tuple[Place, ...], bool]] = {
    "AutoEncoder": ("relu", _linear("bias"), True),
    "AutoEncoderNew": ("relu", _linear("decoder.bias"), False),
    "AutoEncoderTopK": ("topk", _linear("b_dec"), True),
    "BatchTopKSAE": ("batchtopk", _linear("b_dec"), True),
    "MatryoshkaBatchTopKSAE": ("batchtopk", _BY_NAME, True),
    "JumpReluAutoEncoder": ("jumprelu", _BY_NAME, False),
}
# The last two are how training is kept; for use they become jumprelu.
_SAELENS = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "batchtopk": "batchtopk",
    "matryoshka_batchtopk": "batchtopk",
}
_SAELENS_BATCHES = ("batchtopk", "matryoshka_batchtopk")
_SAELENS_THRESHOLDS = {
    "jumprelu": "threshold",
    "batchtopk": "topk_threshold",
    "matryoshka_batchtopk": "topk_threshold",
}


def from_saelens(source: Source) -> Dictionary:
    """Make a dictionary of what SAELens wrote, for use or as a checkpoint of training.

    A ``jumprelu`` that says that it was trained as ``batchtopk`` becomes that again.

    Raises
    ------
    ModelFileError
        If something is missing, does not fit together, or is of a kind that a
        `Dictionary` cannot hold.
    """
    config = source.config
    architecture, n_active = _saelens_architecture(source)
    _require_plain_rows(source)
    sizes = {"v": source.size("d_in", config), "c": source.size("d_sae", config)}
    threshold_name = _SAELENS_THRESHOLDS.get(architecture)
    needed = [place.name for place in _BY_NAME] + ([threshold_name] if threshold_name else [])
    source.require_names(needed, optional=("scaling_factor",))
    _require_no_scaling(source)
    weights = source.weights(_BY_NAME, sizes)
    if _rescales(source, architecture):
        weights = unit_parts(source, weights)
    kind = _SAELENS[architecture]
    threshold = None
    if kind == "batchtopk":
        threshold = source.constant("topk_threshold", sizes["c"])
    elif kind == "jumprelu":
        threshold = source.array(Place("threshold", "c"), sizes)
        kind, n_active = _as_trained(source, sizes["c"])
    return made(
        source,
        kind,
        weights,
        subtracts_bias=source.flag("apply_b_dec_to_input", config, default=True),
        n_active=n_active,
        threshold=threshold,
    )


def from_sparsify(source: Source) -> Dictionary:
    """Make a dictionary of what sparsify wrote.

    Raises
    ------
    ModelFileError
        As `from_saelens`.
    """
    config = source.config
    for key in ("transcode", "skip_connection", "signed"):
        if source.flag(key, config, default=False):
            source.refuse_config(f"says {key!r}: such a coder is not a dictionary of this package")
    activation = source.text("activation", config, default="topk")
    if activation != "topk":
        source.refuse_config(f"has 'activation' = {activation[:80]!r}; only 'topk' can be read")
    n_values = source.size("d_in", config)
    if config.get("num_latents", 0) == 0:
        n_components = n_values * source.size("expansion_factor", config)
    else:
        n_components = source.size("num_latents", config)
    source.require_names([place.name for place in _SPARSIFY])
    weights = source.weights(_SPARSIFY, {"v": n_values, "c": n_components})
    n_active = source.size("k", config)
    return made(source, "topk", weights, subtracts_bias=True, n_active=n_active)


def from_dictionary_learning(source: Source) -> Dictionary:
    """Make a dictionary of what dictionary_learning wrote, its ``.pt`` made a safetensors file.

    As that project does on loading, parts of an ``AutoEncoder`` are brought to length 1.

    Raises
    ------
    ModelFileError
        As `from_saelens`.
    """
    trainer = source.section("trainer")
    name = source.text("dict_class", trainer)
    if name not in _DICTIONARY_LEARNING:
        allowed = ", ".join(_DICTIONARY_LEARNING)
        source.refuse_config(f"has 'dict_class' = {name[:80]!r}; can be read: {allowed}")
    kind, places, subtracts_bias = _DICTIONARY_LEARNING[name]
    sizes = {"v": source.size("activation_dim", trainer), "c": source.size("dict_size", trainer)}
    needed = [place.name for place in places]
    optional = {"topk": ["k", "threshold"], "batchtopk": ["k", "group_sizes"]}.get(kind, [])
    if kind in ("batchtopk", "jumprelu"):
        needed.append("threshold")
    source.require_names(needed, optional)
    weights = source.weights(places, sizes)
    if name == "AutoEncoder":
        weights = unit_parts(source, weights)
    threshold = None
    if kind == "jumprelu":
        threshold = source.array(Place("threshold", "c"), sizes)
    elif kind == "batchtopk":
        threshold = source.constant("threshold", sizes["c"])
    n_active = _agreed_n_active(source, trainer) if kind in ("topk", "batchtopk") else None
    return made(
        source,
        kind,
        weights,
        subtracts_bias=subtracts_bias,
        n_active=n_active,
        threshold=threshold,
    )


def _agreed_n_active(source: Source, trainer: Mapping[str, Any]) -> int:
    """Return the number of active components, which stands in both files."""
    n_active = source.size("k", trainer)
    if not (source.tensors.get("k", np.array(n_active)) == n_active).all():
        source.refuse_tensors(f"has another 'k' than {source.config_path}, which says {n_active}")
    return n_active


def _saelens_architecture(source: Source) -> tuple[str, float | None]:
    """Return the architecture and the number of active components, if it has one."""
    config = source.config
    if _before_version_6(source):
        architecture = source.text("architecture", config, default="standard")
        activation = source.text(
            "activation_fn" if "activation_fn" in config else "activation_fn_str",
            config,
            default="relu",
        )
        if activation == "topk":
            return "topk", source.size("k", source.section("activation_fn_kwargs"))
        if activation != "relu":
            source.refuse_config(f"has the activation {activation[:80]!r}; can be read: relu, topk")
    else:
        architecture = source.text("architecture", config)
    if architecture not in _SAELENS:
        source.refuse_config(
            f"has 'architecture' = {architecture[:80]!r}; can be read: {', '.join(_SAELENS)}"
        )
    if architecture == "topk":
        return architecture, source.size("k", config)
    if architecture in _SAELENS_BATCHES:
        return architecture, _mean_active(config.get("k"))
    return architecture, None


def _before_version_6(source: Source) -> bool:
    """Whether the configuration has the keys of SAELens before 6.0, or says no version."""
    metadata = source.config.get("metadata")
    inner = metadata.get("sae_lens_version") if isinstance(metadata, dict) else None
    version = source.config.get("sae_lens_version") or inner
    if not version:
        return True
    major = str(version).partition(".")[0]
    if not (major.isascii() and major.isdigit() and len(major) < 9):
        source.refuse_config(f"has 'sae_lens_version' = {str(version)[:80]!r}; that is no version")
    return int(major) < 6


def _require_plain_rows(source: Source) -> None:
    """Refuse a dictionary that needs its rows changed in a way that the folder cannot say."""
    found = source.config.get("normalize_activations")
    if found not in (None, False, "none"):
        advice = (
            "fold the factor in with SAELens (fold_activation_norm_scaling_factor) and save again"
            if found in (True, "expected_average_only_in")
            else "only dictionaries of rows as they are can be read"
        )
        source.refuse_config(f"has 'normalize_activations' = {str(found)[:80]!r}; {advice}")
    if source.config.get("reshape_activations", "none") not in ("none", "hook_z"):
        source.refuse_config("has another 'reshape_activations' than 'none' and 'hook_z'")


def _require_no_scaling(source: Source) -> None:
    """Refuse codes that were scaled after training; older files hold a factor of ones."""
    factor = source.tensors.get("scaling_factor")
    if factor is not None and not (factor == 1).all():
        source.refuse_tensors("has a 'scaling_factor' other than 1, which SAELens 6 refuses too")


def _rescales(source: Source, architecture: str) -> bool:
    """Whether components are chosen by the length of what they add, not by their code."""
    key = "rescale_acts_by_decoder_norm"
    if architecture == "topk":
        return source.flag(key, source.config, default=False)
    return architecture in _SAELENS_BATCHES and source.flag(key, source.config)


def _as_trained(source: Source, n_components: int) -> tuple[str, float | None]:
    """Return the kind that a ``jumprelu`` was trained as, and its mean of active components."""
    metadata = source.config.get("metadata")
    if not isinstance(metadata, dict):
        return "jumprelu", None
    if metadata.get("training_architecture") not in _SAELENS_BATCHES:
        return "jumprelu", None
    details = metadata.get("training_architecture_details")
    n_active = _mean_active(details.get("k")) if isinstance(details, dict) else None
    return "batchtopk", n_active if (n_active or 0) <= n_components else None


def _mean_active(value: Any) -> float | None:
    """Return a positive number as it is, and None for anything else."""
    return value if type(value) in (int, float) and value > 0 else None
