"""Opens a recording and hands out its layers lazily.

The HDF5 library is used once, to read and check the structure; rows are then mapped straight from
the file or decoded from their chunks, so that any NumPy index works, without locks and from any
thread.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from actscope.dtypes import widened, widened_dtype
from actscope.errors import ActscopeError, UnknownLayerError, nearest
from actscope.protocol import Array
from actscope.statistics import Statistics, statistics_of
from actscope.store.rows import Rows, open_rows
from actscope.store.stored_statistics import read_statistics
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import (
    check_exists,
    read_structure,
)


def open_recording(path: str | Path) -> "Recording":
    """Open a recording for reading; neither the model nor its framework is needed.

    Raises:
        MissingFileError: there is no such file.
        FormatError: the file is not a recording, is damaged, or is of a newer version.
    """
    return Recording(Path(path))


class RecordedTensor:
    """Rows of one tensor, one per sample; behaves as a read-only array that stays on the disk.

    Indexing takes what NumPy takes and returns NumPy arrays; bfloat16 and float8 become float32.
    """

    def __init__(self, recording: "Recording", tensor: StoredTensor) -> None:
        self.recording = recording
        self._tensor = tensor
        self._rows = recording.rows(tensor)

    @property
    def name(self) -> str:
        """The input's name, or the key of the output where the layer returned a dict."""
        return self._tensor.key

    @property
    def shape(self) -> tuple[int, ...]:
        """Committed samples, then the shape of one of them."""
        return (len(self), *self._tensor.shape)

    @property
    def ndim(self) -> int:
        """Number of axes, the sample axis included."""
        return len(self.shape)

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes, such as `("sample", "y", "x", "channel")`."""
        return self._tensor.axes

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the arrays that come out."""
        return widened_dtype(self._tensor.dtype)

    @property
    def logical_dtype(self) -> str:
        """The dtype that was recorded, such as `"bfloat16"`."""
        return self._tensor.dtype

    @property
    def is_stored(self) -> bool:
        """Whether its rows were recorded, and not only their statistics."""
        return self._tensor.is_stored

    @property
    def nbytes(self) -> int:
        """Bytes of the committed rows, before they were encoded."""
        return len(self) * self._tensor.bytes_per_sample if self.is_stored else 0

    def __len__(self) -> int:
        return self.recording.samples

    def __getitem__(self, key: Any) -> Any:
        self.recording.check_open()
        if not self._tensor.is_stored:
            raise ActscopeError(
                f"only the statistics of {self.name!r} were recorded (store=False): use "
                ".statistics, or record the layer itself"
            )
        return widened(self._rows[key], self._tensor.dtype)

    def unmapped(self) -> Self:
        """The same tensor with nothing of the file in memory: what was read before is let go."""
        return type(self)(self.recording, self._tensor)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("a recorded tensor is on the disk: it cannot become an array uncopied")
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        dims = ", ".join(f"{d}: {n}" for d, n in zip(self.dims, self.shape, strict=True))
        return f"<{type(self).__name__} {self.name!r} ({dims}) {self.logical_dtype}>"

    def _repr_html_(self) -> str:
        from actscope.notebook import tensor_html

        return tensor_html(self)


class RecordedLayer(RecordedTensor):
    """What one layer computed: its first output, and the others in `outputs`."""

    @property
    def name(self) -> str:
        """The layer path, followed by what tells one of the layer's outputs from the others."""
        suffix = f"[{self.key or self.index}]" if self.index or self.key else ""
        reduction = f" {self.reduction}" if self.reduction != "none" else ""
        return self.path + (f" (call {self.call})" if self.call else "") + suffix + reduction

    @property
    def path(self) -> str:
        """The layer path, such as `"block_1/attention/query"`."""
        return self._tensor.path

    @property
    def class_name(self) -> str:
        """The layer's class, such as `"Conv2D"`."""
        return self._tensor.class_name

    @property
    def call(self) -> int:
        """Which call of the layer this is; above 0 for shared layers."""
        return self._tensor.call

    @property
    def index(self) -> int:
        """Which of the tensors that the call returned."""
        return self._tensor.index

    @property
    def key(self) -> str:
        """The name of the output where the layer returned a dict, else empty."""
        return self._tensor.key

    @property
    def order(self) -> int:
        """Position in the order of execution."""
        return self._tensor.order

    @property
    def data_format(self) -> str:
        """`"channels_last"`, `"channels_first"`, or empty."""
        return self._tensor.data_format

    @property
    def reduction(self) -> str:
        """What was computed from the output before it was stored, such as `"mean"`, or `"none"`."""
        return self._tensor.reduction

    @property
    def unreduced_shape(self) -> tuple[int, ...]:
        """Shape of one sample before the reduction."""
        return self._tensor.unreduced_shape

    @property
    def outputs(self) -> tuple["RecordedLayer", ...]:
        """All recorded of this layer, one per call, tensor and reduction, this one included."""
        return self.recording.outputs(self.path)

    @property
    def is_gradient(self) -> bool:
        """Whether these are gradients and not activations."""
        return self._tensor.is_gradient

    @property
    def gradient(self) -> "RecordedLayer | None":
        """The gradient of the run's objective with respect to this output, of the same shape.

        None where gradients were not recorded.
        """
        return self.recording.gradient_of(self)

    @cached_property
    def statistics(self) -> Statistics:
        """Mean, spread, extremes, zeros and the like of each channel, over all samples.

        Those that were kept while recording (`statistics=True`), else found now, in one pass.
        """
        return self.recording.kept_statistics(self._tensor) or statistics_of(self)


