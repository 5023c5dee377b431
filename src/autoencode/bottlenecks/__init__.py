"""Bottlenecks: from features to codes."""

from __future__ import annotations

from collections.abc import Callable

from autoencode.bottlenecks.gaussian import GaussianCode
from autoencode.bottlenecks.plain import Plain, Projection
from autoencode.bottlenecks.sparse import BatchTopK, JumpRelu, Relu, Sparse, TopK
from autoencode.interfaces import Bottleneck

__all__ = [
    "BOTTLENECKS",
    "BatchTopK",
    "GaussianCode",
    "JumpRelu",
    "Plain",
    "Projection",
    "Relu",
    "Sparse",
    "TopK",
]

BOTTLENECKS: dict[str, Callable[..., Bottleneck]] = {
    "plain": Plain,
    "topk": TopK,
    "batchtopk": BatchTopK,
    "jumprelu": JumpRelu,
    "relu": Relu,
    "gaussian": GaussianCode,
}
