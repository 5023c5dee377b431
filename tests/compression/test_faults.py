"""Damaged files: an error that says where, never wrong data, a crash or a claim believed."""

from __future__ import annotations

import io
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from autoencode import compress, decompress, open_compressed
from autoencode.compression import files, members
from autoencode.compression.container import SectionWriter, read_sections, read_start
from autoencode.compression.files import verify
from autoencode.compression.packing import pack
from autoencode.compression.reading import read_all, stream_blocks
from autoencode.compression.recovery import lost_rows, recover_blocks
from autoencode.compression.restoring import write_restored
from autoencode.errors import AutoencodeError, DataError
from autoencode.strict_json import write_json

rng = np.random.default_rng(0)
ROWS = np.cumsum(rng.integers(-2, 3, (40, 3)), 0)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of four blocks."""
    path = tmp_path_factory.mktemp("faults") / "x.aez"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "BLOCK_VALUES", 30)
        compress(ROWS, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("faults") / "y.aez"
    compress(pa.table({"a": [1, 2, None], "b": ["x", "y", "x"]}), path)
    return path.read_bytes()


def sections(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return kind, first and last byte of each section."""
    stream = io.BytesIO(data)
    read_start(stream)
    found, begun = [], stream.tell()
    for section in read_sections(stream):
        found.append((section.kind, begun, stream.tell()))
        begun = stream.tell()
    return found


def test_every_prefix_is_refused(small: bytes, tmp_path: Path) -> None:
    for length in range(len(small)):
        with pytest.raises(DataError, match=r"cut off|not a file"):
            verify(io.BytesIO(small[:length]))
    (tmp_path / "x.aez").write_bytes(small[:-1])
    with pytest.raises(DataError, match=r"x\.aez: "):
        open_compressed(tmp_path / "x.aez")
    with pytest.raises(DataError, match=r"x\.aez: is cut off"):
        decompress(tmp_path / "x.aez")


def test_every_flipped_bit_is_found(several: bytes) -> None:
    for place in range(len(several)):
        changed = bytearray(several)
        changed[place] ^= 1 << place % 8
        stream = io.BytesIO(bytes(changed))
        try:
            _, found = read_all(stream)
        except DataError:
            continue
        # The minor version and the byte after it say nothing yet.
        assert place in (9, 10, 11), place
        assert (found[0] == ROWS).all()


def resealed(data: bytes, first: int, last: int, place: int) -> bytes:
    """Change a byte of a section's payload and make its hash fit again."""
    changed = bytearray(data)
    changed[place] ^= 1 << place % 8
    payload = bytes(changed[first + 16 : last - 8])
    changed[last - 8 : last] = struct.pack("<Q", xxhash.xxh3_64_intdigest(payload))
    return bytes(changed)


def test_damage_that_hashes_do_not_show_is_an_error_or_seen_after_decoding(
    small: bytes, several: bytes
) -> None:
    for data, expected in ((small, None), (several, ROWS)):
        for kind, first, last in sections(data):
            for place in range(first + 16, last - 8):
                stream = io.BytesIO(resealed(data, first, last, place))
                try:
                    header, found = read_all(stream)
                except AutoencodeError:
                    continue
                # Only what is not part of the data: the index, which streams do not use,
                # the hash of the file's bytes, or how the data came to be.
                if expected is not None and kind == b"BLCK":
                    assert (found[0] == expected).all()
                assert kind in (b"INDX", b"FOOT", b"HEAD") or found[0] is not None
                assert header.members


def test_errors_name_the_block_and_what_is_before_it_is_sound(several: bytes) -> None:
    blocks = [part for part in sections(several) if part[0] == b"BLCK"]
    assert len(blocks) == 4
    changed = resealed(several, *blocks[2][1:], blocks[2][2] - 12)
    found: list[Any] = []
    with pytest.raises(DataError, match="block 2 "):
        found.extend(stream_blocks(io.BytesIO(changed)))
    stream = stream_blocks(io.BytesIO(changed))
    next(stream)
    assert (
        [next(stream).rows.tolist() for _ in range(2)]
        == [  # type: ignore[union-attr]
            ROWS[:10].tolist(),
            ROWS[10:20].tolist(),
        ]
    )


def test_blocks_that_are_swapped_missing_or_twice_are_noticed(several: bytes) -> None:
    parts = sections(several)
    pieces = [several[:12], *(several[first:last] for _, first, last in parts)]
    swapped = [*pieces[:2], pieces[3], pieces[2], *pieces[4:]]
    twice = [*pieces[:3], pieces[2], *pieces[3:]]
    missing = [*pieces[:3], *pieces[4:]]
    last_missing = [*pieces[:5], *pieces[6:]]
    for changed in (swapped, twice, missing, last_missing):
        with pytest.raises(DataError, match=r"out of order|blocks|missing"):
            verify(io.BytesIO(b"".join(changed)))


