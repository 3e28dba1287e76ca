"""What is committed of a recording in chunks while it is written: a log that is only appended to.

`NAME.partial` holds it; the chunks themselves stand in `NAME.chunks-G`, the HDF5 file under
construction, whose own metadata are not to be trusted until it is finished. Each entry of the log
says which chunks are safe by then, and holds the rows of those that were not complete. An entry
counts if it is whole: its length and checksum tell. docs/format.md has the bytes.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from isal.isal_zlib import crc32

from actscope.errors import FormatError, first_line
from actscope.store.checksums import SLOTS

MAGIC = b"actscope"
_HEADER = struct.Struct("<8sIQQ")

MAXIMUM_WORDS = 2**26
"""Bytes of an entry's JSON text; a million chunks take about 30 MB."""

MAXIMUM_NUMBER = 2**63 - 1


def partial_path(path: Path) -> Path:
    """What a recording is called before it gets its name: the journal of one in chunks."""
    return path.with_name(path.name + ".partial")


def chunks_path(path: Path, generation: int) -> Path:
    """Where the chunks of a recording stand until it gets its name."""
    return path.with_name(f"{path.name}.chunks-{generation}")


@dataclass(frozen=True)
class Placed:
    """Where an encoded chunk stands in the file of the chunks."""

    offset: int
    size: int


class PlacedChunk(NamedTuple):
    """An encoded chunk of a dataset, by its number in C order, and where it stands."""

    dataset: str
    number: int
    offset: int
    size: int


@dataclass(frozen=True)
class Tail:
    """Rows of a chunk that was not complete, and where the journal holds their bytes."""

    dataset: str
    first: int
    rows: int
    position: int
    size: int


@dataclass
class Journal:
    """All that is committed, gathered from the entries.

    Attributes:
        path: where it stands.
        generation: which file of chunks it speaks of.
        skeleton: the image of an HDF5 file with everything but the rows.
        is_open_ended: whether the number of rows turns out at the end.
        replaces: whether a finished recording of the same name is to be replaced.
        rows: committed rows.
        chunks: for each dataset the places of its chunks, by their number in C order.
        order: the dataset and number of every chunk, as they were placed one after another.
        blocks: for each dataset the checksums of the blocks that are full.
        tails: rows that stand in the journal itself.
        end: where the last whole entry ends.
        state_size: bytes of the state of the statistics.
        state_place: where its two slots begin.
        state_slot: which of them is good for the committed rows, and the checksum of its bytes.
        content: the journal's own bytes, mapped, so that they outlive the file's name.
        encoded: those of the file of the chunks.
    """

    path: Path
    generation: int
    skeleton: bytes
    is_open_ended: bool
    replaces: bool
    rows: int = 0
    chunks: dict[str, dict[int, Placed]] = field(default_factory=dict)
    order: list[tuple[str, int]] = field(default_factory=list)
    blocks: dict[str, list[int]] = field(default_factory=dict)
    tails: list[Tail] = field(default_factory=list)
    end: int = 0
    state_size: int = 0
    state_place: int = 0
    state_slot: tuple[int, int] = (0, 0)
    content: memoryview = field(default_factory=lambda: memoryview(b""))
    encoded: memoryview = field(default_factory=lambda: memoryview(b""))

    def chunk(self, dataset: str, number: int) -> memoryview:
        """The bytes of a chunk."""
        placed = self.chunks[dataset][number]
        return self.encoded[placed.offset : placed.offset + placed.size]


def mapped(path: Path) -> memoryview:
    """The bytes of a file, mapped for reading."""
    size = path.stat().st_size
    return memoryview(np.memmap(path, np.uint8, "r")) if size else memoryview(b"")


def first_entry(skeleton: bytes, *, is_open_ended: bool, replaces: bool) -> bytes:
    """What a journal begins with."""
    words = {"generation": 0, "is-open-ended": is_open_ended, "replaces": replaces}
    return _entry(words, [skeleton])


def state_entry(size: int) -> bytes:
    """Room for the two slots of the statistics' state, which change and have no checksum here."""
    return _entry({"state-size": size}, [bytes(SLOTS * size)], is_fixed=False)


def journal_state(journal: Journal) -> bytes:
    """The state of the statistics of the committed rows.

    Raises:
        FormatError: it differs from its checksum.
    """
    slot, checksum = journal.state_slot
    start = journal.state_place + slot * journal.state_size
    content = bytes(journal.content[start : start + journal.state_size])
    if crc32(content) != checksum:
        raise FormatError(f"{journal.path}: the statistics differ from their checksum: damaged")
    return content


