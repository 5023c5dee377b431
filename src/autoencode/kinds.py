"""The names of all parts, without the parts: help, errors and tests read them here.

This module imports nothing, so ``autoencode --help`` stays fast. One test asserts
that every axis's dictionary of parts has exactly these names.
"""

from __future__ import annotations

__all__ = ["ARCHITECTURES", "AXES", "BOTTLENECKS", "CORRUPTIONS", "LIKELIHOODS", "PENALTIES"]

ARCHITECTURES = ("mlp",)
BOTTLENECKS = ("plain",)
CORRUPTIONS = ("none", "gaussian", "mask")
LIKELIHOODS = ("gaussian", "huber")
PENALTIES = ("l1", "contractive")

AXES = {
    "architecture": ARCHITECTURES,
    "bottleneck": BOTTLENECKS,
    "corruption": CORRUPTIONS,
    "likelihood": LIKELIHOODS,
    "penalty": PENALTIES,
}
