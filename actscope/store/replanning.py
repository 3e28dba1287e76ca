"""The plan of a recording that exists, and its rows, for writing them anew."""

from collections.abc import Iterator
from pathlib import Path

from actscope.errors import DataError, FormatError
from actscope.protocol import Array
from actscope.store import schema
from actscope.store.checking import check
from actscope.store.rows import Rows, open_rows
from actscope.store.schema import RecordingPlan, TensorPlan
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import Structure, read_structure

BYTES_AT_A_TIME = 16 * 2**20


def read_finished(path: Path) -> Structure:
    """The structure of a finished recording, all of whose rows agree with their checksums.

    What is damaged would otherwise get new checksums, and count as sound from then on.

    Raises:
        FormatError: the file is not a recording, or is damaged.
        DataError: it is not finished, or holds statistics alone.
    """
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
    damages = check(path)
    if damages:
        raise FormatError(f"{path}: {damages[0].place}: {damages[0].problem}")
    return structure


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


def batches_of(path: Path, structure: Structure, start: int = 0) -> Iterator[list[Array]]:
    """The rows from `start` on, in the order of the tensors, as they are stored."""
    sources: list[Rows] = [open_rows(path, structure, tensor) for tensor in structure.tensors]
    size = sum(tensor.bytes_per_sample for tensor in structure.tensors)
    step = max(1, BYTES_AT_A_TIME // max(1, size))
    for first in range(start, structure.rows, step):
        stop = min(first + step, structure.rows)
        yield [rows.between(first, stop) for rows in sources]
