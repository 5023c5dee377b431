"""The state of a fit on disk, from which an interrupted fit goes on to the same bits.

A file holds what later epochs depend on: weights and buffers of the networks, moments of
the optimizer, best and averaged weights, schedule, counters, history, penalties that find
their weight, and the generator's state, at the end of an epoch. What is done before
training (scaling, principal components, trials of strengths) follows from data, parameters
and seed alone, and is done again. It is a file as models are: nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoencode._version import __version__
from autoencode.data.rows import Rows
from autoencode.errors import DataError, ModelFileError, SpecError
from autoencode.model_file import read_model, write_model
from autoencode.objective import Objective
from autoencode.preprocess.table_rows import TableRows
from autoencode.strict_json import read_json, write_json
from autoencode.training import History, Run

__all__ = ["Checkpoint", "PhaseKeeper", "identify"]

SECONDS_BETWEEN = 30.0
"""The least time from one writing to the next; more where writing takes more than 2 % of it."""

_LARGEST_SHARE = 0.02
_KIND = "checkpoint"
_ADVICE = "delete the file or choose another one"
_NUMBERS = ("scale", "epochs", "steps", "finished", "waited")
_FROM_DATA = ("fill.", "shrink.")
"""Parts of a network that follow from the data, and are as large as they are wide."""


def identify(
    estimator: str,
    parameters: Mapping[str, Any],
    data: Mapping[str, Rows | Sequence[npt.NDArray[Any]] | None],
) -> dict[str, Any]:
    """Return what a fit's result depends on: parameters, and digests of all data.

    Parameters
    ----------
    estimator : str
        Name of the class.
    parameters : mapping of str to object
        Plain values; only those that may change a result.
    data : mapping of str to Rows, sequence of ndarray or None
        All that a fit is given, by name: rows, or pictures of any sizes; each is read once.

    Returns
    -------
    dict
        Plain JSON.

    Raises
    ------
    SpecError
        If a parameter cannot be written down.
    """
    found = {
        "estimator": estimator,
        "parameters": parameters,
        "data": {name: None if part is None else _digest(part) for name, part in data.items()},
    }
    plain: dict[str, Any] = read_json(write_json(found, "what the fit is told"))
    return plain


def _digest(data: Rows | Sequence[npt.NDArray[Any]]) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=32)
    if isinstance(data, TableRows):
        # The cells: values are many times as many where there are categories.
        blocks: Iterable[npt.NDArray[Any]] = [data.cells]
    else:
        blocks = (block for _, block in data.blocks()) if isinstance(data, Rows) else data
    n_blocks = n_values = 0
    for block in blocks:
        digest.update(np.ascontiguousarray(block).view(np.uint8).data)
        n_blocks, n_values = n_blocks + 1, n_values + block.size
    if not isinstance(data, Rows):
        shapes = [[str(picture.dtype), *picture.shape] for picture in data]
        sizes: dict[str, Any] = {"pictures": n_blocks, "pixels": n_values, "shapes": shapes}
        return sizes | {"digest": digest.hexdigest()}
    return {
        "rows": data.n_rows,
        "columns": data.n_columns,
        "names": None if data.names is None else list(data.names),
        "digest": digest.hexdigest(),
    }


class Stateful(Protocol):
    """What can say its state, and take it up again."""

    def state(self) -> dict[str, Any]:
        """Return what changes while training."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""


class Fitting(Protocol):
    """What a checkpoint keeps of a fit beside its networks."""

    started: float
    products: str
    rng: torch.Generator
    history: History
    objective: Objective

    @property
    def sparsity(self) -> Stateful:
        """What judges networks by their activity too."""


