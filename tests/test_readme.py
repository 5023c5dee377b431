"""What the README and the docs tell people to type works as written."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
# Of any training, for time: what is checked is that all of it runs, not how good it is.
MOST_EPOCHS = 12
WINE = "from sklearn.datasets import load_wine\nX = load_wine().data\n"


def blocks(name: str, language: str) -> list[str]:
    """Return the code blocks of one language in a page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def briefly(run: Run) -> Run:
    """Run a command or a program whose trainings are short."""
    return partial(run, most_epochs=MOST_EPOCHS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the commands take, in a German spelling, with holes."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 5))
    lines = ["größe;länge in m;c;d;e"]
    lines += [";".join(f"{value:.4f}".replace(".", ",") for value in row) for row in rows]
    lines[3] = lines[3].partition(";")[0] + ";;;;"
    (tmp_path / "data.csv").write_text("\n".join(lines), encoding="utf-8")
    lines = ["receipt;day;degrees;item;sold"]
    for place in range(80):
        degrees = "" if place % 7 == 0 else f"{rng.normal(14, 8):.1f}5".replace(".", ",")
        item = ("", "Eis", "Brühe", "Müsli")[rng.integers(4)]
        day = f"{1 + place % 28:02}.{1 + place % 12:02}.2024"
        lines.append(f"R{place};{day};{degrees};{item};{rng.poisson(3)}")
    (tmp_path / "sales.csv").write_text("\n".join(lines), encoding="utf-8")
    lines = ["length,width,colour,species"]
    for place in range(60):
        size = rng.normal(3 + place % 2)
        colour = ("white", "blue", "")[rng.integers(3)]
        species = ("daisy", "gentian")[place % 2]
        lines.append(f"{size:.3f},{size + rng.normal():.3f},{colour},{species}")
    (tmp_path / "flowers.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def table(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def run_commands(run: Run, text: str, folder: Path) -> list[str]:
    """Run the lines of a code block; return the names of the commands."""
    commands = [shlex.split(line, comments=True) for line in text.splitlines()]
    for command in commands:
        assert command[0] == "autoencode"
        done = run(*command[1:], folder=folder)
        assert done.returncode == 0, done.stderr
    return [command[1] for command in commands]


def test_the_readmes_commands_work(start: Run, folder: Path) -> None:
    first = blocks("README.md", "sh")[0]
    assert run_commands(start, first, folder) == ["fit", "encode", "impute"]
    assert (folder / "report.html").stat().st_size > 100_000
    assert len(table(folder / "codes.csv")) == 81
    complete = table(folder / "complete.csv")
    assert len(complete) == 81
    assert not any(",," in line or line.endswith(",") for line in complete)


def test_the_commands_for_tables_work(briefly: Run, folder: Path) -> None:
    (text,) = blocks("docs/tables.md", "sh")
    assert run_commands(briefly, text, folder) == ["fit", "inspect", "encode", "decode"]
    given, decoded = table(folder / "sales.csv"), table(folder / "decoded.csv")
    assert decoded[0] == given[0].replace(";", ",")
    assert [line.split(",")[0] for line in decoded] == [line.split(";")[0] for line in given]
    assert re.fullmatch(r"R0,\d\d\.\d\d\.2024,-?[\d.]+,\w+,\d+", decoded[1])


def test_the_commands_for_imputation_work(briefly: Run, folder: Path) -> None:
    (text,) = blocks("docs/imputation.md", "sh")
    assert run_commands(briefly, text, folder) == ["impute", "fit", "impute", "impute"]
    given = table(folder / "sales.csv")
    for name in ["complete.csv", "informative.csv", *(f"draw-{i}.csv" for i in range(1, 6))]:
        filled = table(folder / name)
        assert len(filled) == 81
        for line, before in zip(filled, given, strict=True):
            pairs = list(zip(line.split(","), before.replace(",", ".").split(";"), strict=True))
            assert all(after == cell if cell else after for after, cell in pairs)


def test_the_commands_for_augmentation_work(briefly: Run, folder: Path) -> None:
    (text,) = blocks("docs/augmentation.md", "sh")
    assert run_commands(briefly, text, folder) == ["fit", "augment", "augment"]
    assert table(folder / "more.csv")[0] == "species,length,width,colour"
    given = [line.split(",")[3] for line in table(folder / "flowers.csv")[1:]]
    found = [line.split(",")[0] for line in table(folder / "more.csv")[1:]]
    assert found == 3 * given
    assert len(table(folder / "variants.csv")) == 61


def test_the_commands_for_anomalies_work(briefly: Run, folder: Path) -> None:
    (text,) = blocks("docs/anomalies.md", "sh")
    assert run_commands(briefly, text, folder) == ["detect"]
    lines = table(folder / "judged.csv")
    assert len(lines) == 81
    assert lines[0].endswith("anomaly,p_value,reason")
    assert (folder / "report.html").stat().st_size > 100_000


def test_the_commands_for_drawing_work(briefly: Run, folder: Path) -> None:
    (text,) = blocks("docs/generation.md", "sh")
    assert run_commands(briefly, text, folder) == ["fit", "sample", "sample", "fit", "sample"]
    assert table(folder / "daisies.csv")[0] == "species,length,width,colour"
    assert {line.split(",")[0] for line in table(folder / "daisies.csv")[1:]} == {"daisy"}
    assert len(table(folder / "drawn.csv")) == 1001
    species = {line.split(",")[3] for line in table(folder / "gentians.csv")[1:]}
    assert species == {"gentian"}


def test_the_commands_for_denoising_work(briefly: Run, folder: Path) -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(120, 5))
    noisy = clean + 0.5 * rng.normal(size=clean.shape)
    for name, rows in (("clean", clean), ("noisy", noisy)):
        np.savetxt(folder / f"{name}.csv", rows, delimiter=",", header="a,b,c,d,e", comments="")
    (text,) = blocks("docs/denoising.md", "sh")
    assert run_commands(briefly, text, folder) == ["fit", "denoise", "fit", "denoise"]
    restored = np.loadtxt(folder / "restored.csv", delimiter=",", skiprows=1)
    assert restored.shape == noisy.shape
    assert (restored != noisy).any()
    assert (folder / "restored.parquet").exists()
    assert (folder / "denoiser.html").stat().st_size > 100_000


def test_the_commands_for_large_data_work(briefly: Run, folder: Path) -> None:
    array = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    (folder / "rows").mkdir()
    for number, part in enumerate(np.split(array, [40])):
        np.save(folder / "rows" / f"{number}.npy", part)
    (text,) = blocks("docs/large-data.md", "sh")
    assert run_commands(briefly, text, folder) == ["fit", "encode", "reconstruct"]
    assert np.load(folder / "codes.npy").shape == (90, 4)
    assert np.load(folder / "reconstructed.npy").shape == (90, 6)
    assert not (folder / "run.ckpt").exists()


def test_the_commands_for_files_of_pictures_work(briefly: Run, folder: Path) -> None:
    (folder / "photos").mkdir()
    for number, pixels in enumerate(load_digits().images[:30]):
        image = Image.fromarray((15 * pixels).astype(np.uint8))
        image.save(folder / "photos" / f"{number:02}.png")
    (text,) = blocks("docs/picture_files.md", "sh")
    assert run_commands(briefly, text, folder) == ["fit", "encode", "decode", "reconstruct"]
    assert table(folder / "codes.csv")[1].startswith("00.png,")
    for name, size in (("decoded", (24, 16)), ("reconstructed", (8, 8))):
        with Image.open(folder / name / "29.png") as image:
            assert image.size == size


def test_the_commands_for_sparse_codes_work(briefly: Run, folder: Path) -> None:
    pictures = load_digits().images[::3]
    np.save(folder / "pictures.npy", pictures)
    first, second = blocks("docs/sparse.md", "sh")
    assert run_commands(briefly, first, folder) == ["fit", "encode", "inspect"]
    codes = sparse.load_npz(folder / "codes.npz")
    assert codes.shape == (len(pictures), 24)
    assert 2 < codes.nnz / len(pictures) < 6
    assert (folder / "parts.html").stat().st_size > 100_000
    assert run_commands(briefly, second, folder) == ["fit", "export", "encode"]
    assert sparse.load_npz(folder / "same.npz").shape == codes.shape


def test_the_commands_for_compression_work(briefly: Run, folder: Path) -> None:
    sales = (folder / "sales.csv").read_bytes()
    text = blocks("docs/compression.md", "sh")[0]
    assert run_commands(briefly, text, folder) == [
        "compress", "decompress", "compress", "decompress", "decompress"
    ]  # fmt: skip
    assert (folder / "back.csv").read_bytes() == sales
    assert (folder / "sales.csv.aez").stat().st_size < len(sales)
    assert (folder / "near.parquet").exists()


def test_the_commands_for_models_codes_and_folders_work(briefly: Run, folder: Path) -> None:
    table = pd.DataFrame({"shop": ["Köln", "Genf", None] * 40, "sold": np.arange(120) % 17})
    table.to_parquet(folder / "year.parquet")
    table.head(20).to_parquet(folder / "monday.parquet")
    pictures = load_digits().images[:150]
    np.save(folder / "digits.npy", pictures)
    (folder / "photos").mkdir()
    for place, picture in enumerate(pictures[:3]):
        Image.fromarray((15 * picture).astype(np.uint8)).save(folder / "photos" / f"{place}.png")
    _, shared, codes, photos = blocks("docs/compression.md", "sh")
    run_commands(briefly, shared.replace("--best", "--fast"), folder)
    assert pd.read_parquet(folder / "same.parquet").equals(table.head(20))
    run_commands(briefly, codes, folder)
    assert np.load(folder / "coarse.npy").shape == pictures.shape
    run_commands(briefly, photos, folder)
    for place in range(3):
        name = f"{place}.png"
        with (
            Image.open(folder / "again" / name) as one,
            Image.open(folder / "photos" / name) as two,
        ):
            assert np.array_equal(np.asarray(one), np.asarray(two))


def test_the_commands_for_variational_autoencoders_work(briefly: Run, folder: Path) -> None:
    (text,) = blocks("docs/variational.md", "sh")
    assert run_commands(briefly, text, folder) == ["fit", "inspect"]
    assert (folder / "flowers.safetensors").exists()


@pytest.mark.parametrize(
    ("page", "prelude"),
    [
        ("README.md", ""),
        ("docs/anomalies.md", ""),
        ("docs/augmentation.md", ""),
        ("docs/compression.md", ""),
        ("docs/denoising.md", ""),
        ("docs/exploration.md", ""),
        ("docs/generation.md", ""),
        ("docs/dimensionality_reduction.md", WINE),
        ("docs/imputation.md", ""),
        ("docs/large-data.md", ""),
        ("docs/photographs.md", ""),
        ("docs/picture_files.md", ""),
        ("docs/pictures.md", ""),
        ("docs/sparse.md", ""),
        ("docs/tables.md", ""),
        ("docs/variational.md", ""),
    ],
)
def test_the_python_of_a_page_runs(page: str, prelude: str, briefly: Run, tmp_path: Path) -> None:
    program = prelude + "\n".join(blocks(page, "python"))
    # A third of the rows, for time.
    program = re.sub(r"(load_digits\(\)\.(data|images))\b", r"\1[::3]", program)
    assert "from autoencode import" in program
    (tmp_path / "page.py").write_text(program, encoding="utf-8")
    done = briefly(program=tmp_path / "page.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_link_within_the_pages_leads_somewhere() -> None:
    for page in ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]:
        folder = (ROOT / page).parent
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            if not target.startswith("https://"):
                assert (folder / target).exists(), f"{page} links to {target}"
