"""The names and shapes inside a recording, version 1.2.0 of the format. Pure: no input or output.

Writer and reader spell no group, dataset or attribute name themselves; docs/format.md is the
specification of what stands here.
"""

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from actscope.dtypes import itemsize
from actscope.errors import FormatError
from actscope.protocol import OutputInfo

ENCODING = "actscope"
VERSION = "1.2.0"

ENCODING_TYPE = "encoding-type"
ENCODING_VERSION = "encoding-version"
PROVENANCE = "provenance"
ROWS = "rows"
SAMPLE = "sample"
SAMPLES = "samples"
IDS = "id"
LABELS = "label"
EPOCHS = "epoch"
INPUT = "input"
LAYERS = "layers"
OUTPUT = "output"
GRADIENT = "gradient"
CHECKSUMS = "checksums"
STATISTICS = "statistics"
STATE = "state"
EDGES = "edges"
SLOTS = "slots"
SLOT = "slot"
BLOCK = "block"

PATH = "path"
CLASS_NAME = "class-name"
ORDER = "order"
CALL = "call"
INDEX = "index"
KEY = "key"
AXES = "axes"
DATA_FORMAT = "data-format"
DTYPE = "dtype"
REDUCTION = "reduction"
UNREDUCED_SHAPE = "unreduced-shape"
ALGORITHM = "algorithm"
CRC32 = "crc32"
DATASET = "dataset"
ROWS_PER_BLOCK = "rows-per-block"
SUMMARY = "summary"
SHAPE = "shape"
STATE_OFFSET = "state-offset"

ACTIVATION = "activation"

DIMENSION_WITHOUT_VARIABLE = "This is a netCDF dimension but not a netCDF variable. {:9d}"
"""The name of a dimension scale that holds no coordinate values, a convention of netCDF-4."""

MAXIMUM_AXES = 8
MAXIMUM_PATH = 1000
MAXIMUM_ATTRIBUTE = 64 * 2**10
MAXIMUM_PROVENANCE = 16 * 2**20

_VERSION = re.compile(r"([0-9]{1,9})\.[0-9]{1,9}\.[0-9]{1,9}")

_RESERVED_IN_LAYER = (OUTPUT, GRADIENT, STATISTICS)

Attribute = str | int | tuple[int, ...]


@dataclass(frozen=True)
class TensorPlan:
    """One dataset that gets a row per sample.

    Attributes:
        group: the group it stands in, such as `"layers/conv2d"`.
        name: its name there.
        shape: shape of a row.
        dtype: logical dtype.
        axes: a name for each axis of `shape`.
        attributes: the attributes it carries besides its axes and dtype.
        chunk: the shape of its chunks, rows first; empty where its rows stand one after another.
    """

    group: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    chunk: tuple[int, ...] = ()

    @property
    def dataset(self) -> str:
        """Where the dataset stands in the file."""
        return f"{self.group}/{self.name}"

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one row."""
        return prod(self.shape) * itemsize(self.dtype)


@dataclass(frozen=True)
class RecordingPlan:
    """Everything that is fixed before the first row is computed.

    Attributes:
        samples: how many rows each tensor will get; 0 where that is not known.
        tensors: the datasets, inputs first, in the order in which rows arrive.
        groups: the attributes of each layer's group, by group.
        provenance: JSON text.
        ids: one text per sample, or none.
        labels: one number or text per sample, shape `(N,)`, or None.
        epochs: after which epoch of a training each row was computed, from 1, or None.
        keeps_statistics: whether statistics of the activations are kept.
        unstored: tensors whose statistics are kept without their rows; their arrays come after
            those of `tensors`.
        codec: how chunks are encoded: `"none"`, `"zstd"` or `"gzip"`.
        is_open_ended: whether the number of rows turns out at the end.
    """

    samples: int
    tensors: tuple[TensorPlan, ...]
    groups: Mapping[str, Mapping[str, Attribute]]
    provenance: str
    ids: tuple[str, ...] = ()
    labels: npt.NDArray[np.generic] | None = None
    epochs: npt.NDArray[np.int64] | None = None
    keeps_statistics: bool = False
    unstored: tuple[TensorPlan, ...] = ()
    codec: str = "none"
    is_open_ended: bool = False

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that one sample takes in all datasets, before they are encoded."""
        return sum(tensor.bytes_per_sample for tensor in self.tensors)

    @property
    def is_chunked(self) -> bool:
        """Whether rows are stored in chunks and not one after another."""
        return self.is_open_ended or any(tensor.chunk for tensor in self.tensors)


def plan_inputs(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]
) -> list[TensorPlan]:
    """The datasets `/samples/input`, `/samples/input_1`, ... for a model's inputs."""
    tensors = []
    for position, (name, shape, dtype) in enumerate(zip(names, shapes, dtypes, strict=True)):
        tensors.append(
            TensorPlan(
                group=SAMPLES,
                name=INPUT if position == 0 else f"{INPUT}_{position}",
                shape=shape,
                dtype=dtype,
                axes=input_axes(shape),
                attributes={ENCODING_TYPE: "input", ENCODING_VERSION: VERSION, KEY: name},
            )
        )
    return tensors