class Checkpoint:
    """A file that keeps the state of one fit; a context within which the fit is run.

    On leaving it the file is removed if the fit is complete, and written if it is not.

    Parameters
    ----------
    path : path
        The file. If it exists, it is read.
    identity : mapping
        As from `identify`.

    Raises
    ------
    SpecError
        If the file is that of a fit with other parameters.
    DataError
        If it is that of a fit to other data, or could not be written.
    ModelFileError
        If it is damaged or something else.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.path, self.identity = Path(path), identity
        self.seed: int | None = None
        self.finished: dict[str, dict[str, Tensor]] = {}
        self.header: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self.saved = True
        self.interval = SECONDS_BETWEEN
        if self.path.exists():
            self._read()
        elif not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise DataError(f"cannot write {self.path}: the folder is missing or not writable")
        self.written = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.path.unlink(missing_ok=True)
        else:
            self.write()

    def _read(self) -> None:
        try:
            header, arrays = read_model(self.path)
        except ModelFileError as error:
            advice = "a checkpoint is a file of its own: delete it or choose another one"
            raise ModelFileError(f"{error}; {advice}") from error
        if header.get("estimator") != _KIND:
            raise ModelFileError(f"{self.path} is a model, not a checkpoint: choose another file")
        if header["package_version"] != __version__:
            raise SpecError(
                f"{self.path} was written by autoencode {header['package_version']}, this is "
                f"{__version__}: {_ADVICE}"
            )
        self._compare(header["identity"])
        self.seed = header["seed"]
        self.header = header
        self.tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        for name in header["finished"]:
            self.finished[name] = _part(self.tensors, f"finished/{name}/")

    def _compare(self, other: Mapping[str, Any]) -> None:
        """Refuse the state of another fit, and say what differs."""
        if other["estimator"] != self.identity["estimator"]:
            raise SpecError(f"{self.path} is from a fit of {other['estimator']}: {_ADVICE}")
        before, now = other["parameters"], self.identity["parameters"]
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise SpecError(
                    f"{self.path} is from a fit with {name}={before.get(name)!r}, now it is "
                    f"{now.get(name)!r}: {_ADVICE}"
                )
        for name, found in self.identity["data"].items():
            kept = other["data"][name]
            if found != kept:
                raise DataError(
                    f"{self.path} is from a fit to other data: {_difference(name, kept, found)}; "
                    f"{_ADVICE}"
                )

    def seeded(self, seed: int) -> int:
        """Return the seed of the interrupted fit; if there is none, that of this one."""
        if self.seed is None:
            self.seed = seed
        return self.seed

    def phase(self, name: str, network: nn.Module, fit: Fitting) -> PhaseKeeper:
        """Return what keeps the state of one run of the training loop."""
        return PhaseKeeper(self, name, network, fit)

    def take(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Hold a state, and write it if the last writing was long enough ago."""
        self.header, self.tensors, self.saved = header, tensors, False
        if time.perf_counter() - self.written >= self.interval:
            self.write()

    def write(self) -> None:
        """Write the state that is held, unless that was done."""
        if self.saved:
            return
        began = time.perf_counter()
        own = {"estimator": _KIND, "identity": self.identity, "seed": self.seed}
        arrays = {name: value.cpu().numpy() for name, value in self.tensors.items()}
        for phase, values in self.finished.items():
            arrays |= {f"finished/{phase}/{name}": v.cpu().numpy() for name, v in values.items()}
        write_model(self.path, {**self.header, **own, "finished": list(self.finished)}, arrays)
        self.saved, self.written = True, time.perf_counter()
        self.interval = max(SECONDS_BETWEEN, (self.written - began) / _LARGEST_SHARE)


