"""What the README and the docs tell people to type works as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("autoencode")
WINE = "from sklearn.datasets import load_wine\nX = load_wine().data\n"


def blocks(name: str, language: str) -> list[str]:
    """Return the code blocks of one language in a page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_readmes_commands_work(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(80, 2)) @ generator.normal(size=(2, 5))
    lines = ["größe;länge in m;c;d;e"]
    lines += [";".join(f"{value:.4f}".replace(".", ",") for value in row) for row in rows]
    (tmp_path / "data.csv").write_text("\n".join(lines), encoding="utf-8")
    first = blocks("README.md", "sh")[0]
    commands = [line.partition("#")[0].split() for line in first.splitlines()]
    assert [command[1] for command in commands] == ["fit", "encode"]
    for command in commands:
        assert command[0] == "autoencode"
        done = run([str(COMMAND), *command[1:]], tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").stat().st_size > 100_000
    codes = (tmp_path / "codes.csv").read_text(encoding="utf-8").splitlines()
    assert len(codes) == 81


@pytest.mark.parametrize(
    ("page", "prelude"), [("README.md", ""), ("docs/dimensionality_reduction.md", WINE)]
)
def test_the_python_of_a_page_runs(page: str, prelude: str, tmp_path: Path) -> None:
    program = prelude + "\n".join(blocks(page, "python"))
    assert "Autoencoder" in program
    done = run([sys.executable, "-W", "error", "-c", program], tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_link_within_the_pages_leads_somewhere() -> None:
    for page in ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]:
        folder = (ROOT / page).parent
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            if not target.startswith("https://"):
                assert (folder / target).exists(), f"{page} links to {target}"
