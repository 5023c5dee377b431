"""Which components of a dictionary are active: the exact largest pre-activations.

The matrix of all pre-activations ``x @ weight.T + bias`` never exists as a whole: rows go
in pieces through one buffer. Where several values are equal at the
edge of the choice, which of them is taken is left open; the same input takes the same.
A component whose bias is ``-inf`` is never taken before the others and has value 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from autoencode.numerics import Products, matrix_products
from autoencode.sparse_products import code_gradient

__all__ = ["above", "are_products_rounded", "largest", "largest_of_batch"]

_PIECE = 2**22
_PIECE_ELSEWHERE = 2**27
_FEWEST_ROWS = 512
_GROUP = 8
_GROUPS_PER_CHOICE = 4
_SCREENED_PER_CHOICE = 3
_PARTITION_THREADS = 4
_MARGIN = 0.8
_GUESSING_ROWS = 32
_NORM_ROUNDING = 1.01


def are_products_rounded(device: torch.device) -> bool:
    """Say whether ``matrix_products("bf16")`` rounds on this device: with AMX it does."""
    amx: bool = torch.cpu._is_amx_tile_supported()
    return device.type == "cpu" and amx


@torch.no_grad()
def largest(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    count: int,
    *,
    sizes: Tensor | None = None,
    products: Products = "ieee",
    screened: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the ``count`` largest pre-activations of each row, negative ones as 0.

    Parameters
    ----------
    x : Tensor
        ``(batch, n_values)``.
    weight, bias : Tensor
        ``(n_components, n_values)`` and ``(n_components,)``.
    count : int
        1 to ``n_components``.
    sizes : Tensor, optional
        How many components each row may use, the first ones, ``(batch,)``. Entries
        beyond them have value 0.
    products : {"ieee", "bf16"}
        As in `autoencode.numerics.matrix_products`. The choice is that of float32 either way.
    screened : bool, optional
        Multiply in bfloat16 first, and only what may be among the largest in float32.
        Unless given: where products are ``"bf16"`` and the processor rounds them. Only for
        float32.

    Returns
    -------
    index : Tensor
        int64, ``(batch, count)``, in no order.
    value : Tensor
        ``(batch, count)``, at least 0.
    """
    if screened is None:
        screened = products == "bf16" and are_products_rounded(x.device)
    if screened and x.dtype == torch.float32:
        index, value = _screened(x, weight, bias, count, sizes)
    else:
        index, value = _in_pieces(x, weight, bias, count, sizes, products)
    return index, value.clamp_min_(0)


def _in_pieces(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    count: int,
    sizes: Tensor | None,
    products: Products,
) -> tuple[Tensor, Tensor]:
    index = torch.empty(len(x), count, dtype=torch.int64, device=x.device)
    value = x.new_empty(len(x), count)
    with matrix_products(products):
        for rows, before in _pieces(x, weight, bias, sizes):
            value[rows], index[rows] = _largest_of_rows(before, count)
    return index, value


