"""Models of tables as ONNX: every column is an input or an output of its own.

What torch traces takes and gives numbers and the places of levels. Around that, nodes
turn levels, text among them, into their places and places into levels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autoencode.codec import Decoder, Encoder
from autoencode.export.graph import Narrow, traced
from autoencode.preprocess.column_kinds import Block
from autoencode.preprocess.column_kinds.port import MISSING_INTEGER, Port
from autoencode.preprocess.columns import Schema
from autoencode.state import State

__all__ = ["End", "table_graph"]

# What LabelEncoder needs to look up doubles.
_LOOKUP_DOMAIN, _LOOKUP_VERSION = "ai.onnx.ml", 4

Name = tuple[str, Port | None]


class End(NamedTuple):
    """A column where it enters or leaves a graph.

    Attributes
    ----------
    name : str
        Of the graph's input or output: the column's, where that is free.
    block : Block
        The column.
    port : Port
        Its tensor.
    """

    name: str
    block: Block
    port: Port

    def description(self) -> dict[str, Any]:
        """Return what a caller needs to know, as plain JSON values; ``"NaN"`` is text."""
        missing = "NaN" if self.port.type == "double" else self.port.missing
        return {
            "name": self.name,
            "column": self.block.name,
            "type": self.port.type,
            "unit": self.port.unit,
            "missing": missing,
        }


class _Inward(nn.Module):
    """From columns to codes in float32; up to the network's layers in float64."""

    def __init__(self, blocks: Sequence[Block], encoder: Encoder) -> None:
        super().__init__()
        self.blocks, self.encoder = blocks, encoder

    def forward(self, *given: Tensor) -> Tensor:
        pairs = zip(self.blocks, given, strict=True)
        values = [block.spread(block.cells_from_port(column)) for block, column in pairs]
        codes: Tensor = self.encoder(torch.cat(values, 1))
        return codes.float()


class _Outward(nn.Module):
    """From codes to columns; levels leave as places, missing ones as the next place."""

    def __init__(self, schema: Schema, decoder: Decoder) -> None:
        super().__init__()
        self.spans = [span for span in schema.spans if span.block.port is not None]
        self.decoder = decoder

    def forward(self, codes: Tensor) -> tuple[Tensor, ...]:
        values = self.decoder(codes.double())
        return tuple(self._column(span.block, values[:, span.values]) for span in self.spans)

    @staticmethod
    def _column(block: Block, values: Tensor) -> Tensor:
        found = block.port_from_cells(block.gather(values))
        port = block.port
        if port is None or port.levels is None:
            return found
        return torch.where(found < 0, len(port.levels), found)


def table_graph(
    state: State, schema: Schema, part: str
) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    """Return the ONNX model of a fitted model of tables.

    Parameters
    ----------
    state : State
        The model.
    schema : Schema
        What its columns are.
    part : {"encoder", "decoder", "autoencoder"}
        Columns to codes, codes to columns, or both in a row.

    Returns
    -------
    model : onnx.ModelProto
        Columns are tensors ``(batch,)``.
    descriptions : dict of str to list of dict
        Of the columns that are ``inputs``, and of those that are ``outputs``.

    Raises
    ------
    DataError
        If a column cannot enter or leave a graph.
    """
    parts: list[nn.Module] = []
    inputs: list[End] = []
    outputs: list[End] = []
    if part != "decoder":
        used = [block for block in schema.blocks if block.n_values]
        inputs = _ends(used, "", {"codes"})
        parts.append(_Inward(used, _narrowed_encoder(state)))
    if part != "encoder":
        ending = "_reconstruction" if part == "autoencoder" else ""
        outputs = _ends(schema.blocks, ending, {"codes", *(end.name for end in inputs)})
        parts.append(_Outward(schema, _narrowed_decoder(state)))
    ends = {"inputs": inputs, "outputs": outputs}
    descriptions = {key: [end.description() for end in found] for key, found in ends.items()}
    proto = _graph(parts, inputs, outputs, state.n_components)
    return proto, {key: found for key, found in descriptions.items() if found}


def _ends(blocks: Iterable[Block], ending: str, taken: set[str]) -> list[End]:
    """Give each column that has a port its end, with a name that nothing else has."""
    found, taken = [], set(taken)
    for block in blocks:
        port, name = block.port, block.name + ending or "_"
        if port is None:
            continue
        while name in taken:
            name += "_"
        taken.add(name)
        found.append(End(name, block, port))
    return found


