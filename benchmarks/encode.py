"""Rows per second of ``transform``, beside PCA, onnxruntime and one big torch call.

All encode the same table from float32 rows in memory to codes in memory. The network
has the same widths everywhere; ours has a linear path and the data's scaling on top of
it. ``torch, our encoder`` is the very module of the fitted model in one call.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import (
    alternate,
    finish,
    median,
    parser,
    print_table,
    ratio,
    request_of_parent,
    run_child,
)
from ours import encoder_of, first_batch_error
from peers import Task, TutorialTorch
from workloads import WIDTHS, Workload, load

Encode = Callable[[], Any]
OURS, ONE_CALL = "autoencode transform", "torch, our encoder"


def ours(workload: Workload, threads: int | None) -> dict[str, Encode]:
    """Return our ``transform`` and one call of the same encoder, from one fit."""
    import torch

    task = Task(workload.train, workload.held_out, workload.widths, epochs=2, threads=threads)
    model, encoder = encoder_of(task)
    rows = torch.from_numpy(workload.train)
    difference = first_batch_error(model, encoder, workload.train)
    print(f"transform and module differ by at most {difference:.3g}", file=sys.stderr)

    def one_call() -> Any:
        with torch.inference_mode():
            return encoder(rows).numpy()

    return {OURS: lambda: model.transform(workload.train), ONE_CALL: one_call}


def pca(workload: Workload, threads: int | None) -> dict[str, Encode]:
    """Return scikit-learn's PCA with as many components."""
    from sklearn.decomposition import PCA

    model = PCA(workload.widths[-1], random_state=0).fit(workload.train[:10_000])
    return {"sklearn PCA": lambda: model.transform(workload.train)}


def torch_plain(workload: Workload, threads: int | None) -> dict[str, Encode]:
    """Return a plain encoder in one call, as everybody does it."""
    import torch

    encoder = _plain_encoder(workload.widths)
    rows = torch.from_numpy(workload.train)

    def one_call() -> Any:
        with torch.no_grad():
            return encoder(rows).numpy()

    return {"torch, plain encoder": one_call}


def onnxruntime_plain(workload: Workload, threads: int | None) -> dict[str, Encode]:
    """Return a plain encoder in onnxruntime: one call, and calls of 2,048 rows."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        _onnx_bytes(workload.widths), options, providers=["CPUExecutionProvider"]
    )
    rows = workload.train
    codes = np.empty((len(rows), workload.widths[-1]), np.float32)

    def in_chunks() -> Any:
        for start in range(0, len(rows), 2048):
            part = rows[start : start + 2048]
            codes[start : start + len(part)] = session.run(None, {"x": part})[0]
        return codes

    return {
        "onnxruntime, one call": lambda: session.run(None, {"x": rows})[0],
        "onnxruntime, chunks": in_chunks,
    }


def _plain_encoder(widths: tuple[int, ...]) -> Any:
    import torch

    torch.manual_seed(0)
    return TutorialTorch.network(widths)[: 2 * len(widths) - 3].eval()


def _onnx_bytes(widths: tuple[int, ...]) -> bytes:
    """Return the plain encoder as an ONNX graph: Gemm and Relu."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, weights, value = [], [], "x"
    for place, layer in enumerate(_plain_encoder(widths)):
        output = f"value{place}"
        if hasattr(layer, "weight"):
            for kind in ("weight", "bias"):
                array = getattr(layer, kind).detach().numpy()
                weights.append(numpy_helper.from_array(array, f"{kind}{place}"))
            inputs = [value, f"weight{place}", f"bias{place}"]
            nodes.append(helper.make_node("Gemm", inputs, [output], transB=1))
        else:
            nodes.append(helper.make_node("Relu", [value], [output]))
        value = output
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        for name, width in (("x", widths[0]), (value, widths[-1]))
    ]
    graph = helper.make_graph(nodes, "encoder", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()  # type: ignore[no-any-return]


GROUPS = {"ours": ours, "pca": pca, "torch": torch_plain, "onnxruntime": onnxruntime_plain}


def child() -> None:
    """Time one group's ways of encoding, alternated, in this process."""
    request = request_of_parent()
    workload = load(request["workload"], Path(request["data"]), quick=request["quick"])
    ways = GROUPS[request["group"]](workload, request["threads"])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(request["repeats"] + 2):
        for name, encode in ways.items():
            started = time.perf_counter()
            encode()
            if repeat >= 2:
                seconds[name].append(time.perf_counter() - started)
    rates = {name: len(workload.train) / (median(values) or 1) for name, values in seconds.items()}
    print("\n" + json.dumps({"rows_per_second": rates, "seconds": seconds}))


def one_workload(workload: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all groups in alternated rounds; print one table."""

    def measure(group: str, number: int) -> dict[str, Any]:
        request = {
            "group": group,
            "workload": workload,
            "quick": arguments.quick,
            "data": str(arguments.data.resolve()),
            "threads": arguments.threads,
            "repeats": 3 if arguments.quick else arguments.repeats,
        }
        return run_child(Path(__file__).name, request, {}, threads=arguments.threads, limit=900)

    answers = alternate(list(GROUPS), arguments.rounds, measure)
    rates: dict[str, list[float | None]] = {}
    errors = []
    for group, runs in answers.items():
        errors += [f"{group}: {run['error']}" for run in runs if "error" in run][:1]
        for name in runs[0].get("rows_per_second", {}):
            rates[name] = [run.get("rows_per_second", {}).get(name) for run in runs]
    own = rates.get(OURS, [None] * arguments.rounds)
    table = [[name, median(values), ratio(own, values)] for name, values in rates.items()]
    widths = "-".join(map(str, WIDTHS[workload]))
    print_table(
        f"{workload} ({widths}): encoding the whole table",
        ["way", "rows/s", "ours is x faster"],
        table,
    )
    for error in errors:
        print(error)
    return answers


def main() -> None:
    """Measure both tables."""
    options = parser(__doc__.splitlines()[0], rounds=3)
    options.add_argument(
        "--workloads", nargs="+", choices=["table", "mnist"], default=["table", "mnist"]
    )
    options.add_argument("--repeats", type=int, default=15, help="per contestant and round")
    arguments = options.parse_args()
    result = {name: one_workload(name, arguments) for name in arguments.workloads}
    finish("encode", arguments, result)


if __name__ == "__main__":
    child() if "--child" in sys.argv else main()
