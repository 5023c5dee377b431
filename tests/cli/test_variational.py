"""``fit --kind variational`` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoencode import VariationalAutoencoder, load

Run = Callable[..., Any]

FIT = ["--kind", "variational", "--hidden", "8", "--components", "2", "--max-epochs", "4"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``rows.csv``: columns of several kinds, with missing cells."""
    folder = tmp_path_factory.mktemp("variational")
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=200)
    frame = pd.DataFrame(
        {
            "x": hidden + 0.2 * rng.normal(size=200),
            "level": np.array(["a", "b", "c"])[np.digitize(hidden, [-0.5, 0.5])],
            "count": rng.poisson(np.exp(hidden)),
            "yes": hidden + 0.3 * rng.normal(size=200) > 0,
        }
    )
    frame["x"] = frame["x"].mask(rng.random(200) < 0.1)
    frame.to_csv(folder / "rows.csv", index=False)
    return folder


def test_a_fit_says_how_likely_rows_are(run: Run, rows: Path) -> None:
    options = ["--n-samples", "2", "--posterior", "flow", "--free-bits", "0.1", "--json", "--quiet"]
    done = run("fit", "rows.csv", "-o", "m", "--report", "r.html", *FIT, *options, folder=rows)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    bounds = found["likelihood"]
    page = (rows / "r.html").read_text(encoding="utf-8")
    assert f"rows it never saw is {bounds['bound']:.2f} nats per row; columns taken" in page
    assert "New rows beside real ones" in page
    assert "What codes mean" in page
    assert found["kind"] == "variational"
    assert bounds["floor_kind"] == "independent"
    assert bounds["elbo"] <= bounds["bound"]
    model = load(rows / "m")
    assert isinstance(model, VariationalAutoencoder)
    assert (model.n_samples, model.posterior, model.free_bits) == (2, "flow", 0.1)
    assert model.bounds_ == bounds
    told = json.loads(run("inspect", "m", "--json", folder=rows).stdout)
    assert told["likelihood"] == bounds
    words = run("inspect", "m", folder=rows).stdout
    assert f"log-likelihood {bounds['bound']:.2f} nats per row" in words
    assert f"{bounds['active']} of 2 units active" in words
    scores = model.score_samples(str(rows / "rows.csv"))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("option", [["--n-samples", "2"], ["--posterior", "flow"]])
def test_its_options_are_for_it_alone(run: Run, rows: Path, option: list[str]) -> None:
    done = run("fit", "rows.csv", "-o", "other", *option, folder=rows)
    assert done.returncode == 2
    assert f"{option[0]} is for --kind variational" in " ".join(done.stderr.split())


def test_its_bottleneck_is_decided(run: Run, rows: Path) -> None:
    done = run("fit", "rows.csv", "-o", "other", *FIT, "--bottleneck", "plain", folder=rows)
    assert done.returncode == 2
    assert "--bottleneck does not go with --kind variational" in " ".join(done.stderr.split())