def made(head: dict[str, Any], blocks: list[bytes] = [], other: bytes = b"") -> bytes:  # noqa: B006
    """Write a file of a header and blocks that nobody checked."""
    stream = io.BytesIO()
    writer = SectionWriter(stream)
    text = write_json(head, "x").encode()
    writer.write(b"HEAD", pack(len(text).to_bytes(4, "little") + text))
    for block in blocks:
        writer.write(b"BLCK", block)
    if other:
        writer.write(other, b"?")
    at = writer.write(b"INDX", pack(b""))
    writer.finish(len(blocks), at, xxhash.xxh3_64_intdigest(b""))
    return stream.getvalue()


def test_claims_of_size_are_not_believed() -> None:
    rows = 10**12
    member = {"array": "<f8", "shape": [rows, 4]}
    head = {"from": {"kind": "array"}, "members": [member]}
    with pytest.raises(DataError, match="rows are missing"):
        read_all(io.BytesIO(made(head)))
    block = struct.pack("<IQQQ", 0, 0, rows, 0) + b"\0" * 20
    with pytest.raises(DataError, match=r"block 0 .*claims 1,000,000,000,000 rows"):
        read_all(io.BytesIO(made(head, [block])))
    bomb = struct.pack("<IQQQ", 0, 0, 1 << 20, 0) + b"\0\0" + pack(bytes(1000))
    with pytest.raises(DataError, match="block 0"):
        read_all(io.BytesIO(made(head, [bomb])))
    for shape in ([-1], [1 << 50], [1 << 40, 1 << 40], "x", [1.5]):
        member["shape"] = shape
        with pytest.raises(DataError, match="shape"):
            read_all(io.BytesIO(made(head)))
    member.update(array="|O", shape=[3])
    with pytest.raises(DataError, match="type is wrong"):
        read_all(io.BytesIO(made(head)))


def test_sections_and_versions_that_are_not_known() -> None:
    head = {"from": {"kind": "array"}, "members": []}
    read_all(io.BytesIO(made(head, other=b"note")))
    with pytest.raises(DataError, match="'NOTE' that this version does not know"):
        read_all(io.BytesIO(made(head, other=b"NOTE")))
    later = bytearray(made(head))
    later[8] = 2
    with pytest.raises(DataError, match=r"format version 2\.0"):
        read_all(io.BytesIO(bytes(later)))
    with pytest.raises(DataError, match="not a file that autoencode"):
        read_all(io.BytesIO(b"PK\3\4 something else"))


def test_undamaged_blocks_are_recovered(several: bytes, tmp_path: Path) -> None:
    blocks = [part for part in sections(several) if part[0] == b"BLCK"]
    changed = bytearray(several)
    changed[blocks[1][1] + 30] ^= 1
    path = tmp_path / "x.aez"
    path.write_bytes(bytes(changed)[: blocks[3][2] - 5])
    header, found = recover_blocks(path)
    assert [block.first for block in found] == [0, 20]
    assert lost_rows(header, found) == [("", 10, 19), ("", 30, 39)]
    assert (
        np.concatenate([block.rows for block in found]) == ROWS[[*range(10), *range(20, 30)]]
    ).all()
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="nothing can be recovered"):
        recover_blocks(path)


def test_a_file_that_fails_leaves_the_old_output(small: bytes, tmp_path: Path) -> None:
    output = tmp_path / "t.parquet"
    output.write_text("old")
    with pytest.raises(DataError):
        write_restored(io.BytesIO(small[:-30]), output)
    assert output.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


KILLED = """
import os, signal
import numpy as np
from autoencode import compress
from autoencode.compression import files

def killed(stream, *others):
    if stream.writable():
        stream.write(b"half")
        stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)

files.{step} = killed
compress(np.arange(30.0), "x.aez", effort="fast", n_threads=1)
"""


@pytest.mark.parametrize("step", ["write_members", "verify"])
def test_a_file_is_the_old_one_or_none_when_killed(
    run: Callable[..., Any], tmp_path: Path, step: str
) -> None:
    program, target = tmp_path / "killed.py", tmp_path / "x.aez"
    program.write_text(KILLED.format(step=step))
    assert run(program=program, folder=tmp_path).returncode == -signal.SIGKILL
    assert not target.exists()
    target.write_text("old")
    assert run(program=program, folder=tmp_path).returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    compress(np.arange(30.0), target, effort="fast", n_threads=1)
    assert (decompress(target) == np.arange(30.0)).all()


def test_an_interrupted_file_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "verify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compress(np.arange(30.0), tmp_path / "x.aez", effort="fast", n_threads=1)
    assert list(tmp_path.iterdir()) == []


def test_damage_of_the_header_is_said_to_be_there() -> None:
    head = {"from": {"kind": "array"}, "members": [{"array": "<f8", "shape": [3], "errors": "x"}]}
    with pytest.raises(DataError, match="its header: "):
        read_all(io.BytesIO(made(head)))
