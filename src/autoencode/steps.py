"""The optimisation step behind one seam: rows in, gradients, updated weights.

`AutogradStep` serves every composition. `DenseStep` does the same for the commonest
one (mlp, plain bottleneck, no penalty but squared weights) by a backward pass
written out over preallocated buffers; `choose_step` takes it where it applies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from autoencode.architectures.mlp import MlpDecoder, MlpEncoder, dense_layers
from autoencode.autograd_step import AutogradStep
from autoencode.bottlenecks import Plain
from autoencode.drawn_steps import ManyDrawsStep, has_many_draws
from autoencode.flat_parameters import FlatParameters
from autoencode.guess import n_told
from autoencode.interfaces import Batch, Context, Likelihood
from autoencode.likelihoods import Gaussian
from autoencode.network import Network
from autoencode.numerics import Products
from autoencode.objective import Objective
from autoencode.penalties import L2
from autoencode.sparse_steps import SparseStep, is_plain_dictionary

__all__ = ["AutogradStep", "DenseStep", "Step", "Together", "choose_step"]


class Step(Protocol):
    """One update of the weights from one batch."""

    terms: tuple[str, ...]

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return every loss term, ``(n_terms,)``, detached."""


class Together:
    """One step of several networks from the same rows, whose weights are one piece of memory."""

    def __init__(
        self,
        networks: Sequence[Network],
        objective: Objective,
        flat: FlatParameters,
        products: Products,
    ) -> None:
        self.flat = flat
        self.steps = [
            _sparse_or_any(AutogradStep(network, objective, None), products) for network in networks
        ]
        self.terms = objective.terms(networks[0])

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients of all; return the mean of every loss term, ``(n_terms,)``."""
        self.flat.gradients.zero_()
        terms = [step(batch, target, context, weights) for step in self.steps]
        return torch.stack(terms).mean(0)


class DenseStep:
    """The same for an mlp with plain codes and no penalty but `L2`, backward by hand.

    Buffers are allocated once per number of rows; every product writes into one of
    them or straight into the flat gradient. Squared error is written out here, the slope
    of other likelihoods is their own.
    """

    def __init__(self, network: Network, objective: Objective, flat: FlatParameters) -> None:
        encoder, decoder, neck = network.encoder, network.decoder, network.bottleneck
        if not (isinstance(encoder, MlpEncoder) and isinstance(decoder, MlpDecoder)):
            raise TypeError("DenseStep needs an mlp")
        if not isinstance(neck, Plain):
            raise TypeError("DenseStep needs a plain bottleneck")
        if encoder.dropout or decoder.dropout:
            raise TypeError("DenseStep knows no dropout")
        self.terms = objective.terms(network)
        self.l2 = _only_l2(objective)
        self.flat = flat
        self.silu = isinstance(encoder.activation, nn.SiLU)
        self.encoder = [_Dense(layer) for layer in dense_layers(encoder.layers)]
        self.hidden = _optional(neck.projection.hidden)
        linear_in, linear_out = _optional(neck.projection.linear_path), decoder.linear_path
        assert linear_in is not None
        self.linear_in, self.linear_out = linear_in, _Dense(linear_out)
        self.decoder = [_Dense(layer) for layer in dense_layers(decoder.layers)]
        self.output = _optional(decoder.output)
        self.sized = decoder.sized
        self.likelihood = network.likelihood
        self.squared = _is_squared_error(network.likelihood)
        self.balanced = not neck.costs_nats
        layout, masked, noisy = network.likelihood.layout, network.masked, network.noisy
        self.n_told = n_told(layout, masked=masked, noisy=noisy)
        self.n_components = neck.latent_shape[0]
        self.constant = 0.5 * math.log(2 * math.pi) * linear_out.out_features
        self.buffers: dict[int, _Buffers] = {}

    @torch.no_grad()
    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return every loss term, ``(n_terms,)``, detached."""
        x = batch.x.flatten(1)
        work = self.buffers.get(len(x))
        if work is None:
            work = self.buffers[len(x)] = _Buffers(self, x)
        work.set_size(context.size)
        inputs = work.with_told(batch) if self.n_told else x
        z = self._encode(x, inputs, work)
        result = self._decode(z, work)
        if self.squared and target.observed is None:
            work.terms[0] = self._squared_error(x, inputs, result, target, weights, work)
            return self._penalised(work.terms)
        self.flat.gradients.zero_()
        nats, slope = self.likelihood.gradient(
            result[:, None], target, weights, balanced=self.balanced
        )
        # Gradients of the likelihood's own parameters are there already.
        slope = slope[:, 0].mul_(1.0 / len(x))
        self.likelihood_gradients(1.0 / len(x))
        self._backward(x, inputs, slope, work)
        work.terms[0] = nats / len(x)
        return self._penalised(work.terms)

    def _penalised(self, terms: Tensor) -> Tensor:
        """Add the slope and the value of squared weights: they are one piece of memory."""
        if self.l2 is not None:
            decayed = self.flat.values[: self.flat.n_decayed]
            self.flat.gradients[: self.flat.n_decayed].add_(decayed, alpha=2 * self.l2)
            terms[-1] = self.l2 * torch.dot(decayed, decayed)
        return terms

    def likelihood_gradients(self, factor: float) -> None:
        """Turn sums over rows into means."""
        for parameter in self.likelihood.parameters():
            _gradient(parameter).mul_(factor)

    def _squared_error(
        self,
        x: Tensor,
        inputs: Tensor,
        result: Tensor,
        target: Batch,
        weights: Tensor | None,
        work: _Buffers,
    ) -> Tensor:
        residual = result.sub_(target.x.flatten(1))
        scaled = residual
        if weights is not None:
            scaled = torch.mul(residual, weights[:, None], out=work.scaled)
        energy = torch.dot(residual.view(-1), scaled.view(-1)) * (0.5 / len(x))
        slope = scaled.mul_(1.0 / len(x)) if weights is not None else scaled
        self._backward(x, inputs, slope, work)
        if weights is None:
            self.flat.gradients.mul_(1.0 / len(x))
            return energy + self.constant
        return energy + self.constant * weights.mean()

    def _encode(self, x: Tensor, inputs: Tensor, work: _Buffers) -> Tensor:
        values = inputs
        for dense, before, after in zip(self.encoder, work.before, work.after, strict=True):
            dense.forward(values, before, dense.bias)
            values = self._activate(before, after)
        # The sum of both paths has one bias: that of the hidden part where there is one.
        z = self.linear_in.forward(x, work.z, (self.hidden or self.linear_in).bias)
        if self.hidden is not None:
            z.addmm_(values, self.hidden.transposed)
        return z if work.mask is None else z.mul_(work.mask)

    def _decode(self, z: Tensor, work: _Buffers) -> Tensor:
        result = self.linear_out.forward(z, work.result, (self.output or self.linear_out).bias)
        if self.output is None:
            return result
        values = z
        if self.sized:
            work.sized_input[:, : self.n_components] = z
            values = work.sized_input
        for dense, before, after in zip(self.decoder, work.d_before, work.d_after, strict=True):
            dense.forward(values, before, dense.bias)
            values = self._activate(before, after)
        return result.addmm_(values, self.output.transposed)

    def _activate(self, before: Tensor, after: Tensor) -> Tensor:
        if self.silu:
            return torch.ops.aten.silu.out(before, out=after)  # type: ignore[no-any-return]
        return torch.clamp_min(before, 0, out=after)

    def _activate_backward(self, gradient: Tensor, before: Tensor) -> Tensor:
        backward = torch.ops.aten
        if self.silu:
            backward.silu_backward.grad_input(gradient, before, grad_input=gradient)
        else:
            backward.threshold_backward.grad_input(gradient, before, 0, grad_input=gradient)
        return gradient

    def _backward(self, x: Tensor, inputs_x: Tensor, gradient: Tensor, work: _Buffers) -> None:
        z, grad_z = work.z, work.grad_z
        self.linear_out.backward(z, gradient, work.ones, grad_z)
        if self.output is not None:
            last = work.d_after[-1]
            onward = self.output.backward(last, gradient, work.ones, work.d_gradient[-1])
            first = work.sized_input if self.sized else z
            inputs = [first, *work.d_after[:-1]]
            for place in reversed(range(len(self.decoder))):
                onward = self._activate_backward(onward, work.d_before[place])
                below = work.d_gradient[place - 1] if place else None
                dense = self.decoder[place]
                dense.backward(inputs[place], onward, work.ones, below)
                if below is None:
                    grad_z.addmm_(onward, dense.weight[:, : self.n_components])
                else:
                    onward = below
        if work.mask is not None:
            grad_z.mul_(work.mask)
        self._encoder_backward(x, inputs_x, grad_z, work)

    def _encoder_backward(
        self, x: Tensor, inputs_x: Tensor, grad_z: Tensor, work: _Buffers
    ) -> None:
        self.linear_in.backward(x, grad_z, work.ones, None)
        if self.hidden is None:
            return
        onward = self.hidden.backward(work.after[-1], grad_z, work.ones, work.gradient[-1])
        inputs = [inputs_x, *work.after[:-1]]
        for place in reversed(range(len(self.encoder))):
            self._activate_backward(onward, work.before[place])
            below = work.gradient[place - 1] if place else None
            self.encoder[place].backward(inputs[place], onward, work.ones, below)
            if below is not None:
                onward = below


