"""Fitted models as files for other runtimes: raw rows go in, codes or rows come out."""

from __future__ import annotations

from autoencode.export.saelens import export_saelens
from autoencode.export.writing import PARTS, MissingExtraError, export_onnx

__all__ = ["PARTS", "MissingExtraError", "export_onnx", "export_saelens"]
