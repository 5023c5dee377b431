"""Sparse autoencoders in the folders of other projects: which form it is, and SAELens' own.

| form | configuration | tensors |
|---|---|---|
| SAELens | ``cfg.json`` | ``sae_weights.safetensors`` |
| sparsify | ``cfg.json`` | ``sae.safetensors`` |
| dictionary_learning | ``config.json`` | ``ae.safetensors``, made of its ``ae.pt`` |

``ae.pt`` itself is a pickle, which a reader has to execute, and is not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autoencode.dictionary import Dictionary, FloatArray, as_float32
from autoencode.dictionary_forms import from_dictionary_learning, from_saelens, from_sparsify
from autoencode.dictionary_source import Source, read_source
from autoencode.errors import ModelFileError, SpecError
from autoencode.files import replacing_folder
from autoencode.strict_json import write_json
from autoencode.tensor_file import write_tensors

__all__ = ["read_dictionary", "write_saelens"]

_CONFIG, _WEIGHTS = "cfg.json", "sae_weights.safetensors"
_PICKLED, _CONVERTED = "ae.pt", "ae.safetensors"
_FORMS: dict[str, tuple[str, Callable[[Source], Dictionary]]] = {
    _WEIGHTS: (_CONFIG, from_saelens),
    "sae.safetensors": (_CONFIG, from_sparsify),
    _CONVERTED: ("config.json", from_dictionary_learning),
}
_CONVERT = (
    "import torch, safetensors.torch as s; "
    f"t = torch.load('{_PICKLED}', map_location='cpu', weights_only=True); "
    f"s.save_file({{k: v.clone().contiguous() for k, v in t.items()}}, '{_CONVERTED}')"
)
_ARCHITECTURES = {
    "relu": "standard",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "batchtopk": "jumprelu",
}
# The first release of the form that is written.
_SAELENS_VERSION = "6.0.0"
_OWN_METADATA = (
    "sae_lens_version",
    "sae_lens_training_version",
    "training_architecture",
    "training_architecture_details",
)


def read_dictionary(path: str | os.PathLike[str]) -> Dictionary:
    """Read a sparse autoencoder from a folder of SAELens, sparsify or dictionary_learning.

    The form is told by the names of the files. Nothing in them is executed.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    Dictionary
        With the codes and reconstructions of the project that wrote it, in float32.

    Raises
    ------
    ModelFileError
        If the folder is missing or holds no such form or two of them; if a file is
        missing, truncated, damaged or does not fit the other; or if it is a kind of
        autoencoder that a `Dictionary` cannot hold.
    """
    folder = Path(path)
    if not folder.is_dir():
        reason = "is a file; name its folder" if folder.exists() else "no such folder"
        raise ModelFileError(f"{folder}: {reason}")
    found = [name for name in _FORMS if (folder / name).exists()]
    if len(found) > 1:
        raise ModelFileError(f"{folder} holds both {found[0]} and {found[1]}; keep one of them")
    if not found:
        if (folder / _PICKLED).exists():
            raise ModelFileError(
                f"{folder / _PICKLED} is a pickle, which could run anything; if you trust it, run "
                f'in its folder: python -c "{_CONVERT}"'
            )
        raise ModelFileError(f"{folder} holds none of {', '.join(_FORMS)}")
    config_name, read = _FORMS[found[0]]
    return read(read_source(folder / config_name, folder / found[0]))


def write_saelens(
    path: str | os.PathLike[str],
    dictionary: Dictionary,
    metadata: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
) -> None:
    """Write a dictionary as a folder that ``SAE.load_from_disk`` of SAELens 6 loads.

    ``batchtopk`` is written as ``jumprelu``, as SAELens itself does, with a note of how
    it was trained. A centre is kept in SAELens' own way: it subtracts the bias instead,
    and the encoder's bias makes up for the difference.

    Parameters
    ----------
    path : path
        The folder to write; the folder around it must exist.
    dictionary : Dictionary
        For rows as SAELens will see them: `fold_scaler` takes preprocessing in.
    metadata : mapping, optional
        What else is known, such as ``model_name`` and ``hook_name``; JSON.
    force : bool, default=False
        Whether an existing folder of this form may be replaced.

    Raises
    ------
    SpecError
        If the metadata is not JSON or uses a name that is set here.
    DataError
        If the folder exists and may not be replaced, or cannot be written.
    """
    text = write_json(_configuration(dictionary, metadata or {}), "the configuration")
    tensors = _tensors(dictionary)
    with replacing_folder(path, (_CONFIG, _WEIGHTS), force=force) as temporary:
        write_tensors(temporary / _WEIGHTS, tensors)
        (temporary / _CONFIG).write_text(text, encoding="utf-8")


def _configuration(dictionary: Dictionary, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything but the arrays."""
    if taken := [name for name in _OWN_METADATA if name in metadata]:
        raise SpecError(f"metadata has {taken[0]!r}, which is set by the writer; leave it out")
    n_components, n_values = dictionary.parts.shape
    known: dict[str, Any] = {
        **metadata,
        "sae_lens_version": _SAELENS_VERSION,
        "sae_lens_training_version": None,
    }
    config: dict[str, Any] = {
        "architecture": _ARCHITECTURES[dictionary.kind],
        "d_in": n_values,
        "d_sae": n_components,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": _is_centred(dictionary),
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": known,
    }
    if dictionary.kind == "topk":
        config |= {"k": dictionary.n_active, "rescale_acts_by_decoder_norm": False}
    if dictionary.kind == "batchtopk":
        known["training_architecture"] = "batchtopk"
        known["training_architecture_details"] = {"k": dictionary.n_active}
    return config


def _tensors(dictionary: Dictionary) -> dict[str, FloatArray]:
    """Return the arrays under SAELens' names."""
    encoder_bias = dictionary.encoder_bias
    if _is_centred(dictionary):
        apart = dictionary.bias.astype(np.float64) - dictionary.centre
        encoder_bias = as_float32("b_enc", encoder_bias + dictionary.encoder_weight @ apart)
    tensors = {
        "W_enc": np.ascontiguousarray(dictionary.encoder_weight.T),
        "b_enc": encoder_bias,
        "W_dec": dictionary.parts,
        "b_dec": dictionary.bias,
    }
    return (
        tensors if dictionary.threshold is None else {**tensors, "threshold": dictionary.threshold}
    )


def _is_centred(dictionary: Dictionary) -> bool:
    return bool(dictionary.centre.any())
