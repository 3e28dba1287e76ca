"""The main job: run a model over data and record what its layers compute."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.errors import DataError
from actscope.feed import check_inputs, open_feed
from actscope.pipeline import record
from actscope.progress import progress as progress_bar
from actscope.protocol import Array, InputInfo, Inputs, LayerInfo, OutputInfo, fixed_batch
from actscope.provenance import describe
from actscope.registry import adapter_for
from actscope.selection import Selection, select
from actscope.store import schema
from actscope.store.opening import check_recording_output
from actscope.store.reader import Recording, open_recording
from actscope.store.schema import RecordingPlan, TensorPlan
from actscope.store.writer import Writer

DEFAULT_BATCH_SIZE = 32


def extract(  # noqa: PLR0913 - the words of the main job, all but three with a default
    model: Any,
    data: Any,
    path: str | Path,
    *,
    layers: Selection = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    samples: int | None = None,
    ids: Sequence[str] | None = None,
    labels: npt.ArrayLike | None = None,
    store_inputs: bool | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Recording:
    """Run `model` over `data` in inference mode and record what its layers compute.

    The model's weights, state and training settings stay as they are. Memory stays flat: a few
    batches are under way at any time, whatever the number of samples.

    Where the file holds a part of the same run, which broke off, the call goes on from there, and
    the finished file is what an uninterrupted run gives. Data that are not indexed by row, such as
    a generator, are read past what is there, with a warning.

    Args:
        model: a model that an installed adapter knows, such as any Keras 3 model.
        data: an array `(N, ...)` or anything sliced like one (a memory map, an HDF5 dataset); a
            list or dict of those for several inputs; a `keras.utils.PyDataset`, a
            `tf.data.Dataset` or a PyTorch `DataLoader` (labels beside the inputs are left out);
            or any iterable of batches, with `samples`.
        path: the HDF5 file to write.
        layers: a glob or several over layer paths, such as `"conv*"` or `["**/query", "dense"]`;
            `"all"`; by default the layers one level below the model.
        batch_size: samples per batch; a model that fixes its batch size keeps its own.
        samples: how many samples to record; by default all. A `tf.data.Dataset` without it is
            read once more, to count.
        ids: a name for each sample, such as a file name.
        labels: a number or text for each sample, shape `(N,)`.
        store_inputs: whether to keep the inputs for drawing; by default they are kept where they
            take no more room than the activations.
        overwrite: whether a file at `path` may be replaced.
        progress: whether to draw a progress bar on stderr; by default on a terminal.

    Returns:
        The finished recording, opened.

    Raises:
        OutputExistsError: the file exists, is no unfinished recording, and `overwrite` is false.
        OutputInUseError: another run is writing the file.
        ResumeError: the file is an unfinished recording of other data, another model or another
            selection; every difference is named.
        UnknownLayerError: a pattern matches no layer.
        SelectionError: the selection takes nothing that can be recorded.
        DataError: the data do not fit the model, or end early.
        ModelError: the model is of no known kind, or fails on the data.
        DiskFullError: the disk has no room; known before anything is computed.
    """
    path = Path(path)
    check_recording_output(path, overwrite=overwrite)
    adapter = adapter_for(model)
    declared = adapter.inputs(model)
    feed = open_feed(data, len(declared) if declared else None, samples)
    check_inputs(declared, feed.example)
    batch_size = _checked_batch_size(batch_size, feed.samples, declared)
    names, labels = _checked_ids(ids, feed.samples), _checked_labels(labels, feed.samples)
    trace = adapter.trace(model, feed.example)
    outputs = _outputs(select(trace.layers, layers))
    inputs = _inputs_to_store(declared, feed.example, outputs, store_inputs)
    step = trace.compile(outputs, batch_size)
    tensors, groups = schema.plan_layers(outputs)
    provenance = describe(
        adapter.provenance(model), feed.fingerprint, selection=layers, batch_size=batch_size
    )
    plan = RecordingPlan(feed.samples, (*inputs, *tensors), groups, provenance, names, labels)
    with (
        Writer(path, plan, overwrite=overwrite) as writer,
        progress_bar(path.name, feed.samples, plan.bytes_per_sample, shown=progress) as advance,
    ):
        advance(writer.committed)
        record(
            feed.batches(batch_size, writer.committed),
            step,
            writer,
            batch_size=batch_size,
            stored_inputs=range(len(inputs)),
            on_batch=advance,
            done=writer.committed,
        )
    return open_recording(path)


def _outputs(layers: Sequence[LayerInfo]) -> list[OutputInfo]:
    outputs = [output for layer in layers for output in layer.outputs]
    return sorted(outputs, key=lambda output: output.order)


def _inputs_to_store(
    declared: Sequence[InputInfo] | None,
    example: Inputs,
    outputs: Sequence[OutputInfo],
    wanted: bool | None,
) -> list[TensorPlan]:
    """The datasets for the inputs; none where they are not wanted, or would outweigh the rest."""
    if example.names:
        names = list(example.names)
    elif declared:
        names = [info.name for info in declared]
    else:
        names = [f"input_{position}" for position in range(len(example.arrays))]
    shapes = [array.shape[1:] for array in example.arrays]
    dtypes = [str(array.dtype) for array in example.arrays]
    tensors = schema.plan_inputs(names, shapes, dtypes)
    if wanted is None:
        activations = sum(output.bytes_per_sample for output in outputs)
        wanted = sum(tensor.bytes_per_sample for tensor in tensors) <= activations
    return tensors if wanted else []


def _checked_batch_size(batch_size: int, samples: int, declared: Sequence[InputInfo] | None) -> int:
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise DataError(f"batch_size={batch_size!r}: give a whole number of at least 1")
    return fixed_batch(declared) or min(int(batch_size), samples)


def _checked_ids(ids: Sequence[str] | None, samples: int) -> tuple[str, ...]:
    if ids is None:
        return ()
    if len(ids) < samples:
        raise DataError(f"there are {len(ids)} ids for {samples} samples: give one each")
    return tuple(str(name) for name in ids[:samples])


def _checked_labels(labels: npt.ArrayLike | None, samples: int) -> Array | None:
    if labels is None:
        return None
    values = np.asarray(labels)
    if values.ndim != 1 or len(values) < samples or values.dtype.kind not in "biufUO":
        raise DataError(
            f"labels of shape {values.shape} and dtype {values.dtype} do not fit {samples} "
            "samples: give one number or text per sample"
        )
    return values[:samples]
