"""What becomes of a changed recording where people open, read and verify it, and whether it may."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import actscope
from actscope.errors import ActscopeError, MissingFileError
from actscope.protocol import Array
from actscope.store import guarded
from actscope.store.checksums import covering
from actscope.store.findings import Finding
from actscope.store.reader import RecordedTensor, Recording
from actscope.store.stored_checksums import read_checksums, read_slots
from actscope.store.structure import Structure, read_structure
from actscope.store.verification import findings
from benchmarks.fuzzing.originals import Original

REFUSED = "refused at opening"
PART_REFUSED = "opened, a part refused"
FOUND = "opened with other rows, found by verify"
UNCOVERED = "opened with other rows, which no checksum covers"
OTHER_WORDS = "the same rows, other words, such as a name or a count"
EQUAL = "equal"

FAILURES = ("TRACEBACK", "WRONG", "UNSAID", "CRASH", "HANG", "MEMORY")


class Verdict(NamedTuple):
    """What became of a mutant, in one of the words above, and more where it may not."""

    outcome: str
    detail: str = ""


def judge(path: Path, original: Original) -> Verdict:
    """Do with the recording at `path` what people do."""
    try:
        return _judged(path, original)
    except ActscopeError as error:
        return Verdict("TRACEBACK", f"outside of what is tried: {error}")
    except Exception as error:
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
        return Verdict("TRACEBACK", f"{type(error).__name__}: {str(error)[:300]} at {line}")


def _judged(path: Path, original: Original) -> Verdict:
    try:
        recording = actscope.open(path)
    except MissingFileError:
        return Verdict(REFUSED)
    except ActscopeError as error:
        said = findings(path)
        return Verdict(REFUSED) if said else Verdict("UNSAID", f"verify is silent of {error}")
    with recording:
        refused = list(_refused(recording))
        said = findings(path)
        if refused:
            return Verdict(PART_REFUSED) if said else Verdict("UNSAID", refused[0])
        return _compared(path, recording, original, said)


def _tensors(recording: Recording) -> Iterator[RecordedTensor]:
    yield from recording.inputs
    for path in recording:
        for output in recording.outputs(path):
            yield output
            if output.gradient is not None:
                yield output.gradient


def _refused(recording: Recording) -> Iterator[str]:
    """The errors of what cannot be read."""
    for tensor in _tensors(recording):
        try:
            if tensor.is_stored:
                _ = tensor[:], tensor[len(tensor) - 1 :]
            if isinstance(tensor, actscope.RecordedLayer):
                _ = tensor.statistics
        except ActscopeError as error:
            yield str(error)
    try:
        _ = recording.ids, recording.labels, recording.epochs
    except ActscopeError as error:
        yield str(error)


def _compared(path: Path, recording: Recording, original: Original, said: list[Finding]) -> Verdict:
    """What the rows are in comparison to those that went in."""
    structure = read_structure(path)
    different = [
        dataset
        for dataset, rows in _rows(recording, structure).items()
        if dataset in original.rows and not _same(rows, structure, original, dataset)
    ]
    if different and said:
        return Verdict(FOUND)
    for dataset in different:
        row = _first_other(_rows(recording, structure)[dataset], original.rows[dataset])
        if _is_covered(path, structure, dataset, row):
            return Verdict("WRONG", f"{dataset} from row {row} on")
    if different:
        return Verdict(UNCOVERED)
    known = set(original.rows) == set(_rows(recording, structure))
    whole = recording.samples == len(next(iter(original.rows.values())))
    return Verdict(EQUAL if known and whole and not said else OTHER_WORDS)


def _rows(recording: Recording, structure: Structure) -> dict[str, Array]:
    return {
        tensor.dataset: recording.rows(tensor).between(0, structure.rows)
        for tensor in structure.tensors
    }


def _same(rows: Array, structure: Structure, original: Original, dataset: str) -> bool:
    """Whether the rows are those that went in, as far as they go, in shape and dtype too."""
    tensor = next(tensor for tensor in structure.tensors if tensor.dataset == dataset)
    known = original.rows[dataset]
    if (tensor.shape, tensor.dtype) != original.described[dataset] or len(rows) > len(known):
        return False
    return rows.tobytes() == known[: len(rows)].tobytes()


def _first_other(rows: Array, known: Array) -> int:
    """The first row that is another one."""
    if rows.shape[1:] != known.shape[1:] or rows.dtype != known.dtype:
        return 0
    count = min(len(rows), len(known))
    same = [rows[row].tobytes() == known[row].tobytes() for row in range(count)]
    return same.index(False) if False in same else count


def _is_covered(path: Path, structure: Structure, dataset: str, row: int) -> bool:
    """Whether a checksum in the file is about that row."""
    journal = structure.journal
    if journal is not None:
        planned = 0 if structure.is_open_ended else structure.samples
        stored = list(read_checksums(guarded.open_image(journal.skeleton, path), planned))
        covered = {
            sums.tensor: sums.rows_per_block * len(journal.blocks.get(sums.tensor, ()))
            for sums in stored
        }
        return row < covered.get(dataset, 0)
    with guarded.open_file(path) as root:
        stored = list(read_checksums(root, structure.samples))
        slots = read_slots(root) if stored else ()
    return any(
        start <= row < stop
        for sums in stored
        if sums.tensor == dataset
        for start, stop, _ in covering(
            sums.entries, slots, sums.rows_per_block, structure.samples, structure.rows
        )
    )


def memory() -> int:
    """Bytes that this process has in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0
