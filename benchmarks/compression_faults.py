"""Random bytes of compressed files changed: an error that says where, or the same data.

For each kind of file (tables of text, dates and missing cells, arrays, pictures, fields,
networks of columns and of pixels, a shared model, codes, a folder) so many single bytes are
changed at random, in two ways in turn: as they are, which hashes must find, and with the hashes of
the section made to fit again, so that what decodes it must cope by itself. Prefixes and swapped
blocks come after. Counted are refusals, refusals that do not say where, files that decode to
the same (the index, which streams do not use, or an unused bit), wrong data, other
exceptions, and the slowest and the largest.
"""

from __future__ import annotations

import argparse
import functools
import io
import resource
import struct
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image
from sklearn.datasets import load_digits

from autoencode import Autoencoder, compress
from autoencode.compression import codes, members
from autoencode.compression.container import read_sections, read_start
from autoencode.compression.effort import EFFORTS
from autoencode.compression.folders import folder_content
from autoencode.compression.model_reference import ModelFile, open_model
from autoencode.compression.packing import split
from autoencode.compression.restoring import open_blocks
from autoencode.errors import AutoencodeError
from harness import versions

SEED = 20261126
PLACED = ("block", "byte", "header", "section", "cut off", "blocks", "rows are missing",
          "footer", "model", "version", "not a file", "out of order")  # fmt: skip


def made(folder: Path) -> dict[str, tuple[bytes, ModelFile | None]]:
    """Compress a small file of each kind."""
    rng = np.random.default_rng(SEED)
    n = 700
    base = rng.normal(size=(n, 2))
    table = pa.table(
        {
            "x": np.round(base[:, 0], 2),
            "y": np.round(base[:, 0] ** 2 + 0.1 * base[:, 1], 2),
            "when": pa.array(np.cumsum(rng.integers(0, 9, n)) * 10**6, pa.timestamp("us")),
            "kind": rng.choice(["red", "green", "blue"], n),
            "note": [None if i % 9 == 0 else f"row {i * 7919 % 1000}" for i in range(n)],
            "class": pa.array(rng.choice(["a", "b"], n)).dictionary_encode(),
        }
    )
    numbers = bent(base)
    digits = load_digits().images.astype(np.uint8)
    found: dict[str, tuple[bytes, ModelFile | None]] = {}

    def add(name: str, data: Any, model: Path | None = None, **options: Any) -> None:
        path = folder / f"{name}.aez"
        if model is not None:
            options["model"] = model
        compress(data, path, n_threads=1, **options)
        needed = model is not None and not options.get("embed")
        found[name] = path.read_bytes(), open_model(model) if needed and model else None

    add("table", table, effort="fast")
    kept, members.BLOCK_VALUES = members.BLOCK_VALUES, 400
    add("blocks", numbers[:400].astype(np.float32), relative=1e-3, effort="fast")
    members.BLOCK_VALUES = kept
    add("field", np.cumsum(rng.normal(size=(3, 16, 16)), 1).astype(np.float32), relative=1e-3)
    add("pictures", digits[:300])
    many = bent(rng.normal(size=(6 * n, 2))) + rng.normal(scale=0.01, size=(6 * n, 4))
    add("network", many, relative=1e-3)
    compress(table, folder / "x.aez", save_model=folder / "shared.aem", effort="fast", n_threads=1)
    add("shared", table.slice(0, 150), folder / "shared.aem", effort="fast")
    add("embedded", table.slice(0, 150), folder / "shared.aem", effort="fast", embed=True)
    Autoencoder(4, max_epochs=2, random_state=0).fit(digits).save(folder / "m.safetensors")
    add("codes", digits[:300], folder / "m.safetensors", codes=True, effort="fast")
    (folder / "d").mkdir()
    for place in range(12):
        Image.fromarray(digits[place] * 15).save(folder / "d" / f"{place}.png")
    (folder / "d" / "note.txt").write_text("some text " * 30)
    add("folder", folder / "d", effort="fast")
    return found


def bent(base: np.ndarray) -> np.ndarray:
    """Return columns of which two are curves of the first."""
    return np.stack([base[:, 0], base[:, 0] ** 2, np.sin(3 * base[:, 0]), base[:, 1]], 1)


def decoded(data: bytes, model: ModelFile | None) -> list[Any]:
    """Return the place and the hash of every block, or the name and the hash of every file."""
    header, blocks = open_blocks(io.BytesIO(data), 1, model)
    if header.made_from.get("kind") == "folder":
        found = folder_content(header, blocks)
        return [(name, xxhash.xxh3_64_intdigest(bytes(held))) for name, held in found.items()]
    return [(b.member, b.first, header.members[b.member].digest(b.rows)) for b in blocks]


