"""From torch modules to ONNX models."""

from __future__ import annotations

import contextlib
import logging
import operator
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from autoencode.bottlenecks import Plain
from autoencode.codec import Encoder
from autoencode.interfaces import Code, Context, Features

__all__ = ["Narrow", "traceable", "traced"]

_CHATTY = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")
_SMALLEST = 1e-30
_SUMS = (Tensor.add, torch.add, operator.add)


class Narrow(nn.Module):
    """A module that computes in float32 whatever precision its inputs have.

    Parameters
    ----------
    module : nn.Module
        In float32.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *given: Any) -> Any:
        """Return what the module does."""
        return self.module(*(x.float() if isinstance(x, Tensor) else x for x in given))


class _Traced(Plain):
    """A plain bottleneck whose codes cost nothing without asking how many rows there are.

    A number of rows that is asked for as a plain one is fixed by tracing.
    """

    def __init__(self, plain: Plain) -> None:
        nn.Module.__init__(self)
        self.latent_shape, self.projection = plain.latent_shape, plain.projection

    def forward(self, features: Features, context: Context) -> Code:
        """Return codes, and zeros."""
        z = self.projection(features)
        return Code(z, torch.zeros_like(z[:, 0]))


def traceable(encoder: Encoder) -> Encoder:
    """Return the encoder itself, changed so that its number of rows stays free."""
    if type(encoder.bottleneck) is Plain:
        encoder.bottleneck = _Traced(encoder.bottleneck)
    return encoder


class _KeepSmallest(TorchFunctionMode):
    """Raise numbers to a tiny one instead of adding it.

    Sums with a tiny number keep quotients of what is not negative from being 0/0. The
    exporter takes such a number for zero and drops the sum.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        added = args[1] if len(args) == 2 else None
        if func in _SUMS and isinstance(added, float) and 0 < added < _SMALLEST:
            return torch.maximum(args[0], torch.tensor(added, dtype=args[0].dtype))
        return func(*args, **(kwargs or {}))


class _Traceable(nn.Module):
    """Modules in a row."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first, *others = modules
        self.others = nn.Sequential(*others)

    def forward(self, *given: Tensor) -> Any:
        with _KeepSmallest():
            return self.others(self.first(*given))


def traced(
    modules: Sequence[nn.Module],
    examples: Sequence[Tensor],
    sources: Sequence[str],
    results: Sequence[str],
) -> Any:
    """Return the ONNX model of modules in a row.

    Parameters
    ----------
    modules : sequence of nn.Module
        From tensors to one tensor, and from that to the next; the last one may give a
        tuple of them.
    examples : sequence of Tensor
        Inputs; the first axis of each, ``"batch"``, is free.
    sources, results : sequence of str
        Names of the inputs and the outputs.

    Returns
    -------
    onnx.ModelProto
        With the weights inside.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Traceable(modules).eval(),
            tuple(examples),
            dynamo=True,
            verbose=False,
            input_names=list(sources),
            output_names=list(results),
            dynamic_shapes=(tuple({0: "batch"} for _ in examples),),
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about its own insides from the user."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
