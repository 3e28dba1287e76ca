"""The main job: run a model over data and record what its layers compute."""

import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.batching import AUTO, fastest, suited, suited_to_accelerator
from actscope.errors import ActscopeWarning, DataError
from actscope.feed import Feed, check_inputs, open_feed
from actscope.objectives import Gradients, objective_of, with_targets
from actscope.pipeline import Sink, record
from actscope.planning import Reductions, plan_wanted
from actscope.progress import progress as progress_bar
from actscope.protocol import (
    Adapter,
    Array,
    InputInfo,
    Inputs,
    Step,
    Trace,
    Wanted,
    fixed_batch,
    input_names,
)
from actscope.provenance import describe
from actscope.registry import adapter_for
from actscope.request import Request, requested
from actscope.selection import Selection, select
from actscope.store import schema
from actscope.store.chunking import SAMPLE, stored_as
from actscope.store.opening import check_recording_output
from actscope.store.reader import Recording, open_recording
from actscope.store.schema import RecordingPlan, TensorPlan
from actscope.store.writers import open_writer


@dataclass(frozen=True)
class Run:
    """A request made ready for a model and its data: everything is compiled, nothing computed.

    Attributes:
        plan: what the file will hold.
        wanted: the tensors that the step returns.
        step: the compiled step, for `batch_size` rows.
        batch_size: rows of a whole batch.
        stored_inputs: how many of the inputs, from the first, are stored.
        targets: what the gradients' objective gets besides, each `(N, ...)`.
    """

    plan: RecordingPlan
    wanted: tuple[Wanted, ...]
    step: Step
    batch_size: int
    stored_inputs: int
    targets: tuple[Array, ...]


