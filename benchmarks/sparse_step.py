"""A training step of a top-k dictionary over sparse codes, beside the same over dense ones.

Rows are sums of a few planted parts. Every contestant starts from the same weights, sees
the same batches and makes the same step: largest components, reconstruction, squared error,
gradients; in the whole step also the projection of the parts' gradient, fused Adam and parts
of norm 1 again. Seconds are those on the clock, and the processor's, which neighbours disturb
less. Then encoding beside orthogonal matching pursuit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from sklearn.decomposition import sparse_encode
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import normalize

from autoencode.numerics import choose_products, matrix_products
from autoencode.sparse_coding import (
    CodingGradients,
    project_off_parts,
    renormalize_parts,
    sparse_coding,
    sparse_gradients,
)
from autoencode.sparse_selection import largest
from harness import alternate, finish, median, parser, print_table, ratio

# Rows of a batch, values, components, active components.
WHOLE_STEP = (1024, 768, 4096, 32)
TWO_PASSES = (2048, 512, 8192, 32)
TINY = (64, 32, 512, 4)
BATCHES = 4
LEARNING_RATE = 1e-4
NAMES = ("weight", "weight_bias", "parts", "bias")


def planted(n_rows: int, n_values: int, n_active: int) -> Tensor:
    """Return rows that are sums of ``n_active`` of ``2 * n_values`` planted parts, and noise."""
    rng = torch.Generator().manual_seed(0)
    parts = normalize(torch.randn(2 * n_values, n_values, generator=rng), dim=1)
    chosen = torch.rand(n_rows, len(parts), generator=rng).topk(n_active, dim=1).indices
    amounts = torch.zeros(n_rows, len(parts))
    amounts.scatter_(1, chosen, 0.5 + torch.rand(chosen.shape, generator=rng))
    return amounts @ parts + 0.02 * torch.randn(n_rows, n_values, generator=rng)


class Contestant:
    """A dictionary's weights and gradients in two flat tensors, and its optimizer.

    Parameters
    ----------
    shape : tuple of int
        Rows of a batch, values, components, active components.
    """

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        _, n_values, n_components, self.count = shape
        rng = torch.Generator().manual_seed(1)
        parts = normalize(torch.randn(n_components, n_values, generator=rng), dim=1)
        start = (parts, torch.zeros(n_components), parts, torch.zeros(n_values))
        self.flat = torch.nn.Parameter(torch.cat([part.flatten() for part in start]))
        self.flat.grad = torch.zeros_like(self.flat)
        lengths = [part.numel() for part in start]
        shapes = [part.shape for part in start]
        values, gradients = self.flat.detach().split(lengths), self.flat.grad.split(lengths)
        self.weights = [part.view(s) for part, s in zip(values, shapes, strict=True)]
        self.out = CodingGradients(
            *(part.view(s) for part, s in zip(gradients, shapes, strict=True))
        )
        self.adam = torch.optim.Adam([self.flat], lr=LEARNING_RATE, fused=True)

    def gradients(self, x: Tensor) -> None:
        """Write the gradients of this batch."""
        raise NotImplementedError

    def step(self, x: Tensor) -> None:
        """Make a whole step."""
        self.gradients(x)
        self.adam.step()
        renormalize_parts(self.weights[2])


class Dense(Contestant):
    """The tutorial's way: a dense code matrix and autograd, over the same flat tensors."""

    products = "ieee"

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        super().__init__(shape)
        for part, gradient in zip(self.weights, self.out, strict=True):
            part.requires_grad_().grad = gradient

    def loss(self, x: Tensor) -> Tensor:
        """Return half the squared error, averaged over rows."""
        weight, weight_bias, parts, bias = self.weights
        before = torch.addmm(weight_bias, x, weight.t())
        value, index = before.topk(self.count, dim=1, sorted=False)
        code = torch.zeros_like(before).scatter(1, index, value.relu())
        return 0.5 * (torch.addmm(bias, code, parts) - x).square().sum(1).mean()

    def gradients(self, x: Tensor) -> None:
        """Write the gradients of this batch."""
        self.flat.grad.zero_()
        with matrix_products(self.products):
            self.loss(x).backward()
        project_off_parts(self.out.parts, self.weights[2])


class DenseOneDnn(Dense):
    """The same with the products that the package takes for wide layers."""

    products = "bf16"


class SparseAutograd(DenseOneDnn):
    """Ours through autograd."""

    def loss(self, x: Tensor) -> Tensor:
        """Return half the squared error, averaged over rows."""
        result, _, _ = sparse_coding(x, *self.weights, self.count, None, self.products)
        return 0.5 * (result - x).square().sum(1).mean()


