"""Runs one contestant on one data set in a process of its own."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import workloads
from harness import request_of_parent, run_child
from ours import OURS
from peers import PEERS, Contestant, Record, Task, installed

CONTESTANTS: dict[str, Contestant] = {**PEERS, **OURS}


def run(name: str, workload: str, arguments: argparse.Namespace, **request: Any) -> dict[str, Any]:
    """Fit one contestant in a fresh process, warmed up; imports are not timed.

    Parameters
    ----------
    name : str
        One of `CONTESTANTS`.
    workload : str
        One of `workloads.WIDTHS`.
    arguments : Namespace
        For ``data``, ``quick`` and ``threads``.
    **request
        ``epochs``, ``batch``, ``seed``, ``target``, ``max_seconds``, ``evaluate``, ``optimizer``,
        ``learning_rate``.

    Returns
    -------
    dict
        ``seconds`` and ``errors`` (one per epoch), ``notes`` and ``note``, or ``error``.
    """
    contestant = CONTESTANTS[name]
    if not installed(contestant):
        return {"error": "not installed"}
    request |= {
        "name": name,
        "workload": workload,
        "quick": arguments.quick,
        "data": str(arguments.data.resolve()),
        "threads": arguments.threads,
    }
    limit = 300 + 3 * min(request.get("max_seconds") or 3600, 3600)
    return run_child(
        Path(__file__).name, request, contestant.environment, threads=arguments.threads, limit=limit
    )


def child() -> None:
    """Read a request from standard input, fit, print the answer."""
    request = request_of_parent()
    workload = workloads.load(request["workload"], Path(request["data"]), quick=request["quick"])
    task = Task(
        workload.train,
        workload.held_out,
        workload.widths,
        epochs=request["epochs"],
        batch=request.get("batch", 256),
        seed=request.get("seed", 0),
        optimizer=request.get("optimizer", "adam"),
        learning_rate=request.get("learning_rate", 1e-3),
        threads=request["threads"],
    )
    warm_up(request["name"], task)
    record = Record(
        task,
        target=request.get("target"),
        evaluate=request.get("evaluate", True),
        max_seconds=request.get("max_seconds") or float("inf"),
    )
    CONTESTANTS[request["name"]].fit(task, record)
    note = ", ".join(f"{key} {value}" for key, value in record.notes.items())
    answer = {
        "seconds": record.seconds,
        "errors": record.errors,
        "notes": record.notes,
        "note": note,
    }
    print("\n" + json.dumps(answer, default=float))


def warm_up(name: str, task: Task) -> None:
    """Fit a few rows first: what a process pays once is not timed, compiling a model is."""
    few = replace(task, X=task.X[:512], held_out=task.held_out[:64], epochs=1)
    CONTESTANTS[name].fit(few, Record(few))


if __name__ == "__main__":
    child()
