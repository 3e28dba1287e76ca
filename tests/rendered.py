"""Recordings to draw, and what tests look for in the figures."""

from dataclasses import replace

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.textpath import TextPath

from actscope.store import schema
from actscope.store.reader import open_recording
from actscope.store.writer import Writer
from recordings import output_info

RAW = {"bool": np.uint8, "bfloat16": np.uint16}


def write_arrays(path, arrays, axes=None, *, ids=True, inputs=(), epochs=None, gradients=None):
    """A recording of `arrays`, by layer path, with ids digit-0 ... and labels 0, 11, ...

    `ids` may be a tuple of other ids, empty for none; `gradients` are of some of the layers.
    """
    gradients = gradients or {}
    samples = len(next(iter(arrays.values())))
    outputs = [
        output_info(name, array.shape[1:], order, str(array.dtype), (axes or {}).get(name))
        for order, (name, array) in enumerate(arrays.items())
    ]
    outputs += [replace(output, is_gradient=True) for output in outputs if output.path in gradients]
    tensors, groups = schema.plan_layers(outputs)
    stored = schema.plan_inputs(
        [f"input_{position}" for position in range(len(inputs))],
        [array.shape[1:] for array in inputs],
        [str(array.dtype) for array in inputs],
    )
    period = samples if epochs is None else samples // len(set(epochs))
    names = tuple(f"digit-{number % period}" for number in range(samples)) if ids is True else ids
    labels = np.arange(samples) % period * 11 if ids else None
    numbers = None if epochs is None else np.array(epochs, np.int64)
    plan = schema.RecordingPlan(
        samples, (*stored, *tensors), groups, "{}", names or (), labels, epochs=numbers
    )
    with Writer(path, plan) as writer:
        slopes = [gradients[name] for name in arrays if name in gradients]
        every = [*arrays.values(), *slopes]
        rows = [array.view(RAW.get(str(array.dtype), array.dtype)) for array in every]
        writer.append([*inputs, *rows])
        writer.commit()
    return open_recording(path)


def tiles_of(figure, shape, position=0):
    """The values of the tiles of `shape`, row by row, from a mosaic with gaps."""
    image = image_of(figure, position)
    held = np.isfinite(image)
    packed = image[held.any(axis=1)][:, held.any(axis=0)]
    rows, columns = packed.shape[0] // shape[0], packed.shape[1] // shape[1]
    split = packed.reshape(rows, shape[0], columns, shape[1]).swapaxes(1, 2)
    return split.reshape(-1, *shape)


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure.axes[0]


def image_of(figure, position=0):
    return np.ma.filled(figure.axes[0].images[position].get_array(), np.nan)


def words_of(figure):
    axes = figure.axes[0]
    return axes.get_title(loc="left"), axes.texts[-1].get_text()


def bars_of(axes):
    """The collection of the bars of a vector."""
    return next(found for found in axes.collections if isinstance(found, PolyCollection))


def heights_of(axes):
    """The heights of the bars of a vector, above zero or below."""
    return [path.vertices[1, 1] for path in bars_of(axes).get_paths()]


def numbers_of(figure):
    """The collection of the numbers, or names, above the tiles."""
    return next(found for found in figure.axes[0].collections if isinstance(found, PathCollection))


def assert_numbered(figure, labels):
    """The tiles have these labels above them, one by one: the outlines are those of the texts."""
    paths = numbers_of(figure).get_paths()
    assert len(paths) == len(labels)
    for path, label in zip(paths, labels, strict=True):
        expected = TextPath((0, 0), label, size=6)
        np.testing.assert_allclose(path.vertices, expected.vertices)
        np.testing.assert_array_equal(path.codes, expected.codes)


def bar_label_of(figure):
    return figure.axes[0].child_axes[0].get_ylabel()


def assert_nothing_cut_off(figure):
    """Everything is within the figure, and within the panel that it belongs to."""
    drawn(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        boxes = [axes.get_tightbbox(renderer, for_layout_only=False)]
        boxes += [one.get_window_extent(renderer) for one in (*axes.texts, *axes.collections)]
        part = axes.figure.bbox
        for box in boxes:
            assert min(box.x0 - part.x0, box.y0 - part.y0) >= -0.5
            assert max(box.x1 - part.x1, box.y1 - part.y1) <= 0.5