def _pieces(
    x: Tensor, weight: Tensor, bias: Tensor, sizes: Tensor | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows and their pre-activations, which are overwritten by the next ones."""
    most = _PIECE if x.device.type == "cpu" else _PIECE_ELSEWHERE
    step = min(len(x), max(_FEWEST_ROWS, most // len(weight)))
    buffer = x.new_empty(step, len(weight))
    places = torch.arange(len(weight), device=x.device)
    for start in range(0, len(x), max(step, 1)):
        rows = slice(start, min(start + step, len(x)))
        before = buffer[: rows.stop - start]
        torch.addmm(bias, x[rows], weight.t(), out=before)
        if sizes is not None:
            before.masked_fill_(places >= sizes[rows, None], -torch.inf)
        yield rows, before


def _largest_of_rows(before: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return values and places of the largest of each row.

    In two levels: a value among the ``count`` largest lies in one of the ``count`` groups
    with the largest maxima, because every group before its own holds a larger value.
    """
    n_components = before.shape[1]
    n_groups = n_components // _GROUP
    if before.device.type != "cpu" or n_groups < _GROUPS_PER_CHOICE * count:
        index = _places_of_largest(before, count)
        return before.gather(1, index), index
    # Group j holds the columns j, j + n_groups, ...: its maximum is one pass over whole rows.
    folded = before[:, : _GROUP * n_groups].view(len(before), _GROUP, n_groups)
    best = _places_of_largest(folded.amax(1), count)
    firsts = torch.arange(0, _GROUP * n_groups, n_groups)
    places = (best[:, None, :] + firsts[:, None]).flatten(1)
    rest = torch.arange(_GROUP * n_groups, n_components)
    if len(rest):
        places = torch.cat((places, rest.expand(len(before), -1)), dim=1)
    candidates = before.gather(1, places)
    chosen = _places_of_largest(candidates, count)
    return candidates.gather(1, chosen), places.gather(1, chosen)


def _places_of_largest(values: Tensor, count: int) -> Tensor:
    """Return where each row's largest stand; NumPy's partition is the fastest for few threads."""
    if torch.get_num_threads() <= _PARTITION_THREADS and _is_for_numpy(values):
        rows = values.numpy()
        n_columns = rows.shape[1]
        level = np.partition(rows, n_columns - count, axis=1)[:, n_columns - count, None]
        flat = np.flatnonzero(rows >= level)
        # More than count where values are equal, fewer where some are not numbers.
        if len(flat) == count * len(rows):
            starts = np.arange(len(rows))[:, None] * n_columns
            places = flat.reshape(-1, count) - starts
            if (places[:, 0] >= 0).all() and (places[:, -1] < n_columns).all():
                return torch.from_numpy(places)
    return values.topk(count, dim=1, sorted=False).indices


def _is_for_numpy(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64)


def _screened(
    x: Tensor, weight: Tensor, bias: Tensor, count: int, sizes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Choose by rounded products, then by exact ones among all that may be largest.

    With E the most by which a screened value can differ from its float32 value, and s_k
    the count-th largest screened value, no component below s_k - 2E is among the count
    largest. Rows that keep more of the others than were looked at are multiplied again.
    """
    kept = min(len(weight), _SCREENED_PER_CHOICE * count)
    rounded_x, rounded_weight = x.bfloat16().float(), weight.bfloat16().float()
    error = _screening_error(x, weight, bias, rounded_x, rounded_weight)
    index = torch.empty(len(x), kept, dtype=torch.int64, device=x.device)
    sure = torch.empty(len(x), dtype=torch.bool, device=x.device)
    with matrix_products("bf16"):
        for rows, before in _pieces(rounded_x, rounded_weight, bias, sizes):
            screened, index[rows] = _largest_of_rows(before, kept)
            edge = screened.topk(count, dim=1, sorted=False).values.amin(1)
            sure[rows] = screened.amin(1) < edge - 2 * error[rows]
    if kept == len(weight):
        sure.fill_(True)
    exact = code_gradient(x, weight, index).add_(bias[index])
    if sizes is not None:
        exact.masked_fill_(index >= sizes[:, None], -torch.inf)
    value, chosen = exact.topk(count, dim=1, sorted=False)
    index = index.gather(1, chosen)
    again = (~sure).nonzero()[:, 0]
    if len(again):
        some = None if sizes is None else sizes[again]
        index[again], value[again] = _in_pieces(x[again], weight, bias, count, some, "ieee")
    return index, value


def _screening_error(
    x: Tensor, weight: Tensor, bias: Tensor, rounded_x: Tensor, rounded_weight: Tensor
) -> Tensor:
    """Bound how far a screened pre-activation is from its float32 value, for each row.

    |x·w - x'·w'| <= |x - x'| |w| + |x'| |w - w'| (Cauchy-Schwarz), and a float32 sum of
    m terms errs by at most m u / (1 - m u) times the sum of their sizes, u = 2^-24 (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5), in both products.
    The largest weights and biases stand for all; norms are enlarged by their own rounding.
    """
    norm = torch.linalg.vector_norm
    size_x, size_weight = norm(x, dim=1), norm(weight, dim=1).amax()
    size_rounded = norm(rounded_x, dim=1)
    wrong_x, wrong_weight = norm(x - rounded_x, dim=1), norm(weight - rounded_weight, dim=1).amax()
    size_bias = bias.abs().nan_to_num(posinf=0.0).amax()
    info = torch.finfo(torch.float32)
    # finfo.eps is 2 u; denormals may be flushed to zero in every term.
    summed = (x.shape[1] + 1) * info.eps
    largest_terms = (size_x + wrong_x) * (size_weight + wrong_weight) + size_bias
    rounding = wrong_x * size_weight + size_rounded * wrong_weight
    error: Tensor = _NORM_ROUNDING * (rounding + summed * largest_terms) + x.shape[1] * info.tiny
    return error


@torch.no_grad()
def largest_of_batch(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    count: float,
    threshold: float = 0.0,
    *,
    sizes: Tensor | None = None,
    products: Products = "ieee",
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ``count * batch`` largest positive pre-activations of the whole batch.

    (Bussmann, Leask and Nanda, BatchTopK Sparse Autoencoders, 2024.)

    Parameters
    ----------
    x, weight, bias, sizes, products
        As in `largest`.
    count : float
        How many of each row, on average.
    threshold : float
        About the smallest value that will be taken, such as the last batch's: only what is
        above 0.8 of it is looked at, unless too little is. The result does not depend on it,
        the time does. 0: guessed from the first rows.

    Returns
    -------
    row, index : Tensor
        int64, ``(n_entries,)``, in the order of rows.
    value : Tensor
        ``(n_entries,)``, all positive; fewer than ``count * batch`` where fewer are.
    """
    wanted = round(count * len(x))
    first = slice(_GUESSING_ROWS)
    if threshold <= 0 and wanted:
        some = None if sizes is None else sizes[first]
        threshold = _guessed(x[first], weight, bias, count, some)
    row, index, value = above(x, weight, bias, _MARGIN * threshold, sizes=sizes, products=products)
    if len(value) < wanted and threshold > 0:
        row, index, value = above(x, weight, bias, 0.0, sizes=sizes, products=products)
    if len(value) > wanted:
        kept = _places_of_largest(value[None], wanted)[0].sort().values
        row, index, value = row[kept], index[kept], value[kept]
    return row, index, value


def _guessed(x: Tensor, weight: Tensor, bias: Tensor, count: float, sizes: Tensor | None) -> float:
    """Return the level that ``count`` values per row reach, at least 0."""
    ((_, before),) = _pieces(x, weight, bias, sizes)
    smallest = before.flatten().topk(max(1, round(count * len(x))), sorted=False).values.amin()
    return max(0.0, float(smallest))


@torch.no_grad()
def above(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    threshold: float | Tensor,
    *,
    sizes: Tensor | None = None,
    products: Products = "ieee",
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all pre-activations above a threshold: what JumpReLU or a plain ReLU lets pass.

    Parameters
    ----------
    x, weight, bias, sizes, products
        As in `largest`.
    threshold : float or Tensor
        One for all components or one for each, ``(n_components,)``.

    Returns
    -------
    row, index, value : Tensor
        As from `largest_of_batch`.
    """
    if are_products_rounded(x.device):
        products = "ieee"
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with matrix_products(products):
        for rows, before in _pieces(x, weight, bias, sizes):
            row, index, value = _entries_above(before, threshold)
            found.append((row + rows.start, index, value))
    if not found:
        nothing = torch.empty(0, dtype=torch.int64, device=x.device)
        return nothing, nothing, x.new_empty(0)
    row, index, value = (torch.cat(part) for part in zip(*found, strict=True))
    return row, index, value


def _entries_above(before: Tensor, threshold: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if _is_for_numpy(before):
        # Several times faster than PyTorch's comparison and nonzero.
        level = threshold.detach().numpy() if isinstance(threshold, Tensor) else threshold
        flat = torch.from_numpy(np.flatnonzero(before.numpy() > level))
        row = flat.div(before.shape[1], rounding_mode="floor")
        return row, flat - row * before.shape[1], before.view(-1)[flat]
    row, index = (before > threshold).nonzero(as_tuple=True)
    return row, index, before[row, index]
