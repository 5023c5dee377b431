"""Models of tables as ONNX: columns go in and come out as the model takes and gives them."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest

import autoencode
from autoencode import Autoencoder
from autoencode.errors import DataError
from autoencode.export import export_onnx

# The layers are float32.
TOLERANCE = 1e-5
MISSING = -(2**63)
N = 240
START = datetime.datetime(2007, 11, 1, 6)
STAMP = "%Y-%m-%dT%H:%M:%S+02:00"


def penguins(seed: int = 0) -> pa.Table:
    """Make a table with columns of every kind, a tenth of it missing.

    Four of them lie on a curve, which a network codes better than PCA.
    """
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 3, N)
    turn = rng.uniform(0, 2 * np.pi, N)

    def holes(values: Any, arrow_type: Any = None) -> pa.Array:
        drawn = rng.random(N) < 0.1
        plain = values.tolist() if isinstance(values, np.ndarray) else values
        return pa.array([None if d else v for d, v in zip(drawn, plain, strict=True)], arrow_type)

    days = [START + datetime.timedelta(days=int(d)) for d in rng.integers(0, 900, N)]
    times = [d + datetime.timedelta(seconds=9876 * i) for i, d in enumerate(days)]
    stages = pa.DictionaryArray.from_arrays(place, ["egg", "chick", "adult"], ordered=True)
    return pa.table(
        {
            "species": holes(np.array(["Adelie", "Chinstrap", "Gentoo"])[place]),
            "island": holes(rng.choice(["Biscoe", "Dream", "", "Torgersen"], N)),
            "sex": holes(rng.choice(["female", "male"], N)),
            "stage": holes(stages.to_pylist()).dictionary_encode().cast(stages.type),
            "ring": holes(np.array([f"ring {i % 230}" for i in range(N)])),
            "bill": holes(45 + 5 * np.cos(turn) + 0.1 * rng.normal(size=N)),
            "depth": holes(17 + 5 * np.sin(turn) + 0.1 * rng.normal(size=N)),
            "mass": holes((3500 + 800 * np.cos(2 * turn)).astype(np.int64)),
            "flipper": holes((2000 + 100 * np.sin(2 * turn)).astype(np.int64)),
            "eggs": holes(rng.poisson(1.5, N), pa.int32()),
            "tagged": holes(rng.random(N) < 0.4),
            "tested": holes(rng.choice([0.0, 1.0], N)),
            "seen": holes([d.date() for d in days]),
            "at": holes(times, pa.timestamp("us", tz="UTC")),
            "noted": holes([t.strftime(STAMP) for t in times]),
            "study": ["PAL0708"] * N,
            "id": [f"N{i}A{i % 7}" for i in range(N)],
        }
    )


KINDS = {"ring": "categorical"}
LEFT_OUT = {"study", "id"}


def tensors(table: pa.Table, ends: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Turn columns into tensors as the metadata say."""
    found = {}
    for end in ends:
        column = table.column(end["column"])
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_date32(column.type):
            column = column.cast(pa.int32())
        elif pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        cells = column.to_pylist()
        if end["column"] == "noted":
            epoch = datetime.datetime(1970, 1, 1)
            read = [None if c is None else datetime.datetime.strptime(c, STAMP) for c in cells]
            cells = [None if r is None else (r.replace(tzinfo=None) - epoch) for r in read]
            cells = [None if c is None else 86400 * c.days + c.seconds for c in cells]
        dtype = {"string": object, "double": float, "int64": np.int64}[end["type"]]
        missing = float("nan") if end["missing"] == "NaN" else end["missing"]
        found[end["name"]] = np.array([missing if c is None else c for c in cells], dtype)
    return found


class Graph:
    """An exported file, run."""

    def __init__(self, path: Path) -> None:
        proto = onnx.load(path)
        onnx.checker.check_model(proto, full_check=True)
        options = onnxruntime.SessionOptions()
        # Warnings would be printed.
        options.log_severity_level = 2
        self.session = onnxruntime.InferenceSession(path, options)
        metadata = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
        self.names = metadata["feature_names"]
        self.inputs, self.outputs = metadata.get("inputs"), metadata.get("outputs")

    def __call__(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, given), strict=True))

    def codes(self, table: pa.Table) -> np.ndarray:
        (found,) = self(tensors(table, self.inputs)).values()
        assert found.dtype == np.float32
        return found


def exported(model: Autoencoder, folder: Path, part: str = "encoder") -> Graph:
    path = folder / f"{part}.onnx"
    export_onnx(model, path, part=part, force=True)
    return Graph(path)


