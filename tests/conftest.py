"""What several test files need."""

from __future__ import annotations

import functools
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from autoencode import Autoencoder

COMMAND = Path(sys.executable).with_name("autoencode")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "TERM": "xterm",
    "COLUMNS": "100",
}
Run = Callable[..., "subprocess.CompletedProcess[str]"]

OUTSIDE = """
import torch

from autoencode.bottlenecks import Plain
from autoencode.likelihoods import Gaussian


class Shift:
    def __init__(self, layout, by=1.0):
        self.by = by

    def __call__(self, batch, rng):
        return batch._replace(x=batch.x + self.by)


class Narrow(Gaussian):
    def __init__(self, layout, width=0.5):
        super().__init__(layout, scale=width)


class Doubled(Plain):
    def forward(self, features, context):
        code = super().forward(features, context)
        return type(code)(2 * code.z, code.cost)


class Small:
    name = "small"

    def __init__(self, weight=0.1):
        self.weight = weight

    def __call__(self, network, result):
        return self.weight * result.code.z.square().sum(1).mean()


number = 3
"""


def pytest_collection_finish() -> None:
    """Let garbage not be looked for, again and again, among all that imports and tests are."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def operators_read_once() -> None:
    """Let the exporter read the source of its some 500 operators once, not for every graph.

    That is most of the time that a small graph takes. It is inside of torch: where it is no
    longer found, tests take longer.
    """
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
    except (ImportError, AttributeError):
        return


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a package with parts of its own importable; give its module's name."""
    package = tmp_path / "packages" / "outside_parts"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(package.parent)
    return "outside_parts.parts"


@pytest.fixture(scope="session")
def bent() -> np.ndarray:
    """Rows on a curved surface in nine dimensions, which a network codes better than PCA."""
    rng = np.random.default_rng(0)
    angle, height = rng.uniform(0, 2 * np.pi, 400), rng.normal(size=400)
    hidden = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), height], 1)
    return 3 * hidden @ rng.normal(size=(4, 9)) + 0.05 * rng.normal(size=(400, 9)) + 20


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """The 1,797 digits of scikit-learn, 64 pixels each."""
    return load_digits().data


@pytest.fixture(scope="session")
def network_model(bent: np.ndarray) -> Autoencoder:
    """A fitted model whose gate is open. Tests only read it."""
    model = Autoencoder(3, hidden_layer_sizes=(32, 16), max_epochs=30, random_state=0).fit(bent)
    assert model.gate_ == 1
    return model


@pytest.fixture(scope="session")
def pca_model(bent: np.ndarray) -> Autoencoder:
    """A fitted model without hidden layers. Tests only read it."""
    return Autoencoder(3, hidden_layer_sizes=()).fit(bent)


def mixed_columns(n_rows: int = 300) -> pd.DataFrame:
    """Make a frame of every sort of column, most of which tell of one another."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=n_rows)
    day = pd.Timestamp("2024-01-01")
    level = np.clip((hidden + 1.5).astype(int), 0, 2)
    return pd.DataFrame(
        {
            "x": hidden + 0.3 * rng.normal(size=n_rows),
            "single": (hidden - rng.normal(size=n_rows)).astype(np.float32),
            "n": pd.array((3 * hidden + rng.normal(size=n_rows)).round() + 20, dtype="Int64"),
            "small": (hidden * 10 + 50).round().astype(np.int16),
            "level": pd.Categorical.from_codes(level + 1, ["unused", "c", "a", "b"]),
            "text": np.where(hidden + 0.3 * rng.normal(size=n_rows) > 0, "yes", "no"),
            "flag": pd.array(hidden > 0.2, dtype="boolean"),
            "when": day + pd.to_timedelta((hidden * 30 + 100).round(), unit="D"),
            "zoned": (day + pd.to_timedelta((hidden * 90).round(), unit="h")).tz_localize("UTC"),
            "same": "same",
            "name": [f"row {place}" for place in range(n_rows)],
            "count": rng.poisson(np.exp(hidden)),
        },
        index=pd.Index([f"i{place}" for place in range(n_rows)], name="key"),
    )


def with_holes(frame: pd.DataFrame, share: float = 0.15) -> pd.DataFrame:
    """Make cells missing at random, but not of NumPy's integers, which cannot be."""
    rng, result = np.random.default_rng(1), frame.copy()
    for name in frame.columns.difference(["small", "count"], sort=False):
        result[name] = frame[name].mask(rng.random(len(frame)) < share)
    return result