def extract(  # noqa: PLR0913 - the words of the main job, all but three with a default
    model: Any,
    data: Any,
    path: str | Path,
    *,
    layers: Selection = None,
    reduce: Reductions = None,
    dtype: str | None = None,
    gradients: Gradients = None,
    y: Any = None,
    batch_size: int | str | None = None,
    samples: int | None = None,
    ids: Sequence[str] | None = None,
    labels: npt.ArrayLike | None = None,
    store_inputs: bool | None = None,
    codec: str | None = None,
    layout: str = SAMPLE,
    statistics: bool | None = None,
    store: bool = True,
    overwrite: bool = False,
    progress: bool | None = None,
    on_plan: Callable[[RecordingPlan], None] | None = None,
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
            or any iterable of batches.
        path: the HDF5 file to write.
        layers: a glob or several over layer paths, such as `"conv*"` or `["**/query", "dense"]`;
            `"type:Conv2D"`; `"!dropout*"` to take away; a callable given each layer's
            `LayerInfo`; `"all"`; by default the layers one level below the model.
        reduce: what to compute of the outputs on the device, such as `"mean"` or
            `["token:0", "max"]` where they fit, or `{glob: reduction}`; see `actscope.reduction`.
        dtype: `"float16"`, `"bfloat16"` or `"float32"`, to which floating-point values are cast on
            the device.
        gradients: what to record the gradients of, with respect to every output that is recorded:
            `"predicted"` for the logit of each sample's strongest class, a class's number, an
            array `(N,)` of them, `"loss"` for the model's compiled loss, or a function of the
            model's outputs (and `y`, where given) that returns one number per sample. Each
            sample's row is the gradient of its own number, whatever the batch size.
        y: what the loss or the function gets besides the outputs.
        batch_size: samples per batch; by default 32, and up to 1,024 where the model's layers are
            small or it runs on an accelerator; `"auto"` tries a few and takes the fastest that
            fits. A model that fixes its batch size keeps its own.
        samples: how many samples to record; by default all. A `tf.data.Dataset` without it is
            read once more, to count; of an iterable that cannot tell, such as a generator, all is
            recorded until it ends, in chunks.
        ids: a name for each sample, such as a file name.
        labels: a number or text for each sample, shape `(N,)`.
        store_inputs: whether to keep the inputs for drawing; by default they are kept where they
            take no more room than the activations.
        codec: `"zstd"`, or `"gzip"` which every HDF5 tool reads, to compress without loss.
        layout: `"sample"`, or `"channel"` for those who read one channel over all samples.
        statistics: whether to keep, for each channel of each activation, mean, variance, extremes,
            zeros, what is not finite, and the samples of the largest values, and a histogram of
            all, in this one pass; by default where `store` is false.
        store: whether to store the activations themselves; statistics alone take next to no room,
            however many samples there are.
        overwrite: whether a file at `path` may be replaced.
        progress: whether to draw a progress bar on stderr; by default on a terminal.
        on_plan: called with what will be stored, before anything is computed.

    Returns:
        The finished recording, opened.

    Raises:
        OutputExistsError: the file exists, is no unfinished recording, and `overwrite` is false.
        OutputInUseError: another run is writing the file.
        ResumeError: the file is an unfinished recording of other data, another model or another
            selection; every difference is named.
        UnknownLayerError: a pattern matches no layer.
        SelectionError: the selection takes nothing that can be recorded.
        ReductionError: a reduction is malformed or does not fit.
        GradientError: the model has no such objective.
        DataError: the data do not fit the model, or end early.
        ModelError: the model is of no known kind, or fails on the data.
        DiskFullError: the disk has no room; known before anything is computed.
    """
    path = Path(path)
    if check_recording_output(path, overwrite=overwrite) and batch_size in (None, AUTO):
        found = open_recording(path).provenance.get("batch-size")
        batch_size = batch_size if found is None else int(found)
    request = requested(
        layers=layers,
        reduce=reduce,
        dtype=dtype,
        gradients=gradients,
        y=y,
        batch_size=batch_size,
        ids=ids,
        labels=labels,
        store_inputs=store_inputs,
        codec=codec,
        layout=layout,
        statistics=statistics,
        store=store,
    )
    adapter = adapter_for(model)
    feed = feed_for(adapter, model, data, samples)
    run = prepare(adapter, model, feed, request)
    if on_plan is not None:
        on_plan(run.plan)
    with (
        open_writer(path, run.plan, overwrite=overwrite) as writer,
        progress_bar(path.name, feed.samples, run.plan.bytes_per_sample, shown=progress) as advance,
    ):
        advance(writer.committed)
        overflows = record_run(run, feed, writer, advance, start=writer.committed)
        writer.complete()
    warn_of_overflows(run, overflows)
    return open_recording(path)


def feed_for(adapter: Adapter, model: Any, data: Any, samples: int | None = None) -> Feed:
    """The data as a feed that fits the model.

    Raises:
        DataError: they do not fit.
    """
    declared = adapter.inputs(model)
    feed = open_feed(data, len(declared) if declared else None, samples)
    check_inputs(declared, feed.example)
    return feed


def prepare(adapter: Adapter, model: Any, feed: Feed, request: Request) -> Run:
    """Make a request ready: everything that can be wrong with it is found here."""
    declared = adapter.inputs(model)
    ids = _checked_ids(request.ids, feed)
    labels = _checked_labels(request.labels, feed)
    objective = None
    if request.gradients is not None or request.y is not None:
        objective = objective_of(request.gradients, request.y, feed.length)
    trace = adapter.trace(model, feed.example)
    shapes = [array.shape[1:] for array in feed.example.arrays]
    wanted = plan_wanted(
        select(trace.layers, request.layers),
        reduce=request.reduce,
        dtype=request.dtype,
        gradients=objective is not None,
        input_shapes=dict(zip(input_names(declared, feed.example), shapes, strict=True)),
    )
    stored = wanted if request.store else []
    inputs = _inputs_to_store(declared, feed.example, stored, request.store_inputs)
    targets = objective.targets.arrays if objective and objective.targets else ()
    bytes_per_sample = sum(tensor.stored.bytes_per_sample for tensor in wanted)
    size = request.batch_size
    if size is None:
        size = _suited(adapter, model, trace, bytes_per_sample)
    with ThreadPoolExecutor(1, "actscope-provenance") as thread:
        # To hash the weights takes a while, and needs nothing of what compiling does.
        provenance = thread.submit(adapter.provenance, model)
        if size == AUTO:
            provenance.result()  # batches are timed: nothing may run beside them
        batch_size, step = _step(
            lambda rows: trace.compile(wanted, rows, objective),
            size,
            [*feed.example.arrays, *(array[: len(feed.example)] for array in targets)],
            feed.samples,
            fixed_batch(declared),
            bytes_per_sample,
        )
    layers, groups = schema.plan_layers(tensor.stored for tensor in wanted)
    plan = RecordingPlan(
        samples=feed.samples or 0,
        tensors=(*inputs, *(layers if request.store else ())),
        groups=groups,
        provenance=describe(provenance.result(), feed.fingerprint, request, batch_size),
        ids=ids,
        labels=labels,
        keeps_statistics=request.statistics,
        unstored=() if request.store else tuple(layers),
        is_open_ended=feed.samples is None,
    )
    plan = stored_as(plan, request.codec, request.layout)
    return Run(plan, tuple(wanted), step, batch_size, len(inputs), targets)


def record_run(
    run: Run, feed: Feed, writer: Sink, advance: Callable[[int], None], *, start: int = 0
) -> list[int]:
    """Run over the data from the row `start` on.

    Returns:
        How many values of each tensor that may overflow did.
    """
    return record(
        with_targets(feed.batches(run.batch_size, start), run.targets, start),
        run.step,
        writer,
        batch_size=run.batch_size,
        stored_inputs=range(run.stored_inputs),
        on_batch=advance,
        done=start,
    )


def warn_of_overflows(run: Run, overflows: Sequence[int]) -> None:
    """Tell once of finite values that became infinite in float16."""
    narrowed = [tensor.source.path for tensor in run.wanted if tensor.may_overflow]
    found = [
        f"{count:,} in {path!r}" for path, count in zip(narrowed, overflows, strict=False) if count
    ]
    if found:
        warnings.warn(
            f"{sum(overflows):,} values are too large for float16 and were stored as infinite "
            f"({', '.join(found)}): use dtype='bfloat16' or 'float32'",
            ActscopeWarning,
            stacklevel=3,
        )


def _inputs_to_store(
    declared: Sequence[InputInfo] | None,
    example: Inputs,
    wanted: Sequence[Wanted],
    asked: bool | None,
) -> list[TensorPlan]:
    """The datasets for the inputs; none where they are not wanted, or would outweigh the rest."""
    names = input_names(declared, example)
    shapes = [array.shape[1:] for array in example.arrays]
    dtypes = [str(array.dtype) for array in example.arrays]
    tensors = schema.plan_inputs(names, shapes, dtypes)
    if asked is None:
        activations = sum(tensor.stored.bytes_per_sample for tensor in wanted)
        asked = sum(tensor.bytes_per_sample for tensor in tensors) <= activations
    return tensors if asked else []


def _suited(adapter: Adapter, model: Any, trace: Trace, bytes_per_sample: int) -> int:
    bytes_of_layers = [layer.bytes_per_sample for layer in trace.layers]
    if adapter.peak_device_bytes(model) is None:
        return suited(bytes_of_layers)
    return suited_to_accelerator(bytes_of_layers, bytes_per_sample)


def _step(
    compile_step: Callable[[int], Step],
    batch_size: int | str,
    example: Sequence[Array],
    samples: int | None,
    fixed: int | None,
    bytes_per_sample: int,
) -> tuple[int, Step]:
    """The compiled step, for the batch size that was asked for or found."""
    samples = samples or sys.maxsize
    if batch_size == AUTO and fixed is None:
        return fastest(compile_step, example, samples, bytes_per_sample)
    if batch_size != AUTO and (not isinstance(batch_size, int | np.integer) or batch_size < 1):
        raise DataError(f"batch_size={batch_size!r}: give a whole number of at least 1, or 'auto'")
    size = fixed or min(int(batch_size), samples)
    return size, compile_step(size)


def _checked_ids(ids: Sequence[str] | None, feed: Feed) -> tuple[str, ...]:
    if ids is None:
        return ()
    samples = feed.length
    if len(ids) < samples:
        raise DataError(f"there are {len(ids)} ids for {samples} samples: give one each")
    return tuple(str(name) for name in ids[:samples])


def _checked_labels(labels: npt.ArrayLike | None, feed: Feed) -> Array | None:
    if labels is None:
        return None
    samples = feed.length
    values = np.asarray(labels)
    if values.ndim != 1 or len(values) < samples or values.dtype.kind not in "biufUO":
        raise DataError(
            f"labels of shape {values.shape} and dtype {values.dtype} do not fit {samples} "
            "samples: give one number or text per sample"
        )
    return values[:samples]