def commit_entry(
    rows: int,
    placed: Sequence[PlacedChunk],
    blocks: Mapping[str, Sequence[int]],
    tails: Sequence[tuple[str, int, int, Sequence[memoryview]]],
    *,
    generation: int | None = None,
    state: tuple[int, int] | None = None,
) -> bytes:
    """A commit of `rows` rows.

    Args:
        rows: committed rows, from the first.
        placed: the chunks since the last commit, in the order in which they were placed.
        blocks: for each dataset the checksums of blocks that became full since.
        tails: dataset, first row, number of rows, bytes.
        state: which slot holds the statistics' state, and the checksum of it.
        generation: given where all chunks have moved to another file; all of them are listed.
    """
    chunks: dict[str, list[tuple[int, int, int]]] = {}
    for dataset, number, offset, size in placed:
        chunks.setdefault(dataset, []).append((number, offset, size))
    positions = {dataset: position for position, dataset in enumerate(chunks)}
    words: dict[str, Any] = {
        "rows": rows,
        "chunks": chunks,
        "order": [positions[chunk.dataset] for chunk in placed],
        "blocks": {dataset: list(sums) for dataset, sums in blocks.items() if sums},
        "tails": [
            (dataset, first, count, sum(map(len, parts))) for dataset, first, count, parts in tails
        ],
    }
    if generation is not None:
        words["generation"] = generation
    if state is not None:
        words["state"] = state
    return _entry(words, [part for *_, parts in tails for part in parts])


def _entry(
    words: Mapping[str, Any], payload: Sequence[bytes | memoryview], *, is_fixed: bool = True
) -> bytes:
    content = b"".join(payload)
    checksum = crc32(content) if is_fixed else None
    text = json.dumps({**words, "payload-crc32": checksum}, separators=(",", ":")).encode()
    return _HEADER.pack(MAGIC, crc32(text), len(text), len(content)) + text + content


def is_journal(path: Path) -> bool:
    """Whether a file begins like a journal."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_journal(path: Path) -> Journal:
    """Everything up to the last whole entry.

    Raises:
        FormatError: not even the first entry is whole, or an entry is not what it must be.
    """
    journal: Journal | None = None
    try:
        for words, position, content in _entries(path):
            if journal is None:
                journal = Journal(
                    path=path,
                    generation=_whole(words["generation"]),
                    skeleton=content,
                    is_open_ended=bool(words["is-open-ended"]),
                    replaces=bool(words["replaces"]),
                )
            elif "state-size" in words:
                journal.state_size = _whole(words["state-size"])
                journal.state_place = position
            else:
                _take_in(journal, words, position, len(content))
            journal.end = position + len(content)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"{path}: the entry at byte {journal.end if journal else 0:,} is malformed: "
            f"{first_line(error)[:200]}"
        ) from error
    if journal is None:
        raise FormatError(f"{path} is not a journal of an actscope recording")
    journal.content = mapped(path)
    return journal


def _entries(path: Path) -> Iterator[tuple[dict[str, Any], int, bytes]]:
    """The words of every whole entry, where its payload begins, and the payload."""
    with path.open("rb") as file:
        size = path.stat().st_size
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            magic, checksum, length, more = _HEADER.unpack(header)
            whole = file.tell() + length + more <= size and length <= MAXIMUM_WORDS
            if magic != MAGIC or not whole:
                return
            text = file.read(length)
            if crc32(text) != checksum:
                return
            words = json.loads(text)
            position = file.tell()
            content = file.read(more)
            if words["payload-crc32"] not in (None, crc32(content)):
                return
            yield words, position, content


def _take_in(journal: Journal, words: Mapping[str, Any], position: int, payload: int) -> None:
    rows = _whole(words["rows"])
    if rows < journal.rows:
        raise ValueError(f"{rows} rows after {journal.rows}")
    journal.rows = rows
    if "generation" in words:
        journal.generation = _whole(words["generation"])
        journal.chunks, journal.order = {}, []
    if "state" in words:
        slot, checksum = words["state"]
        journal.state_slot = _whole(slot) % SLOTS, _whole(checksum)
    for dataset, placed in words["chunks"].items():
        table = journal.chunks.setdefault(dataset, {})
        table.update((_whole(n), Placed(_whole(at), _whole(size))) for n, at, size in placed)
    journal.order.extend(_in_order(words["chunks"], words.get("order", ())))
    for dataset, sums in words["blocks"].items():
        journal.blocks.setdefault(dataset, []).extend(map(_whole, sums))
    end = position + payload
    for dataset, first, count, size in words["tails"]:
        journal.tails.append(
            Tail(str(dataset), _whole(first), _whole(count), position, _whole(size))
        )
        position += size
    if position != end:
        raise ValueError(f"the rows in an entry end {abs(position - end)} bytes beside its end")


def _in_order(
    chunks: Mapping[str, Sequence[Sequence[int]]], order: Sequence[int]
) -> Iterator[tuple[str, int]]:
    """The dataset and number of each chunk of a commit, as they were placed."""
    names, taken = list(chunks), Counter[str]()
    for position in order:
        name = names[_whole(position)]
        yield name, _whole(chunks[name][taken[name]][0])
        taken[name] += 1


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAXIMUM_NUMBER:
        raise ValueError(f"{str(value)[:80]!r} where a whole number is due")
    return value
