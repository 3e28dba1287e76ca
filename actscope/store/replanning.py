"""The plan of a recording that exists, and its rows, for writing them anew."""

from collections.abc import Iterator
from pathlib import Path

from actscope.dtypes import itemsize
from actscope.errors import DataError, FormatError
from actscope.store import guarded, schema
from actscope.store.bands import Part
from actscope.store.checked_rows import CheckedRows, KnownChecksums, StoredRows
from actscope.store.checksums import SLOTS, rows_per_block
from actscope.store.chunking import LAYOUTS, SAMPLE, in_chunks, room_for_band
from actscope.store.codecs import CODEC_OF, NONE, filters
from actscope.store.rows import open_rows
from actscope.store.schema import RecordingPlan, TensorPlan
from actscope.store.stored_checksums import read_checksums
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import Structure, check_exists, read_structure

BYTES_AT_A_TIME = 16 * 2**20

LARGEST_BLOCK = 64 * 2**20
"""Rows that one checksum covers are in memory together; those of more than a row are 1 MiB."""


def read_finished(path: Path) -> Structure:
    """The structure of a finished recording.

    Raises:
        MissingFileError: there is no such file.
        FormatError: the file is not a recording, or is damaged.
        DataError: it is not finished, or holds statistics alone.
    """
    check_exists(path)
    structure = read_structure(path)
    if not structure.is_finished:
        raise DataError(
            f"{path} is not finished ({structure.rows:,} samples are there): make the call again "
            "that began it"
        )
    for tensor in structure.outputs:
        if not tensor.is_stored:
            raise DataError(
                f"{path} holds the statistics of {tensor.path!r} without its activations: there is "
                "nothing to write anew"
            )
    return structure


def storage_of(structure: Structure) -> tuple[str, str]:
    """The codec and the layout in which a recording is stored."""
    filtered = [number for tensor in structure.tensors for number in tensor.pipeline]
    codec = next((CODEC_OF[number] for number in filtered if number in CODEC_OF), NONE)
    chunks = [tensor.chunk for tensor in structure.tensors]
    planned = plan_of(structure).tensors
    for layout in LAYOUTS if all(chunks) else ():
        for samples in (structure.samples, None):
            if [tensor.chunk for tensor in in_chunks(planned, layout, samples)] == chunks:
                return codec, layout
    return codec, SAMPLE


def plan_of(structure: Structure) -> RecordingPlan:
    """What a writer would be given to make this recording, rows one after another."""
    groups = {
        _group(tensor): {
            schema.ENCODING_TYPE: "layer",
            schema.ENCODING_VERSION: schema.VERSION,
            schema.PATH: tensor.path,
            schema.CLASS_NAME: tensor.class_name,
        }
        for tensor in (*structure.outputs, *structure.gradients)
    }
    return RecordingPlan(
        samples=structure.samples,
        tensors=tuple(_planned(tensor, structure) for tensor in structure.tensors),
        groups=groups,
        provenance=structure.provenance,
        ids=structure.ids,
        labels=structure.labels,
        epochs=structure.epochs,
        keeps_statistics=bool(structure.statistics),
    )


def _group(tensor: StoredTensor) -> str:
    return tensor.dataset.rpartition("/")[0].removeprefix("/")


def _planned(tensor: StoredTensor, structure: Structure) -> TensorPlan:
    attributes: dict[str, schema.Attribute] = {
        schema.ENCODING_TYPE: "input",
        schema.ENCODING_VERSION: schema.VERSION,
        schema.KEY: tensor.key,
    }
    if tensor not in structure.inputs:
        attributes |= {
            schema.ENCODING_TYPE: schema.GRADIENT if tensor.is_gradient else schema.ACTIVATION,
            schema.ORDER: tensor.order,
            schema.CALL: tensor.call,
            schema.INDEX: tensor.index,
            schema.DATA_FORMAT: tensor.data_format,
            schema.REDUCTION: tensor.reduction,
            schema.UNREDUCED_SHAPE: tensor.unreduced_shape,
        }
    return TensorPlan(
        group=_group(tensor),
        name=tensor.dataset.rpartition("/")[2],
        shape=tensor.shape,
        dtype=tensor.dtype,
        axes=tensor.axes[1:],
        attributes=attributes,
    )


def batches_of(
    path: Path, structure: Structure, plan: RecordingPlan, start: int = 0
) -> Iterator[list[Part]]:
    """The rows from `start` on, in the order of the plan's tensors, as they are stored.

    Each is compared with its checksum first: what is damaged would otherwise get a new one, and
    count as sound from then on. Rows in chunks that the plan stores alike come as `StoredRows`.

    Raises:
        FormatError: rows are damaged; those before have been given by then.
    """
    known = _known_checksums(path, structure)
    stored = {tensor.dataset: tensor for tensor in structure.tensors}
    sources = []
    for planned in plan.tensors:
        tensor = stored[f"/{planned.dataset}"]
        sums = known.get(tensor.dataset, KnownChecksums(rows_per_block(planned)))
        rows = open_rows(path, structure, tensor)
        room = room_for_band(len(stored))
        sources.append(CheckedRows(str(path), tensor, structure.rows, rows, sums, room))
    alike = [
        _is_stored_alike(source, planned, plan.codec)
        for source, planned in zip(sources, plan.tensors, strict=True)
    ]
    size = sum(tensor.bytes_per_sample for tensor in structure.tensors)
    step = max(1, BYTES_AT_A_TIME // max(1, size))
    for first in range(start, structure.rows, step):
        stop = min(first + step, structure.rows)
        yield [
            StoredRows(source, first, stop) if taken_over else source.between(first, stop)
            for source, taken_over in zip(sources, alike, strict=True)
        ]


def _known_checksums(path: Path, structure: Structure) -> dict[str, KnownChecksums]:
    """The checksums of each dataset of a finished recording; none in one of format 1.0.0."""
    known: dict[str, KnownChecksums] = {}
    tensors = {tensor.dataset: tensor for tensor in structure.tensors}
    try:
        with guarded.open_file(path, structure.file) as root:
            for sums in read_checksums(root, structure.samples):
                if sums.tensor not in tensors:
                    raise FormatError(f"{sums.name} covers {sums.tensor!r}, which is not there")
                size = sums.rows_per_block * tensors[sums.tensor].bytes_per_sample
                if size > LARGEST_BLOCK and sums.rows_per_block > 1:
                    raise FormatError(f"{sums.name} takes {size:,} bytes together: damaged")
                known[sums.tensor] = KnownChecksums(sums.rows_per_block, sums.entries[SLOTS:])
    except FormatError as error:
        problem = str(error).removeprefix(f"{path}: ")
        raise FormatError(f"{path}: its checksums cannot be read: {problem}") from error
    return known


def _is_stored_alike(source: CheckedRows, planned: TensorPlan, codec: str) -> bool:
    """Whether the chunks of a tensor are those that the plan would make of the same rows."""
    tensor = source.tensor
    pipeline = tuple(stage.number for stage in filters(codec, itemsize(planned.dtype)))
    return (
        bool(planned.chunk)
        and (tensor.chunk, tensor.dtype, tensor.pipeline)
        == (planned.chunk, planned.dtype, pipeline)
        and source.known.rows_per_block == rows_per_block(planned)
    )