class _Dense:
    """One linear layer's weights and gradients, as plain tensors."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight = layer.weight.detach()
        self.transposed = self.weight.t()
        self.weight_gradient = _gradient(layer.weight)
        bias: Tensor | None = layer.bias
        self.bias = None if bias is None else bias.detach()
        self.bias_gradient = None if bias is None else _gradient(bias)

    def forward(self, x: Tensor, out: Tensor, bias: Tensor | None) -> Tensor:
        if bias is None:
            return torch.mm(x, self.transposed, out=out)
        return torch.addmm(bias, x, self.transposed, out=out)

    def backward(self, x: Tensor, gradient: Tensor, ones: Tensor, below: Tensor | None) -> Any:
        torch.mm(gradient.t(), x, out=self.weight_gradient)
        if self.bias_gradient is not None:
            torch.mv(gradient.t(), ones, out=self.bias_gradient)
        return None if below is None else torch.mm(gradient, self.weight, out=below)


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise TypeError("DenseStep needs flat parameters with gradients in place")
    return parameter.grad


def _optional(layer: nn.Linear | None) -> _Dense | None:
    return None if layer is None else _Dense(layer)


class _Buffers:
    """Work space of `DenseStep` for one number of rows."""

    def __init__(self, step: DenseStep, x: Tensor) -> None:
        rows = len(x)

        def empty(width: int) -> Tensor:
            return torch.empty(rows, width, dtype=x.dtype, device=x.device)

        def layer_buffers(layers: Sequence[_Dense]) -> list[Tensor]:
            return [empty(len(dense.weight)) for dense in layers]

        self.ones = torch.ones(rows, dtype=x.dtype, device=x.device)
        self.before, self.after, self.gradient = (layer_buffers(step.encoder) for _ in range(3))
        self.d_before, self.d_after, self.d_gradient = (
            layer_buffers(step.decoder) for _ in range(3)
        )
        self.z, self.grad_z = empty(step.n_components), empty(step.n_components)
        n_outputs = len(step.linear_out.weight)
        self.result, self.scaled = empty(n_outputs), empty(n_outputs)
        self.sized_input = torch.ones(
            rows, 2 * step.n_components if step.sized else 0, dtype=x.dtype, device=x.device
        )
        self.n_components = step.n_components
        self.mask: Tensor | None = None
        self.size: Tensor | None = None
        self.terms = torch.zeros(len(step.terms), dtype=x.dtype, device=x.device)
        self.n_values = x.shape[1]
        self.inputs = empty(self.n_values + step.n_told if step.n_told else 0)

    def with_told(self, batch: Batch) -> Tensor:
        """Return values and what the encoder is told, side by side."""
        self.inputs[:, : self.n_values] = batch.x.flatten(1)
        self.inputs[:, self.n_values :] = 0.0 if batch.told is None else batch.told
        return self.inputs

    def set_size(self, size: Tensor | None) -> None:
        """Keep the mask of the given sizes; a step usually repeats the last ones."""
        if size is self.size:
            return
        self.size = size
        if size is None:
            self.mask = None
            self.sized_input[:, self.n_components :] = 1.0
            return
        places = torch.arange(self.n_components, device=size.device)
        self.mask = (places < size[:, None]).to(self.z.dtype)
        if self.sized_input.shape[1]:
            self.sized_input[:, self.n_components :] = self.mask


def choose_step(
    networks: Sequence[Network],
    objective: Objective,
    flat: FlatParameters,
    products: Products = "ieee",
    rows_at_once: int | None = None,
    *,
    halved: bool = False,
) -> Step:
    """Return the fastest step that computes exactly this loss of one network, or of several.

    The choice depends on the composition alone, so results do not depend on timing.

    Parameters
    ----------
    networks : sequence of Network
        What learns.
    objective : Objective
        The loss of each.
    flat : FlatParameters
        Of all of them.
    products : str
        How the encoder of a dictionary multiplies.
    rows_at_once, halved
        As of `AutogradStep`, for one network.
    """
    network = networks[0]
    if len(networks) > 1:
        return Together(networks, objective, flat, products)
    dense = (
        isinstance(network.encoder, MlpEncoder)
        and isinstance(network.decoder, MlpDecoder)
        and type(network.bottleneck) is Plain
        and network.likelihood.n_params == 1
        and network.selection is None
        and not network.encoder.dropout
        and (not objective.penalties or _only_l2(objective) is not None)
    )
    if dense:
        return DenseStep(network, objective, flat)
    reference = AutogradStep(network, objective, flat, rows_at_once, halved=halved)
    return _sparse_or_any(reference, products)


def _sparse_or_any(reference: AutogradStep, products: Products) -> Step:
    network, objective = reference.network, reference.objective
    if has_many_draws(network, objective):
        return ManyDrawsStep(network, objective, reference.flat)
    if not is_plain_dictionary(network, penalised=bool(objective.penalties)):
        return reference
    return SparseStep(network, reference, products)


def _only_l2(objective: Objective) -> float | None:
    """Return the weight of squared weights if they are the only penalty."""
    if len(objective.penalties) != 1 or type(objective.penalties[0]) is not L2:
        return None
    return float(objective.penalties[0].weight)


def _is_squared_error(likelihood: Likelihood) -> bool:
    return type(likelihood) is Gaussian and likelihood.scale == 1.0
