"""Threads and matrix products: set inside a context, by fixed rules, always restored.

Whatever is decided here is a function of shapes, dtype and processor alone, never of
a measurement, so the same fit gives the same bits on one machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

__all__ = [
    "Products",
    "choose_products",
    "choose_threads",
    "has_fast_bfloat16",
    "has_fast_products",
    "matrix_products",
    "threads",
]

Products = str
_THREADED_FLOPS = 200e6
_WIDE = 256
_WIDE_BATCH = 64


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Run with ``count`` threads inside operators, then restore the number before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(flops_per_step: float, limit: int | str) -> int:
    """Return how many threads pay: one for small steps, all that are allowed for large.

    Parameters
    ----------
    flops_per_step : float
        Floating-point operations in the products of one step.
    limit : int or "auto"
        The most to use; "auto" is PyTorch's own number.

    Returns
    -------
    int
        At least 1.
    """
    most = torch.get_num_threads() if isinstance(limit, str) else limit
    return most if flops_per_step >= _THREADED_FLOPS else 1


def has_fast_products() -> bool:
    """Say whether oneDNN's products are to replace PyTorch's default on wide layers.

    True on x86-64 processors with AVX2 or more: with AMX the product is taken in bfloat16
    (float32 in, float32 out, 8 bits of mantissa inside); without it, it stays float32.
    """
    return torch.backends.mkldnn.is_available() and (
        torch.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2")
    )


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether a device multiplies in bfloat16 faster than in float32, by what it is.

    Graphics processors of compute capability 8.0 or more, and processors with AMX or
    AVX512-BF16; elsewhere it is emulated, and slow.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    known = getattr(torch.cpu, "get_capabilities", None)
    if device.type != "cpu" or known is None or not torch.backends.mkldnn.is_available():
        return False
    found = known()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


@contextlib.contextmanager
def matrix_products(kind: Products) -> Iterator[None]:
    """Multiply float32 matrices in the given way (``"ieee"`` or ``"bf16"``), then restore."""
    if not torch.backends.mkldnn.is_available():
        yield
        return
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = kind
    try:
        yield
    finally:
        settings.fp32_precision = before


def choose_products(widths: tuple[int, ...], batch_size: int, device: torch.device) -> Products:
    """Return ``"bf16"`` where wide layers gain by oneDNN's product, else ``"ieee"``.

    Parameters
    ----------
    widths : tuple of int
        Number of values, hidden layers, code: from the data to the bottleneck.
    batch_size : int
        Rows per step.
    device : torch.device
        Only the CPU has a choice.
    """
    wide = min(widths[:2]) >= _WIDE if len(widths) > 1 else False
    fast = device.type == "cpu" and has_fast_products()
    return "bf16" if fast and wide and batch_size >= _WIDE_BATCH else "ieee"
