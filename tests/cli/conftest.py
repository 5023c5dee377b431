"""The command as a user runs it: another process, started from the installed script."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SMALL = ["--hidden", "8", "--max-epochs", "2", "--validation-fraction", "0.2"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Options under which a fit takes no time."""
    return SMALL


@pytest.fixture(scope="session")
def refused(run: Run) -> Callable[..., str]:
    """Run a command that should fail with one line, exit 1 and write nothing."""

    def call(*arguments: str | Path, folder: Path, **options: Any) -> str:
        before = listing(folder)
        done = run(*arguments, folder=folder, **options)
        assert done.returncode == 1, done.stderr
        assert not done.stdout
        assert done.stderr.startswith("autoencode: ")
        assert done.stderr.count("\n") == 1
        assert done.stderr.endswith("\n")
        assert listing(folder) == before
        return str(done.stderr)

    return call


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``people.csv``: semicolons, decimal points, umlauts, blanks in names."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 4))
    values += 0.1 * rng.normal(size=values.shape)
    lines = ["person id;größe;weight in kg;Übung;d"]
    lines += [
        f"Jürgen {number};" + ";".join(f"{value:.6f}" for value in row)
        for number, row in enumerate(values)
    ]
    (folder / "people.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def people_fit(start: Run, people: Path, small: list[str]) -> Any:
    """The finished process that fitted ``people.safetensors`` and wrote a report."""
    return start(
        "fit", "people.csv", "-o", "people.safetensors", "--keep", "person id", *small,
        "--components", "2", "--report", "report.html", "--json", folder=people,
    )  # fmt: skip


@pytest.fixture(scope="session")
def people_model(people: Path, people_fit: Any) -> Path:
    assert people_fit.returncode == 0, people_fit.stderr
    return people / "people.safetensors"


COLORS = ("rötlich", "grün", "blau")


def order_lines(count: int = 120) -> list[str]:
    """Rows with semicolons, decimal commas, umlauts, blanks, German dates and holes."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=count)
    lines = ["Kunden-Nr;Größe in cm;Gewicht;Datum;Stück;Farbe;Land"]
    for number in range(count):
        day = date(2024, 1, 1) + timedelta(days=int(rng.integers(0, 366)))
        cells = [
            f"K{number:04d}",
            f"{170 + 8 * size[number]:.2f}".replace(".", ","),
            f"{70 + 9 * size[number] + rng.normal():.1f}".replace(".", ","),
            f"{day:%d.%m.%Y}",
            str(rng.poisson(3)),
            COLORS[int(np.clip(np.rint(size[number]), -1, 1))],
            "DE",
        ]
        for place in range(1, 6):
            if rng.random() < 0.08:
                cells[place] = ""
        lines.append(";".join(cells))
    return lines


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``orders.csv``: columns of every sort, with missing cells."""
    folder = tmp_path_factory.mktemp("orders")
    (folder / "orders.csv").write_text("\n".join(order_lines()) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def orders_fit(run: Run, orders: Path, small: list[str]) -> Any:
    """The finished process that fitted ``orders.safetensors``."""
    return run(
        "fit", "orders.csv", "-o", "orders.safetensors", *small, "--components", "5",
        "--json", folder=orders,
    )  # fmt: skip


@pytest.fixture(scope="session")
def orders_model(orders: Path, orders_fit: Any) -> Path:
    assert orders_fit.returncode == 0, orders_fit.stderr
    return orders / "orders.safetensors"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, start: Run) -> Path:
    """What ``autoencode demo`` leaves behind, and what it printed: ``printed.txt``."""
    folder = tmp_path_factory.mktemp("demo")
    done = start("demo", "-o", "new/demo", "--max-epochs", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder / "printed.txt").write_text(done.stdout, "utf-8")
    return folder