def _graph(
    parts: Sequence[nn.Module], inputs: list[End], outputs: list[End], n_components: int
) -> Any:
    """Trace modules under names of their own, then join them to the columns."""
    from onnx import compose

    examples = [torch.zeros(3, dtype=_inner_type(end.port)) for end in inputs]
    proto = traced(
        parts,
        examples or [torch.zeros(3, n_components)],
        [f"input {place}" for place in range(len(inputs) or 1)],
        [f"output {place}" for place in range(len(outputs) or 1)],
    )
    codes: list[Name] = [("codes", None)]
    sources: list[Name] = [(end.name, end.port) for end in inputs] or codes
    results: list[Name] = [(end.name, end.port) for end in outputs] or codes
    inside = "inside/"
    while any(name.startswith(inside) for name, _ in (*sources, *results)):
        inside += "inside/"
    proto = compose.add_prefix(proto, inside)
    _join(proto, sources, results)
    return proto


def _narrowed_encoder(state: State) -> Encoder:
    """Return an encoder that scales and fills in float64 and runs its layers in float32."""
    wide = copy.deepcopy(state.fitted(torch.float64).encoder)
    narrow = state.fitted(torch.float32).encoder
    wide.encoder, wide.bottleneck = Narrow(narrow.encoder), narrow.bottleneck
    return wide


def _narrowed_decoder(state: State) -> Decoder:
    wide = copy.deepcopy(state.fitted(torch.float64).decoder)
    narrow = state.fitted(torch.float32).decoder
    wide.decoder, wide.likelihood = Narrow(narrow.decoder), narrow.likelihood
    return wide


def _inner_type(port: Port) -> torch.dtype:
    """Return what torch sees of a column: levels are places."""
    return torch.float64 if port.type == "double" and port.levels is None else torch.int64


def _join(proto: Any, inputs: Sequence[Name], outputs: Sequence[Name]) -> None:
    """Give a traced model its names, and put the nodes of its columns before and behind.

    Parameters
    ----------
    proto : onnx.ModelProto
        Changed in place.
    inputs, outputs : sequence of (str, Port or None)
        Name and port of each; without a port it stays what it is.
    """
    from onnx import helper

    graph = proto.graph
    before, behind = [], []
    for value, (name, port) in zip(graph.input, inputs, strict=True):
        attributes = {} if port is None or port.levels is None else _lookup(port)
        operation = "LabelEncoder" if attributes else "Identity"
        domain = _LOOKUP_DOMAIN if attributes else ""
        node = helper.make_node(operation, [name], [value.name], domain=domain, **attributes)
        before.append(node)
        _rename(value, name, port)
    for value, (name, port) in zip(graph.output, outputs, strict=True):
        if port is None or port.levels is None:
            behind.append(helper.make_node("Identity", [value.name], [name]))
        else:
            levels = _tensor(f"{value.name} levels", port.type, [*port.levels, port.missing])
            graph.initializer.append(levels)
            behind.append(helper.make_node("Gather", [levels.name, value.name], [name]))
        _rename(value, name, port)
    nodes = [*before, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)
    proto.opset_import.append(helper.make_opsetid(_LOOKUP_DOMAIN, _LOOKUP_VERSION))


def _rename(value: Any, name: str, port: Port | None) -> None:
    value.name = name
    if port is not None:
        value.type.tensor_type.elem_type = _element(port.type)


def _lookup(port: Port) -> dict[str, Any]:
    """Return the table from levels to places: an unseen one has the next place."""
    levels = port.levels or ()
    return {
        "keys_tensor": _tensor("levels", port.type, [*levels, port.missing]),
        "values_tensor": _tensor("places", "int64", [*range(len(levels)), MISSING_INTEGER]),
        "default_tensor": _tensor("unseen", "int64", [len(levels)]),
    }


def _tensor(name: str, kind: str, values: Sequence[Any]) -> Any:
    from onnx import helper

    plain: Any = [x.encode() if isinstance(x, str) else x for x in values]
    return helper.make_tensor(name, _element(kind), [len(plain)], plain)


def _element(kind: str) -> Any:
    from onnx import TensorProto

    return getattr(TensorProto, kind.upper())
