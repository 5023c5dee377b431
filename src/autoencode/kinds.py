"""The names of all parts, without the parts: help, errors and tests read them here.

This module imports nothing, so ``autoencode --help`` stays fast. One test asserts
that every axis's dictionary of parts has exactly these names.
"""

from __future__ import annotations

__all__ = [
    "ARCHITECTURES",
    "AXES",
    "BOTTLENECKS",
    "COLUMN_KINDS",
    "CORRUPTIONS",
    "LIKELIHOODS",
    "PENALTIES",
    "PRESETS",
]

ARCHITECTURES = ("mlp", "dictionary", "conv")
BOTTLENECKS = ("plain", "topk", "batchtopk", "jumprelu", "relu", "gaussian")
CORRUPTIONS = (
    "none",
    "gaussian",
    "mask",
    "block",
    "salt_pepper",
    "swap",
    "hide",
    "restoring",
    "holes",
)
LIKELIHOODS = ("gaussian", "huber", "bernoulli", "categorical", "count", "mixed")
PENALTIES = ("l1", "l2", "decoder_l2", "kl_sparsity", "contractive", "steady")

AXES = {
    "architecture": ARCHITECTURES,
    "bottleneck": BOTTLENECKS,
    "corruption": CORRUPTIONS,
    "likelihood": LIKELIHOODS,
    "penalty": PENALTIES,
}

PRESETS = ("autoencoder", "denoising", "sparse", "variational", "convolutional")
"""Kinds of models that have a name."""

# Not an axis of the model but of its data; in the order in which they are tried.
COLUMN_KINDS = (
    "constant",
    "binary",
    "ordered",
    "datetime",
    "identifier",
    "count",
    "numeric",
    "categorical",
    "cyclic",
)