class PhaseKeeper:
    """Keeps the state of one phase's run; see `autoencode.training.Keeper`.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where to.
    name : str
        Of the phase.
    network : nn.Module
        What is trained.
    fit : Fitting
        The fit.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, network: nn.Module, fit: Fitting) -> None:
        self.checkpoint, self.name, self.network, self.fit = checkpoint, name, network, fit

    def restore_finished(self) -> bool:
        """Put everything where it was after this phase, if it is over; say whether it is."""
        kept = self.checkpoint.finished.get(self.name)
        if kept is None:
            return False
        self._fill(changing(self.network), kept)
        self._restore_fit()
        return True

    def begin(self, run: Run) -> None:
        """Put a new run where an interrupted one ended, if there is one."""
        header, tensors = self.checkpoint.header, self.checkpoint.tensors
        if header.get("running") != self.name:
            return
        self._fill(changing(self.network), _part(tensors, "network/"))
        self._fill(_vectors(run), _part(tensors, "run/"))
        kept: dict[str, Any] = header["run"]
        for name in _NUMBERS:
            setattr(run, name, kept[name])
        run.first, run.best, run.reference = tensors["errors"].tolist()
        run.schedule.fall_from, run.schedule.fall_length = kept["fall"]
        run.budget = replace(run.budget, seconds=kept["budget"])
        run.started = time.perf_counter() - kept["seconds"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimizer/").items():
            place, _, part = name.partition("/")
            moments.setdefault(int(place), {})[part] = value
        groups = run.optimizer.state_dict()["param_groups"]
        run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._restore_fit()

    def keep(self, run: Run) -> None:
        """Take the state after an epoch: a copy, which is whole whenever Ctrl-C comes."""
        tensors = {f"network/{name}": value for name, value in changing(self.network).items()}
        tensors |= {f"run/{name}": value for name, value in _vectors(run).items()}
        for place, parts in run.optimizer.state_dict()["state"].items():
            for name, value in parts.items():
                tensors[f"optimizer/{place}/{name}"] = torch.as_tensor(value)
        tensors["errors"] = torch.tensor([run.first, run.best, run.reference], dtype=torch.float64)
        header = {name: getattr(run, name) for name in _NUMBERS}
        header["fall"] = [run.schedule.fall_from, run.schedule.fall_length]
        header |= {"seconds": run.seconds(), "budget": run.budget.seconds}
        self._take({"running": self.name, "run": header}, tensors)

    def finish(self) -> None:
        """Take the state at the end of the phase."""
        state = {name: value.detach().clone() for name, value in changing(self.network).items()}
        self.checkpoint.finished = {**self.checkpoint.finished, self.name: state}
        self._take({"running": None}, {})

    def _take(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        fit, history = self.fit, self.fit.history
        header |= {
            "elapsed": time.perf_counter() - fit.started,
            "products": fit.products,
            "history": {name: list(values) for name, values in history.columns.items()},
            "stop_reason": history.stop_reason,
            "phase": [history.phase, history.offset],
            "sparsity": fit.sparsity.state(),
            "penalties": [
                part.state() if hasattr(part, "state") else None for part in fit.objective.penalties
            ],
        }
        copies = {name: value.detach().clone() for name, value in tensors.items()}
        self.checkpoint.take(header, copies | {"rng": fit.rng.get_state()})

    def _restore_fit(self) -> None:
        header, fit = self.checkpoint.header, self.fit
        fit.started = time.perf_counter() - header["elapsed"]
        fit.products = header["products"]
        fit.history.columns = {name: list(values) for name, values in header["history"].items()}
        fit.history.stop_reason = header["stop_reason"]
        fit.history.begin(*header["phase"])
        fit.sparsity.restore(header["sparsity"])
        for part, state in zip(fit.objective.penalties, header["penalties"], strict=True):
            if state is not None:
                part.restore(state)  # type: ignore[attr-defined]
        fit.rng.set_state(self.checkpoint.tensors["rng"])

    def _fill(self, into: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
        """Copy what was kept into its place."""
        shapes, others = ({k: v.shape for k, v in part.items()} for part in (into, kept))
        if shapes != others:
            raise ModelFileError(f"{self.checkpoint.path} does not fit together: {_ADVICE}")
        with torch.no_grad():
            for name, value in into.items():
                value.copy_(kept[name])


def changing(network: nn.Module) -> dict[str, Tensor]:
    """Return all that training may change in a network: parameters, and all buffers.

    Parameters
    ----------
    network : nn.Module
        What is trained.

    Returns
    -------
    dict of str to Tensor
        By name; the tensors themselves, those that no model file holds included.
    """
    found = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: value for name, value in found.items() if not name.startswith(_FROM_DATA)}


def _vectors(run: Run) -> dict[str, Tensor]:
    """Return the weights that a run holds beside the network's own."""
    found = {"best": run.weights, "average": run.average, "usual": run.usual}
    return {name: value for name, value in found.items() if value is not None}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return what stands under a prefix, by the rest of its name."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _difference(name: str, before: Any, now: Any) -> str:
    """Say how two sets of rows differ."""
    if before is None or now is None:
        return f"{name} was {'not ' if before is None else ''}given then"
    for what in ("rows", "columns", "pictures"):
        if what in now and before.get(what) != now[what]:
            return f"{name} had {before.get(what, 'no')} {what}, now it has {now[what]}"
    what = "values" if before.get("names") == now.get("names") else "column names"
    return f"{name} has other {what}"
