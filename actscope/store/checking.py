"""Compares the committed rows of a recording with the checksums that it holds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from actscope.errors import FormatError
from actscope.store import guarded, schema
from actscope.store.checksums import SLOTS, checksum, covering
from actscope.store.chunking import BAND_BYTES
from actscope.store.findings import Finding, finding
from actscope.store.journal import MAGIC, Journal
from actscope.store.rows import open_rows
from actscope.store.stored_checksums import StoredChecksums, read_checksums, read_slots
from actscope.store.stored_statistics import open_statistics
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import Structure, read_structure


def check_statistics(path: Path) -> list[Finding]:
    """Every tensor whose kept statistics cannot be read.

    Raises:
        FormatError: the file is not a recording, or its structure is damaged.
    """
    structure = read_structure(path)
    tensors = [t for t in structure.outputs if t.dataset in structure.statistics]
    if not tensors:
        return []
    found: list[Finding] = []
    try:
        with open_statistics(structure) as statistics_of:
            for tensor in tensors:
                try:
                    statistics_of(tensor)
                except FormatError as error:
                    found.append(finding(tensor.dataset, error, path))
    except FormatError as error:
        if read_structure(path).rows == structure.rows:  # else a run is writing it
            found.append(finding(f"/{schema.STATISTICS}", error, path))
    return found


def check(path: Path) -> list[Finding]:
    """Every block of committed rows that differs from its checksum, and every unusable checksum.

    Files without checksums, such as those of format 1.0.0, have no findings.

    Raises:
        FormatError: the file is not a recording, or its structure is damaged.
    """
    structure = read_structure(path)
    try:
        if structure.journal is not None:
            return _check_journal(path, structure, structure.journal)
        with guarded.open_file(path, structure.file) as root:
            stored = list(read_checksums(root, structure.samples))
            # After what they speak of: a run may be writing it.
            slots = read_slots(root) if stored else ()
    except FormatError as error:
        problem = finding("", error, path).problem
        return [Finding(f"/{schema.CHECKSUMS}", f"cannot be read: {problem}")]
    found = [found for sums in stored for found in _check(path, structure, sums, slots)]
    return [*found, *_uncovered(path, structure, stored)]


def _uncovered(
    path: Path, structure: Structure, stored: Sequence[StoredChecksums]
) -> Iterator[Finding]:
    """What can be said of rows without checksums: that they are without, and cannot be decoded."""
    covered = {sums.tensor for sums in stored}
    for tensor in structure.tensors:
        if tensor.dataset in covered:
            continue
        if stored:
            yield Finding(tensor.dataset, "its rows have no checksums, though others do")
        if tensor.chunk:
            yield from _undecodable(path, structure, tensor)


def _undecodable(path: Path, structure: Structure, tensor: StoredTensor) -> Iterator[Finding]:
    rows = open_rows(path, structure, tensor)
    step = max(1, BAND_BYTES // max(1, tensor.bytes_per_sample))
    try:
        for start in range(0, structure.rows, step):
            rows.between(start, min(start + step, structure.rows))
    except FormatError as error:
        yield finding(tensor.dataset, error, path)


def _check_journal(path: Path, structure: Structure, journal: Journal) -> list[Finding]:
    """The same for a recording in chunks that is not finished: its journal has the checksums."""
    planned = 0 if structure.is_open_ended else structure.samples
    stored = list(read_checksums(guarded.open_image(journal.skeleton, path), planned))
    found: list[Finding] = []
    if MAGIC in bytes(journal.content[journal.end + 1 :]):
        problem = (
            f"the entry at byte {journal.end:,} of the journal is damaged: rows after it are lost"
        )
        found.append(Finding("/", problem))
    for sums in stored:
        blocks = journal.blocks.get(sums.tensor, [])
        expected = structure.rows // sums.rows_per_block
        if len(blocks) < expected or len(blocks) > expected + 1:
            problem = f"the journal has {len(blocks):,} checksums for {expected:,} blocks"
            found.append(Finding(sums.tensor, problem))
        known = replace(sums, entries=(*sums.entries[:SLOTS], *blocks))
        # The rows of the open block have a checksum of their own in the journal.
        full = len(blocks) * sums.rows_per_block
        part = replace(structure, rows=min(full, structure.rows))
        found += _check(path, part, known, ())
    return [*found, *_uncovered(path, structure, stored)]


def _rows_together(tensor: StoredTensor) -> int:
    """How many rows to read at once: of chunks longer than a block no chunk is decoded twice."""
    if not tensor.chunk:
        return 0
    return min(tensor.chunk[0], BAND_BYTES // max(1, tensor.bytes_per_sample))


def _check(
    path: Path, structure: Structure, sums: StoredChecksums, slots: tuple[int, ...]
) -> Iterator[Finding]:
    tensor = next((known for known in structure.tensors if known.dataset == sums.tensor), None)
    if tensor is None:
        yield Finding(sums.name, f"covers {sums.tensor!r}, which is not there")
        return
    try:
        yield from _differing(path, structure, tensor, sums, slots)
    except FormatError as error:
        yield finding(tensor.dataset, error, path)


def _differing(
    path: Path,
    structure: Structure,
    tensor: StoredTensor,
    sums: StoredChecksums,
    slots: tuple[int, ...],
) -> Iterator[Finding]:
    rows = open_rows(path, structure, tensor)
    known = covering(sums.entries, slots, sums.rows_per_block, structure.samples, structure.rows)
    together = _rows_together(tensor)
    first, held = 0, rows.between(0, 0)
    for start, stop, expected in known:
        if stop > first + len(held):
            first = start
            held = rows.between(start, min(max(stop, start + together), structure.rows))
        if checksum(held[start - first : stop - first]) != expected:
            yield Finding(tensor.dataset, f"rows {start} to {stop - 1} differ from their checksum")