class Sparse(Contestant):
    """Ours, written out."""

    def gradients(self, x: Tensor) -> None:
        """Write the gradients of this batch."""
        weight, weight_bias, parts, bias = self.weights
        products = choose_products((x.shape[1], len(weight)), len(x), x.device)
        index, value = largest(x, weight, weight_bias, self.count, products=products)
        sparse_gradients(x, x, None, parts, bias, index, value, self.out)


CONTESTANTS: dict[str, type[Contestant]] = {
    "dense": Dense,
    "dense, oneDNN": DenseOneDnn,
    "ours, autograd": SparseAutograd,
    "ours": Sparse,
}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Keep PyTorch and NumPy to so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    with threadpool_limits(count):
        yield
    torch.set_num_threads(before)


def timed(act: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - clock, time.process_time() - processor


def differences(shape: tuple[int, int, int, int], x: Tensor) -> dict[str, float]:
    """Return how far each contestant's first gradients are from the dense ones, relatively."""
    gradients: dict[str, CodingGradients] = {}
    for name, make in CONTESTANTS.items():
        contestant = make(shape)
        contestant.gradients(x)
        gradients[name] = contestant.out
    return {
        name: max(
            float((mine - reference).abs().max() / reference.abs().max())
            for mine, reference in zip(found, gradients["dense"], strict=True)
        )
        for name, found in gradients.items()
    }


def compare(
    title: str, shape: tuple[int, int, int, int], arguments: argparse.Namespace, *, whole: bool
) -> dict[str, Any]:
    """Time every contestant in alternated rounds; print one table."""
    batches = planted(BATCHES * shape[0], *shape[1::2]).split(shape[0])
    off = differences(shape, batches[0])
    made = {name: make(shape) for name, make in CONTESTANTS.items()}

    def act(name: str, number: int) -> None:
        x = batches[number % BATCHES]
        (made[name].step if whole else made[name].gradients)(x)

    for name in made:
        act(name, 0)
    found = alternate(
        list(made), arguments.rounds, lambda name, number: timed(lambda: act(name, number))
    )
    clock = {name: [pair[0] for pair in pairs] for name, pairs in found.items()}
    processor = {name: [pair[1] for pair in pairs] for name, pairs in found.items()}
    rows = [
        [
            name,
            1e3 * (median(clock[name]) or 0.0),
            ratio(clock["dense"], clock[name]),
            1e3 * (median(processor[name]) or 0.0),
            ratio(processor["dense"], processor[name]),
            off[name],
        ]
        for name in made
    ]
    columns = ["", "ms", "x faster", "processor ms", "x faster", "gradients off by"]
    print_table(title, columns, rows)
    return {"seconds": clock, "processor seconds": processor, "gradients off by": off}


def encoding(shape: tuple[int, int, int, int], arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare rows per second of ours with orthogonal matching pursuit's; print one table."""
    _, n_values, n_components, count = shape
    n_rows = (16 * shape[0], max(8, shape[0] // 16))
    x = planted(n_rows[0], n_values, count)
    parts = Contestant(shape).weights[2]
    bias = torch.zeros(n_components)
    some, atoms = x[: n_rows[1]].double().numpy(), parts.double().numpy()
    # What pursuit needs of the dictionary alone is not counted.
    gram = atoms @ atoms.T
    acts: dict[str, tuple[int, Callable[[], Any]]] = {
        "ours": (n_rows[0], lambda: largest(x, parts, bias, count)),
        "scikit-learn's pursuit": (
            n_rows[1],
            lambda: sparse_encode(some, atoms, gram=gram, algorithm="omp", n_nonzero_coefs=count),
        ),
    }
    found = alternate(
        list(acts), arguments.rounds, lambda name, _: acts[name][0] / timed(acts[name][1])[0]
    )
    rows = [[name, median(rates), ratio(found["ours"], rates)] for name, rates in found.items()]
    title = f"encoding, {n_values} values, {n_components} components, {count} active"
    print_table(title, ["", "rows per second", "ours is x faster"], rows)
    return {"rows per second": found}


def main() -> None:
    """Run everything on one thread and on two, or on as many as asked for."""
    options = parser(__doc__.splitlines()[0], rounds=7)
    arguments = options.parse_args()
    numbers = (arguments.threads,) if arguments.threads else (1, 2)
    whole, two = (TINY, TINY) if arguments.quick else (WHOLE_STEP, TWO_PASSES)
    result: dict[str, Any] = {}
    for number in numbers:
        told = f"{number} thread" + ("s" if number > 1 else "")
        with threads(number):
            for title, shape, is_whole in (
                ("whole step", whole, True),
                ("forward and backward", two, False),
            ):
                sizes = "{} x {}, {} components, {} active".format(*shape)
                name = f"{title}, {sizes}, {told}"
                result[name] = compare(name, shape, arguments, whole=is_whole)
            result[f"encoding, {told}"] = encoding(whole, arguments)
    finish("sparse_step", arguments, result)


if __name__ == "__main__":
    main()
