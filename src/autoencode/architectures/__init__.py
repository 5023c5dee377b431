"""Architectures: how values become features and codes become values."""

from __future__ import annotations

from collections.abc import Callable

from autoencode.architectures.conv import Conv
from autoencode.architectures.dictionary import Dictionary
from autoencode.architectures.mlp import Mlp
from autoencode.interfaces import Architecture

__all__ = ["ARCHITECTURES", "Conv", "Dictionary", "Mlp"]

ARCHITECTURES: dict[str, Callable[..., Architecture]] = {
    "mlp": Mlp,
    "dictionary": Dictionary,
    "conv": Conv,
}