def difference(mine: np.ndarray, reference: np.ndarray) -> float:
    """Give the largest difference, as a share of the largest value."""
    assert np.isfinite(reference).all()
    return float(np.abs(mine - reference).max() / np.abs(reference).max())


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    options = {"hidden_layer_sizes": (32,), "max_epochs": 20, "random_state": 0}
    fitted = Autoencoder(3, columns=KINDS, **options).fit(penguins())
    assert fitted.gate_ == 1
    kinds = {block.kind for block in fitted._state.schema.blocks}
    assert {"constant", "identifier", "binary", "ordered", "count", "datetime"} < kinds
    return fitted


@pytest.fixture(scope="module")
def encoder(model: Autoencoder, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return exported(model, tmp_path_factory.mktemp("encoder"))


def test_codes_are_those_of_the_model(model: Autoencoder, encoder: Graph) -> None:
    for table in (penguins(), penguins(1)):
        assert table.column("bill").null_count > 10
        wanted = model.transform(table)
        assert difference(encoder.codes(table), wanted) <= TOLERANCE
    # Any number of rows, each the same alone.
    alone = np.concatenate([encoder.codes(table.slice(place, 1)) for place in range(3)])
    assert difference(alone, wanted[:3]) <= TOLERANCE


def test_rows_with_nothing_missing_or_everything(model: Autoencoder, encoder: Graph) -> None:
    table = penguins()
    complete = pd.DataFrame({name: table[name].to_pylist() for name in table.column_names})
    complete = table.filter(pa.array(complete.notna().all(axis=1).to_numpy()))
    assert 0 < len(complete) < N
    assert difference(encoder.codes(complete), model.transform(complete)) <= TOLERANCE
    nothing = pa.table({f.name: pa.nulls(2, f.type) for f in table.schema}, schema=table.schema)
    assert difference(encoder.codes(nothing), model.transform(nothing)) <= TOLERANCE


@pytest.mark.parametrize("name", ["species", "sex", "ring", "tested", "tagged"])
def test_an_unseen_level_is_one(name: str, model: Autoencoder, encoder: Graph) -> None:
    table = penguins().slice(0, 20)
    given = tensors(table, encoder.inputs)
    plain = (given | {name: given[name].copy()})[name]
    plain[:] = {"O": "Macaroni", "f": 0.25, "i": 7}[plain.dtype.kind]
    (codes,) = encoder(given | {name: plain}).values()
    if name == "tagged":
        # No table could hold such a cell: what is neither true nor false is missing.
        column = pa.nulls(20, pa.bool_())
    else:
        column = pa.array(plain.tolist(), table[name].type)
    place = table.column_names.index(name)
    assert difference(codes, model.transform(table.set_column(place, name, column))) <= TOLERANCE
    assert not np.allclose(codes, model.transform(table), atol=1e-3)


def test_the_empty_text_is_a_level_where_it_was_one(model: Autoencoder, encoder: Graph) -> None:
    table = penguins()
    given = tensors(table, encoder.inputs)
    assert "" in given["island"]
    assert "<missing>" in given["island"]
    assert "" in given["species"]
    swapped = np.where(given["island"] == "", "<missing>", given["island"]).astype(object)
    (codes,) = encoder(given | {"island": swapped}).values()
    emptied = [None if cell == "" else cell for cell in table["island"].to_pylist()]
    wanted = model.transform(table.set_column(1, "island", pa.array(emptied)))
    assert difference(codes, wanted) <= TOLERANCE
    assert difference(codes, model.transform(table)) > 1e-3


def test_the_metadata_say_what_goes_in(model: Autoencoder, encoder: Graph) -> None:
    assert encoder.outputs is None
    assert encoder.names == penguins().column_names
    assert [end["name"] for end in encoder.inputs] == [
        name for name in encoder.names if name not in LEFT_OUT
    ]
    found = {end["name"]: end for end in encoder.inputs}
    assert found["species"] == {
        "name": "species",
        "column": "species",
        "type": "string",
        "unit": None,
        "missing": "",
    }
    assert found["bill"] | {"type": "double", "missing": "NaN"} == found["bill"]
    assert found["mass"] | {"type": "int64", "missing": MISSING} == found["mass"]
    units = {name: end["unit"] for name, end in found.items() if end["unit"]}
    assert units == {
        "tagged": "0 is false, 1 is true",
        "seen": "days since 1970-01-01",
        "at": "microseconds since 1970-01-01T00:00:00Z",
        "noted": "seconds since 1970-01-01T00:00:00+02:00",
    }
    ends = {end.name: end for end in encoder.session.get_inputs()}
    assert {name: end.type for name, end in ends.items()} == {
        name: f"tensor({end['type']})" for name, end in found.items()
    }
    assert all(end.shape == ["batch"] for end in ends.values())
    (codes,) = encoder.session.get_outputs()
    assert (codes.name, codes.shape) == ("codes", ["batch", 3])


@pytest.mark.parametrize("hidden", [(), (32,)])
def test_columns_come_back(hidden: tuple[int, ...], tmp_path: Path) -> None:
    curve = ["bill", "depth", "mass", "flipper"]
    names = ["species", *curve, "tagged", "tested", "seen", "study", "id"]
    table = penguins().select(names)
    small = Autoencoder(3, hidden_layer_sizes=hidden, max_epochs=20, random_state=0).fit(table)
    assert small.gate_ == bool(hidden)
    codes = small.transform(table).astype(np.float32)
    wanted = small.inverse_transform(codes.astype(np.float64))
    decoder = exported(small, tmp_path, "decoder")
    assert decoder.inputs is None
    assert [end["name"] for end in decoder.outputs] == names[:-1]
    found = decoder({"codes": codes})
    for name, column in tensors(wanted, decoder.outputs).items():
        assert found[name].dtype == column.dtype
        assert found[name].shape == (N,)
        if name in ("bill", "depth"):
            assert difference(found[name], column) <= TOLERANCE
        else:
            # What is rounded to a level or an integer may fall to the other side.
            assert np.mean(found[name] == column) >= 0.98
    assert set(found["study"]) == {"PAL0708"}
    assert set(found["tagged"]) == {0, 1}
    assert set(found["tested"]) <= {0.0, 1.0}


# Names, other models, and what is refused.


@pytest.fixture(scope="module")
def awkward() -> pa.Table:
    rng = np.random.default_rng(0)
    size = rng.normal(size=60)
    return pa.table(
        {
            "codes": 1e6 + size,
            "inside/output 0": size + 0.1 * rng.normal(size=60),
            "größe": np.where(size > 0, "groß", "klein").tolist(),
            "größe_reconstruction": np.round(100 * size).astype(np.int64),
        }
    )


@pytest.fixture(scope="module")
def linear(awkward: pa.Table) -> Autoencoder:
    fitted = Autoencoder(2, hidden_layer_sizes=()).fit(awkward)
    assert fitted.gate_ == 0
    return fitted


def test_pca_through_columns_with_awkward_names(
    linear: Autoencoder, awkward: pa.Table, tmp_path: Path
) -> None:
    graph = exported(linear, tmp_path, "autoencoder")
    names = {end["column"]: end["name"] for end in graph.inputs}
    assert names == {name: name for name in awkward.column_names} | {"codes": "codes_"}
    found = graph(tensors(awkward, graph.inputs))
    wanted = tensors(linear.reconstruct(awkward), graph.outputs)
    assert list(found) == [
        "codes_reconstruction",
        "inside/output 0_reconstruction",
        "größe_reconstruction_",
        "größe_reconstruction_reconstruction",
    ]
    # The deviations of "codes" are a millionth of its mean.
    deviations = found["codes_reconstruction"] - 1e6
    assert difference(deviations, wanted["codes_reconstruction"] - 1e6) <= TOLERANCE
    assert np.array_equal(found["größe_reconstruction_"], wanted["größe_reconstruction_"])


def test_a_loaded_encoder_exports_the_same(
    linear: Autoencoder, awkward: pa.Table, tmp_path: Path
) -> None:
    linear.save(tmp_path / "half.safetensors", encoder_only=True)
    loaded = autoencode.load(tmp_path / "half.safetensors")
    codes = exported(loaded, tmp_path).codes(awkward)
    assert difference(codes, linear.transform(awkward)) <= TOLERANCE
    with pytest.raises(DataError, match="encoder_only"):
        export_onnx(loaded, tmp_path / "refused.onnx", part="decoder")


def test_a_part_with_a_column_that_cannot_be_in_it_is_refused(tmp_path: Path) -> None:
    numbers = np.arange(60.0)
    table = pa.table({"x": numbers, "hash": pa.array([2**63 + 5] * 60, pa.uint64())})
    fitted = Autoencoder(1, hidden_layer_sizes=()).fit(table)
    for part in ("decoder", "autoencoder"):
        with pytest.raises(DataError, match=r"^column 'hash' cannot be exported: its level 9"):
            export_onnx(fitted, tmp_path / "model.onnx", part=part)
    assert list(tmp_path.iterdir()) == []
