"""What a folder with a dictionary says about itself: its configuration and its tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from autoencode.dictionary import Dictionary, FloatArray, as_float32
from autoencode.errors import ModelFileError, SpecError
from autoencode.strict_json import read_json
from autoencode.tensor_file import UnusableError, opened, read_tensors

__all__ = ["Place", "Source", "Weights", "made", "read_source", "unit_parts"]

# Configurations take a few kilobytes.
_MAX_CONFIG_BYTES = 1 << 20


class Place(NamedTuple):
    """Where a form keeps one of a dictionary's arrays.

    Its axes are letters: ``c`` for components, ``v`` for values.
    """

    name: str
    axes: str


class Weights(NamedTuple):
    """The arrays that every form has, components first, as the form has them."""

    encoder_weight: FloatArray
    encoder_bias: FloatArray
    parts: FloatArray
    bias: FloatArray


class Source(NamedTuple):
    """A folder's configuration and tensors, and the names of their files for messages."""

    config: Mapping[str, Any]
    tensors: Mapping[str, npt.NDArray[Any]]
    config_path: Path
    tensors_path: Path

    def refuse_config(self, reason: str) -> NoReturn:
        """Raise a `ModelFileError`: the configuration's name and the reason."""
        raise ModelFileError(f"{self.config_path} {reason}")

    def refuse_tensors(self, reason: str) -> NoReturn:
        """Raise a `ModelFileError`: the tensor file's name and the reason."""
        raise ModelFileError(f"{self.tensors_path} {reason}")

    def text(self, key: str, section: Mapping[str, Any], default: str | None = None) -> str:
        """Return a text of the configuration."""
        value = section.get(key, default)
        if not isinstance(value, str):
            self._refuse_value(key, section, "a text")
        return value

    def flag(self, key: str, section: Mapping[str, Any], default: bool | None = None) -> bool:
        """Return a truth value of the configuration."""
        value = section.get(key, default)
        if not isinstance(value, bool):
            self._refuse_value(key, section, "true or false")
        return value

    def size(self, key: str, section: Mapping[str, Any]) -> int:
        """Return an integer from 1 up of the configuration."""
        value = section.get(key)
        if type(value) is not int or value < 1:
            self._refuse_value(key, section, "an integer from 1 up")
        return value

    def section(self, key: str) -> Mapping[str, Any]:
        """Return a mapping of the configuration."""
        value = self.config.get(key)
        if not isinstance(value, dict):
            self._refuse_value(key, self.config, "a mapping")
        return value

    def require_names(self, needed: Collection[str], optional: Collection[str] = ()) -> None:
        """Refuse tensors that are missing, and those whose meaning is not known."""
        if missing := sorted(set(needed) - self.tensors.keys()):
            self.refuse_tensors(f"lacks the tensor {missing[0]!r} that {self.config_path} asks for")
        if unknown := sorted(self.tensors.keys() - set(needed) - set(optional)):
            self.refuse_tensors(
                f"has a tensor {unknown[0][:80]!r} that its kind of dictionary does not have"
            )

    def array(self, place: Place, sizes: Mapping[str, int]) -> FloatArray:
        """Return a tensor as float32 with its axes in the order ``c``, ``v``."""
        stored = self.tensors[place.name]
        shape = tuple(sizes[axis] for axis in place.axes)
        if stored.dtype.kind != "f":
            self.refuse_tensors(f"has {place.name!r} as {stored.dtype}; it must be a float")
        if stored.shape != shape:
            self.refuse_tensors(
                f"has {place.name!r} of shape {stored.shape}; {self.config_path} asks for {shape}"
            )
        return self.narrow(repr(place.name), stored.T if place.axes == "vc" else stored)

    def narrow(self, name: str, values: npt.NDArray[Any]) -> FloatArray:
        """Return finite values as float32."""
        try:
            return as_float32(name, values)
        except SpecError as error:
            raise ModelFileError(f"{self.tensors_path}: {error}") from error

    def constant(self, name: str, n_components: int) -> FloatArray:
        """Return a tensor of one number, once for each component."""
        return np.full(n_components, self.array(Place(name, ""), {}))

    def weights(self, places: Collection[Place], sizes: Mapping[str, int]) -> Weights:
        """Return the tensors at four places as a dictionary's arrays."""
        return Weights(*(self.array(place, sizes) for place in places))

    def _refuse_value(self, key: str, section: Mapping[str, Any], allowed: str) -> NoReturn:
        if key not in section:
            self.refuse_config(f"lacks {key!r}")
        self.refuse_config(f"has {key!r} = {repr(section[key])[:80]}; it must be {allowed}")


def read_source(config_path: Path, tensors_path: Path) -> Source:
    """Read a configuration and a safetensors file after checking both.

    Raises
    ------
    ModelFileError
        If one is missing, unreadable, truncated or damaged, or the configuration is not
        a JSON mapping.
    """
    with opened(config_path) as file:
        content = file.read(_MAX_CONFIG_BYTES + 1)
        if len(content) > _MAX_CONFIG_BYTES:
            raise UnusableError(f"is longer than {_MAX_CONFIG_BYTES} bytes: no configuration is")
        try:
            config = read_json(content.decode("utf-8"))
        except ValueError as error:
            raise UnusableError(f"is not valid JSON: {error}") from error
        if not isinstance(config, dict):
            raise UnusableError("holds JSON, but not a mapping")
    return Source(config, read_tensors(tensors_path), config_path, tensors_path)


def unit_parts(source: Source, weights: Weights) -> Weights:
    """Scale parts to length 1 and codes by the lengths, so that reconstructions stay the same."""
    length = np.sqrt(np.einsum("cv,cv->c", weights.parts, weights.parts, dtype=np.float64))
    if empty := np.flatnonzero(length == 0).tolist():
        source.refuse_tensors(
            f"has a part of zeros (component {empty[0]}), which cannot be brought to length 1"
        )
    with np.errstate(over="ignore"):
        narrow = length.astype(np.float32)
        encoder_weight = weights.encoder_weight * narrow[:, None]
        encoder_bias = weights.encoder_bias * narrow
    return Weights(
        source.narrow("encoder weights by the lengths of parts", encoder_weight),
        source.narrow("encoder biases by the lengths of parts", encoder_bias),
        source.narrow("parts of length 1", weights.parts / narrow[:, None]),
        weights.bias,
    )


def made(
    source: Source,
    kind: str,
    weights: Weights,
    *,
    subtracts_bias: bool,
    n_active: float | None = None,
    threshold: FloatArray | None = None,
) -> Dictionary:
    """Put a dictionary together from what a folder holds.

    Other projects cut negative pre-activations off before or after they compare with a
    threshold, so one below zero is the same as zero.
    """
    n_components = weights.encoder_bias.size
    if n_active is not None and n_active > n_components:
        source.refuse_config(f"asks for {n_active} active components of {n_components}")
    return Dictionary(
        kind,
        *weights,
        centre=weights.bias.copy() if subtracts_bias else np.zeros_like(weights.bias),
        n_active=n_active,
        threshold=None if threshold is None else np.maximum(threshold, np.float32(0)),
    )
