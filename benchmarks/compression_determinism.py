"""The same bytes, and the same data back, whatever BLAS and however many threads.

Each setting is a process of its own, which compresses a table, an array and a field, and
decompresses the files of the first setting. Prints one hash of each per setting. What a network
learns may differ, so one file with a network is made by the first setting and decompressed by all.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS: tuple[dict[str, str], ...] = (
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"},
    {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1"},
    {"MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "1"},
    {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F", "OMP_NUM_THREADS": "1"},
)


def child(folder: Path, first: bool) -> None:
    """Compress and decompress; print hashes."""
    import numpy as np
    import pyarrow as pa

    from autoencode import compress, decompress

    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 3))
    array = (hidden @ rng.normal(size=(3, 12))).astype(np.float32)
    table = pa.table(
        {"n": np.cumsum(rng.integers(-3, 4, 400)), "t": [f"{v:.0f}" for v in hidden[:, 0]]}
    )
    field = np.cumsum(rng.normal(size=(6, 20, 20)), 1).astype(np.float32)
    found = {}
    for name, data in (("array", array), ("table", table), ("field", field)):
        path = folder / f"{name}.aez"
        own = path if first else path.with_suffix(".own")
        compress(data, own, relative=1e-3)
        found[f"{name} compressed"] = hashlib.sha256(own.read_bytes()).hexdigest()[:12]
        back = decompress(path)
        raw = back.tobytes() if isinstance(back, np.ndarray) else repr(back.to_pydict()).encode()
        found[f"{name} decompressed"] = hashlib.sha256(raw).hexdigest()[:12]
    path = folder / "network.aez"
    if first:
        base = rng.normal(size=(4000, 2))
        curves = np.stack([base[:, 0], base[:, 0] ** 2, np.sin(3 * base[:, 0]), base[:, 1]], 1)
        curves += rng.normal(scale=0.01, size=curves.shape)
        without = compress(curves, path, relative=1e-3, model=False)
        size = compress(curves, path, relative=1e-3)
        assert size < without, "no network is in the file"
    found["network decompressed"] = hashlib.sha256(decompress(path).tobytes()).hexdigest()[:12]
    print(json.dumps(found))


def main() -> None:
    """Run all settings."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for place, setting in enumerate(SETTINGS):
            arguments = [sys.executable, __file__, folder, "first" if place == 0 else "other"]
            done = subprocess.run(
                arguments,
                env={**os.environ, **setting},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"{setting}: not run here: {done.stderr.strip().splitlines()[-1]}")
                continue
            results.append(json.loads(done.stdout))
            print(setting, results[-1])
    same = all(result == results[0] for result in results)
    print(f"{len(results)} settings, {'all the same' if same else 'NOT the same'}")
    sys.exit(not same)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(Path(sys.argv[1]), sys.argv[2] == "first")
    else:
        main()
