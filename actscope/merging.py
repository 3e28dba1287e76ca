"""Joins recordings of the same model over different samples."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from actscope.errors import DataError
from actscope.store.chunking import stored_as
from actscope.store.opening import check_recording_output
from actscope.store.reader import Recording, open_recording
from actscope.store.replanning import batches_of, plan_of, read_finished, storage_of
from actscope.store.resuming import recorded_differences
from actscope.store.schema import RecordingPlan
from actscope.store.structure import Structure
from actscope.store.writers import append_stored, open_writer


def merge(
    paths: Sequence[str | Path],
    output: str | Path,
    *,
    codec: str | None = None,
    layout: str | None = None,
    overwrite: bool = False,
) -> Recording:
    """Join finished recordings of the same model over different samples, in their order.

    Rows are compared with their checksums before they are written. Chunks are copied as they are
    where those of the joined recording hold the same rows: where a recording is stored as the
    joined one will be, and the rows before it fill its chunks. Others are decoded, and encoded
    again. Where the call breaks off, the same call goes on from there.

    Args:
        paths: two recordings or more, of the same layers of a model with the same weights.
        output: the HDF5 file to write.
        codec: `"zstd"`, `"gzip"`, or `"none"`; by default that of the first recording.
        layout: `"sample"`, or `"channel"` for those who read one channel over all samples; by
            default that of the first recording.
        overwrite: whether a file at `output` may be replaced.

    Returns:
        The joined recording, opened.

    Raises:
        MissingFileError: one is not there.
        FormatError: one is not a recording, or is damaged; the rows before stay, to be gone on
            with.
        DataError: fewer than two are given, one is given twice or not finished, or they do not fit
            together; every difference is named.
        OutputExistsError: `output` exists and `overwrite` is false.
        DiskFullError: the disk has no room.
    """
    sources, output = [Path(path) for path in paths], Path(output)
    if len(sources) < 2:
        raise DataError(f"{len(sources)} recording is given: name two or more to join")
    _check_output(sources, output)
    check_recording_output(output, overwrite=overwrite)
    _check_given_once(sources)
    structures = [read_finished(path) for path in sources]
    plans = [plan_of(structure) for structure in structures]
    for path, plan in zip(sources[1:], plans[1:], strict=True):
        _check_fit(sources[0], structures[0], path, plan)
    _check_samples_apart(sources, plans)
    first_codec, first_layout = storage_of(structures[0])
    codec, layout = codec or first_codec, layout or first_layout
    joined = stored_as(_joined(sources, plans, codec, layout), codec, layout)
    with open_writer(output, joined, overwrite=overwrite) as writer:
        begins, done = 0, writer.committed
        for path, structure in zip(sources, structures, strict=True):
            start = min(max(0, done - begins), structure.rows)
            for batch in batches_of(path, structure, joined, start):
                append_stored(writer, batch)
            begins += structure.rows
        writer.complete()
    return open_recording(output)


def _check_output(sources: Sequence[Path], output: Path) -> None:
    for path in sources:
        with suppress(FileNotFoundError):
            if path.samefile(output):
                raise DataError(f"{output} is one of the recordings: choose another name")


def _check_given_once(sources: Sequence[Path]) -> None:
    for one, other in combinations(sources, 2):
        with suppress(FileNotFoundError):
            if one.samefile(other):
                raise DataError(f"{other} is given twice: its samples would be there twice")


def _check_samples_apart(sources: Sequence[Path], plans: Sequence[RecordingPlan]) -> None:
    """Refuse recordings of the same arrays; of streams only the beginning is known."""
    seen: dict[str, Path] = {}
    for path, plan in zip(sources, plans, strict=True):
        data = json.loads(plan.provenance).get("data")
        if isinstance(data, dict) and data.get("kind") == "arrays":
            other = seen.setdefault(json.dumps(data, sort_keys=True), path)
            if other != path:
                raise DataError(
                    f"{other} and {path} are of the same samples (their data have the same "
                    "hash): join recordings of different ones"
                )


def _check_fit(first: Path, found: Structure, path: Path, plan: RecordingPlan) -> None:
    different = recorded_differences(found, plan)
    for name, a, b in (
        ("ids", bool(found.ids), bool(plan.ids)),
        ("labels", found.labels is not None, plan.labels is not None),
        ("epochs", found.epochs is not None, plan.epochs is not None),
    ):
        if a != b:
            different.append(f"{name}: only one of them has any")
    if different:
        raise DataError(
            f"{first} and {path} do not fit together ({'; '.join(different)}): join recordings of "
            "the same layers of the same model"
        )


def _joined(
    sources: Sequence[Path], plans: Sequence[RecordingPlan], codec: str, layout: str
) -> RecordingPlan:
    first = plans[0]
    provenances = [json.loads(plan.provenance) for plan in plans]
    content: dict[str, Any] = dict(provenances[0])
    content["data"] = {"kind": "merged", "parts": [part.get("data") for part in provenances]}
    content |= {"codec": codec, "layout": layout}
    content["merged-from"] = [path.name for path in sources]
    return replace(
        first,
        samples=sum(plan.samples for plan in plans),
        provenance=json.dumps(content),
        ids=tuple(name for plan in plans for name in plan.ids),
        labels=_together([plan.labels for plan in plans]),
        epochs=_together([plan.epochs for plan in plans]),
    )


def _together(columns: Sequence[Any]) -> Any:
    return None if columns[0] is None else np.concatenate(columns)