def input_axes(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names for the axes of one sample of an input, judged by their number."""
    return {
        0: (),
        1: ("feature",),
        2: ("step", "feature"),
        3: ("y", "x", "channel"),
        4: ("z", "y", "x", "channel"),
    }.get(len(shape), tuple(f"axis_{position}" for position in range(1, len(shape) + 1)))


def plan_layers(
    outputs: Iterable[OutputInfo],
) -> tuple[list[TensorPlan], dict[str, dict[str, Attribute]]]:
    """The datasets for captured outputs, and the attributes of their groups."""
    tensors: list[TensorPlan] = []
    groups: dict[str, dict[str, Attribute]] = {}
    group_of: dict[str, str] = {}
    for output in outputs:
        if output.path not in group_of:
            group = f"{LAYERS}/{unique(group_name(output.path), _names(group_of.values()))}"
            group_of[output.path] = group
            groups[group] = {
                ENCODING_TYPE: "layer",
                ENCODING_VERSION: VERSION,
                PATH: output.path,
                CLASS_NAME: output.class_name,
            }
        group = group_of[output.path]
        taken = [tensor.name for tensor in tensors if tensor.group == group]
        tensors.append(_plan_output(output, group, taken))
    return tensors, groups


def _names(groups: Iterable[str]) -> list[str]:
    return [group.removeprefix(f"{LAYERS}/") for group in groups]


def _plan_output(output: OutputInfo, group: str, taken: Sequence[str]) -> TensorPlan:
    return TensorPlan(
        group=group,
        name=unique(GRADIENT if output.is_gradient else OUTPUT, taken),
        shape=output.shape,
        dtype=output.dtype,
        axes=output.axes,
        attributes={
            ENCODING_TYPE: GRADIENT if output.is_gradient else ACTIVATION,
            ENCODING_VERSION: VERSION,
            ORDER: output.order,
            CALL: output.call,
            INDEX: output.index,
            KEY: output.key,
            DATA_FORMAT: output.data_format,
            REDUCTION: output.reduction,
            UNREDUCED_SHAPE: output.unreduced_shape or output.shape,
        },
    )


def is_tensor_name(name: str) -> bool:
    """Whether a dataset of a layer's group holds rows, and not an axis."""
    return _is_numbered(name, (OUTPUT, GRADIENT))


def is_statistics_name(name: str) -> bool:
    """Whether a member of a layer's group holds the statistics of one of its tensors."""
    return _is_numbered(name, (STATISTICS,))


def _is_numbered(name: str, stems: Container[str]) -> bool:
    stem, _, number = name.partition("_")
    return stem in stems and (number.isdecimal() or name == stem)


def summary(group: Mapping[str, Attribute], tensor: TensorPlan) -> str:
    """All attributes of a layer's tensor in one JSON text: one is read faster than twelve."""
    words = {name: value for name, value in group.items() if name in (PATH, CLASS_NAME)}
    words |= {name: value for name, value in tensor.attributes.items() if name != ENCODING_VERSION}
    return json.dumps({**words, DTYPE: tensor.dtype, AXES: (SAMPLE, *tensor.axes)})


def group_name(path: str) -> str:
    """A layer path as the name of an HDF5 group: `/` becomes `.`."""
    name = path.replace("/", ".").replace("\0", "_")
    return f"_{name}" if set(name) <= {"."} else name


def unique(name: str, taken: Container[str]) -> str:
    """`name`, or `name_1`, `name_2`, ... where it is taken."""
    number, candidate = 0, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def scale_names(tensors: Sequence[TensorPlan]) -> Iterator[tuple[str, ...]]:
    """For each tensor of one group, the names of its axes' dimension scales.

    Axes of the same name and length share a scale; another length gets a name of its own, since
    xarray knows one length per name in a group.
    """
    lengths: dict[str, int] = {}
    reserved = {*_RESERVED_IN_LAYER, IDS, LABELS, EPOCHS, *(tensor.name for tensor in tensors)}
    for tensor in tensors:
        names: list[str] = []
        for axis, length in zip(tensor.axes, tensor.shape, strict=True):
            clashing = {name for name, known in lengths.items() if known != length}
            name = unique(axis, clashing | reserved | set(names))
            lengths[name] = length
            names.append(name)
        yield tuple(names)


def check_version(version: str, where: str) -> None:
    """Refuse a version of the format that this reader does not know.

    Raises:
        FormatError: the major version is not 1, or the text is no version.
    """
    numbers = _VERSION.fullmatch(version)
    if numbers is None:
        raise FormatError(f"{where}: {ENCODING_VERSION} is {version!r}, not a version like 1.0.0")
    if int(numbers[1]) > int(VERSION.split(".", maxsplit=1)[0]):
        raise FormatError(
            f"{where} has format version {version}, newer than {VERSION} that this actscope reads: "
            "upgrade with pip install --upgrade actscope"
        )