@pytest.fixture(scope="session")
def complete_frame() -> pd.DataFrame:
    """A frame of every sort of column. Tests only read it."""
    return mixed_columns()


@pytest.fixture(scope="session")
def holed_frame(complete_frame: pd.DataFrame) -> pd.DataFrame:
    """The same with missing cells. Tests only read it."""
    return with_holes(complete_frame)


@pytest.fixture(scope="session")
def restoring_model(holed_frame: pd.DataFrame) -> Autoencoder:
    """A model of full length, whose gate is open. Tests only read it."""
    options = {"hidden_layer_sizes": (16,), "max_epochs": 10, "random_state": 0}
    model = Autoencoder(None, **options).fit(holed_frame)
    assert model.gate_ == 1
    return model


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings be short where nobody said how long: for tests of anything but quality."""
    for name in ("_MOST_EPOCHS", "_MOST_NOISY_EPOCHS"):
        monkeypatch.setattr(f"autoencode.defaults.{name}", 12)


@pytest.fixture
def rng() -> torch.Generator:
    """A seeded source of randomness."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def clean() -> Callable[..., np.ndarray]:
    """Make rows of few causes, none of them normal, with 16 columns of variance 1."""

    def make(count: int = 1500, seed: int = 0) -> np.ndarray:
        mixing = np.random.default_rng(7).normal(size=(4, 16))
        mixing /= np.linalg.norm(mixing, axis=0)
        causes = np.random.default_rng(seed).uniform(-1.7, 1.7, size=(count, 4))
        own = 0.02 * np.random.default_rng(seed + 1).normal(size=(count, 16))
        return causes @ mixing + own

    return make


@pytest.fixture
def spoilt() -> Callable[..., np.ndarray]:
    """Add noise of one of a few kinds to rows."""

    def spoil(x: np.ndarray, kind: str, level: float) -> np.ndarray:
        rng = np.random.default_rng(3)
        hit = rng.random(x.shape) < level
        if kind == "gaussian":
            return x + level * rng.normal(size=x.shape)
        if kind == "impulse":
            return np.where(hit, 2.5, x)
        if kind == "extremes":
            return np.where(hit, np.where(rng.random(x.shape) < 0.5, x.min(0), x.max(0)), x)
        other = np.take_along_axis(x, rng.integers(0, len(x), x.shape), axis=0)
        return np.where(hit, other, x)

    return spoil


@pytest.fixture(scope="session")
def command() -> list[str]:
    assert COMMAND.exists(), "the package is not installed in this environment"
    return [str(COMMAND)]


@pytest.fixture(scope="session")
def start(command: list[str]) -> Run:
    """Run the installed script."""

    def call(*arguments: str | Path, folder: Path) -> Any:
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return ENVIRONMENT


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the command, or a program, in a fork of one process that imported torch already."""
    outputs = tmp_path_factory.mktemp("outputs")
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("fork_server.py")],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )

    def call(
        *arguments: str | Path,
        folder: Path,
        stdout: str | None = None,
        file_bytes: int | None = None,
        program: Path | None = None,
        most_epochs: int | None = None,
    ) -> Any:
        assert server.stdin is not None
        assert server.stdout is not None
        printed, said = outputs / "stdout", outputs / "stderr"
        printed.write_text("")
        said.write_text("")
        job = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "stdout": stdout or str(printed),
            "stderr": str(said),
            "file_bytes": file_bytes,
            "program": None if program is None else str(program),
            "most_epochs": most_epochs,
        }
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        texts = printed.read_text("utf-8"), said.read_text("utf-8")
        return subprocess.CompletedProcess(job["arguments"], code, *texts)

    with server:
        yield call