def sections(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return kind, first and last byte of each section."""
    stream = io.BytesIO(data)
    read_start(stream)
    found, begun = [], stream.tell()
    for section in read_sections(stream):
        found.append((section.kind, begun, stream.tell()))
        begun = stream.tell()
    return found


def has_network(data: bytes) -> bool:
    """Whether the first block, of an array, is coded by columns with a network (methods 2, 3)."""
    _, first, last = next(part for part in sections(data) if part[0] == b"BLCK")
    body = data[first + 16 + 28 : last - 8]
    return body[0] == 2 and split(body[1:])[1][0] == 3


def resealed(data: bytearray, part: tuple[bytes, int, int]) -> bytes:
    """Make the hash of a section's payload fit again."""
    _, first, last = part
    payload = bytes(data[first + 16 : last - 8])
    data[last - 8 : last] = struct.pack("<Q", xxhash.xxh3_64_intdigest(payload))
    return bytes(data)


class Judge:
    """Counts what happens to changed files of one kind."""

    def __init__(self, name: str, data: bytes, model: ModelFile | None) -> None:
        self.name, self.data, self.model = name, data, model
        self.expected = decoded(data, model)
        self.seen: Counter[str] = Counter()
        self.slowest = 0.0

    def judge(self, changed: bytes) -> None:
        """Decode a changed file."""
        begun = time.perf_counter()
        try:
            same = decoded(changed, self.model) == self.expected
            self.seen["same" if same else "WRONG DATA"] += 1
        except AutoencodeError as error:
            placed = any(word in str(error) for word in PLACED)
            self.seen["refused" if placed else f"refused, not saying where: {error}"] += 1
        except Exception as error:  # noqa: BLE001 -- that is what is looked for
            self.seen[f"CRASH {type(error).__name__}: {error}"[:120]] += 1
        self.slowest = max(self.slowest, time.perf_counter() - begun)


def changes(judge: Judge, count: int, rng: np.random.Generator) -> None:
    """Change single bytes."""
    parts = sections(judge.data)
    blocks = [part for part in parts if part[0] == b"BLCK"]
    for number in range(count):
        changed = bytearray(judge.data)
        if number % 2:
            # Blocks are chosen as often as all other sections together.
            some = blocks if rng.random() < 0.5 else parts
            part = some[int(rng.integers(len(some)))]
            place = int(rng.integers(part[1] + 16, part[2] - 8))
            changed[place] ^= int(rng.integers(1, 256))
            judge.judge(resealed(changed, part))
        else:
            changed[int(rng.integers(len(changed)))] ^= int(rng.integers(1, 256))
            judge.judge(bytes(changed))


def cuts_and_swaps(judge: Judge, most: int) -> None:
    """Cut the file off after each byte (or ``most`` of them), and swap its blocks."""
    for length in np.unique(np.linspace(0, len(judge.data) - 1, most).astype(int)):
        judge.judge(judge.data[:length])
    parts = sections(judge.data)
    places = [at for at, part in enumerate(parts) if part[0] == b"BLCK"]
    for first, second in pairwise(places):
        order = list(range(len(parts)))
        order[first], order[second] = second, first
        pieces = [judge.data[parts[at][1] : parts[at][2]] for at in order]
        judge.judge(judge.data[:12] + b"".join(pieces))


def main() -> None:
    """Change them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=10_000, help="in all")
    parser.add_argument("--prefixes", type=int, default=400, help="of each file")
    parser.add_argument("--only", nargs="*", help="these kinds of file")
    options = parser.parse_args()
    print(versions(("numpy", "pyarrow", "torch", "xxhash", "pcodec", "pillow")))
    rng = np.random.default_rng(SEED)
    total: Counter[str] = Counter()
    # Networks are trained for a short while, and models of codes loaded once.
    EFFORTS["default"] = replace(EFFORTS["default"], training_steps=1000, training_seconds=900.0)
    codes._loaded = functools.cache(codes._loaded)
    with tempfile.TemporaryDirectory() as folder:
        files = made(Path(folder))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, (data, model) in files.items():
        if options.only and name not in options.only:
            continue
        judge = Judge(name, data, model)
        if name == "network":
            print(f"a network is in it: {has_network(data)}", flush=True)
        changes(judge, -(-options.flips // len(files)), rng)
        cuts_and_swaps(judge, options.prefixes)
        total += judge.seen
        print(f"{name}, {len(data):,} bytes, {len(judge.expected)} blocks: {dict(judge.seen)}, "
              f"slowest {judge.slowest:.2f} s", flush=True)  # fmt: skip
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"all: {dict(total)}; memory grew by {grown / 1024:.0f} MB")


if __name__ == "__main__":
    main()
