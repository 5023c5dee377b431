"""From torch modules to ONNX models."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Narrow", "traced"]

_CHATTY = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")


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


class _InARow(nn.Module):
    """Modules in a row, the first of which takes several tensors."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first, *others = modules
        self.others = nn.Sequential(*others)

    def forward(self, *given: Tensor) -> Any:
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
            _InARow(modules).eval(),
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