class Recording(Mapping[str, RecordedLayer]):
    """An opened recording: a mapping of layer paths to layers, in the order of execution.

    Attributes:
        path: the file.
        samples: how many samples are committed; later rows are not there yet.
        planned: how many there will be when the run is complete; None where that is not known yet.
        provenance: what was recorded from what, by whom, when, as plain data.
    """

    def __init__(self, path: Path) -> None:
        check_exists(path)
        self.path = path.resolve()
        self._structure = read_structure(path)
        self._open = True
        self.samples: int = self._structure.rows
        self.planned: int | None = (
            None if self._structure.is_open_ended else self._structure.samples
        )
        self.provenance: dict[str, Any] = dict(self._structure.origin)
        self._statistics: dict[str, Statistics] = {}
        found = [RecordedLayer(self, tensor) for tensor in self._structure.gradients]
        self._gradients = {gradient.name: gradient for gradient in found}
        self._outputs: dict[str, list[StoredTensor]] = {}
        for tensor in sorted(self._structure.outputs, key=lambda tensor: tensor.order):
            self._outputs.setdefault(tensor.path, []).append(tensor)

    @property
    def complete(self) -> bool:
        """Whether every planned sample is there."""
        return self._structure.is_finished

    @property
    def extent(self) -> str:
        """How far it got, such as `"7 of 12"`."""
        planned = "an unknown number" if self.planned is None else f"{self.planned:,}"
        return f"{self.samples:,} of {planned}"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The committed samples' names, such as file names; empty where none were given."""
        return self._structure.ids[: self.samples]

    @property
    def labels(self) -> Array | None:
        """The committed samples' labels, shape `(N,)`, or None."""
        labels = self._structure.labels
        return None if labels is None else labels[: self.samples]

    @property
    def epochs(self) -> Array | None:
        """After which epoch of a training each committed row was computed, `(N,)`, or None."""
        epochs = self._structure.epochs
        return None if epochs is None else epochs[: self.samples]

    def rows_of_epoch(self, epoch: int) -> slice:
        """The rows that were computed after an epoch, one per sample: `layer[rows]`.

        Raises:
            ActscopeError: the recording has no epochs, or not this one.
        """
        epochs = self.epochs
        rows = np.flatnonzero([] if epochs is None else epochs == epoch)
        if len(rows) == 0:
            known = "no epochs" if epochs is None else f"the epochs {np.unique(epochs).tolist()}"
            raise ActscopeError(f"{self.path.name} has no epoch {epoch}: it has {known}")
        return slice(int(rows[0]), int(rows[-1]) + 1)

    @property
    def inputs(self) -> tuple[RecordedTensor, ...]:
        """The stored inputs of the model; empty where they were not stored."""
        return tuple(RecordedTensor(self, tensor) for tensor in self._structure.inputs)

    def outputs(self, path: str) -> tuple[RecordedLayer, ...]:
        """All that was recorded of the layer `path`, one per call, tensor and reduction.

        Raises:
            UnknownLayerError: the recording has no such layer.
        """
        if path not in self._outputs:
            raise UnknownLayerError(
                f"{self.path.name} has no layer {path!r}: {nearest(str(path), self._outputs)}"
            )
        return tuple(RecordedLayer(self, tensor) for tensor in self._outputs[path])

    def rows(self, tensor: StoredTensor) -> Rows:
        """The committed rows of one of its tensors, as they are stored."""
        return open_rows(self.path, self._structure, tensor)

    def kept_statistics(self, tensor: StoredTensor) -> Statistics | None:
        """The statistics of one of its tensors that were kept while recording, or None."""
        self.check_open()
        if tensor.dataset not in self._structure.statistics:
            return None
        if tensor.dataset not in self._statistics:
            found = read_statistics(self._structure, tensor)
            self._statistics[tensor.dataset] = found
        return self._statistics[tensor.dataset]

    def gradient_of(self, layer: RecordedLayer) -> RecordedLayer | None:
        """The recorded gradient with respect to an output of this recording, or None."""
        return self._gradients.get(layer.name)

    def __getitem__(self, path: str) -> RecordedLayer:
        return self.outputs(path)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __contains__(self, path: object) -> bool:
        return path in self._outputs

    @property
    def is_open(self) -> bool:
        """Whether rows can be read: it was not closed."""
        return self._open

    def check_open(self) -> None:
        """Refuse to read from a closed recording.

        Raises:
            ActscopeError: it was closed.
        """
        if not self._open:
            raise ActscopeError(f"{self.path.name} is closed: open it again with actscope.open")

    def close(self) -> None:
        """Let go of the file; arrays that were read stay valid."""
        self._open = False
        self._structure.file.close()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "" if self.complete else f" of {self.planned or 'an unknown number of'}"
        return f"<Recording {self.path.name}: {self.samples}{state} samples, {len(self)} layers>"

    def _repr_html_(self) -> str:
        from actscope.notebook import recording_html

        return recording_html(self)
