"""Pictures of activations, gradients and weights: shown, or saved as `<index>_<layer>.png`."""

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actscope.errors import ActscopeWarning, RenderError
from actscope.protocol import Array

DOTS_PER_INCH = 100
LARGEST_SIDE = 10.0
"""Inches; larger pictures are drawn as small ones are, and enlarged."""


def display_activations(
    activations: Mapping[Any, Any],
    cmap: str | None = None,
    save: bool = False,
    directory: str | Path = ".",
    data_format: str = "channels_last",
    fig_size: tuple[float, float] = (24, 24),
    reshape_1d_layers: bool = False,
) -> None:
    """Draw each layer's channels, a picture per layer.

    Args:
        activations: arrays `(N, ...)` by layer; the first sample is drawn.
        cmap: a colour map of matplotlib.
        save: whether the pictures are saved, or shown.
        directory: where to, made where it is missing.
        data_format: `"channels_last"` or `"channels_first"`.
        fig_size: width and height of a picture in inches.
        reshape_1d_layers: whether a layer of one value per unit is drawn as a rectangle, or as
            one row.

    Raises:
        RenderError: the data format or the colour map is unknown.
    """
    from actscope import render

    for index, (name, array) in enumerate(_first_samples(activations)):
        values = _as_maps(array, data_format, reshape=reshape_1d_layers)
        figure = _new_figure(fig_size)
        render.grid(_named(name, values), 0, cmap=cmap, figure=figure)
        _finish(figure, index, name, directory if save else None)


def _as_maps(array: Array, data_format: str, *, reshape: bool) -> Array:
    """One sample as maps `(1, height, width, channels)`; vectors and series are one row high."""
    if data_format not in ("channels_last", "channels_first"):
        raise RenderError(f"data_format={data_format!r}: give channels_last or channels_first")
    if array.ndim <= 2:
        row = array.reshape(1, 1, -1, 1)
        return row.reshape(1, *_rectangle(row.size), 1) if reshape else row
    if data_format == "channels_first":
        array = np.moveaxis(array, 1, -1)
    return array[:, None] if array.ndim == 3 else array


def _rectangle(count: int) -> tuple[int, int]:
    """The two whole numbers nearest to each other whose product is `count`."""
    shorter = next(side for side in range(int(count**0.5), 0, -1) if count % side == 0)
    return count // shorter, shorter


def display_heatmaps(
    activations: Mapping[Any, Any],
    input_image: Any,
    directory: str | Path = ".",
    save: bool = False,
    fix: bool = True,
    merge_filters: bool = False,
) -> None:
    """Draw each layer's filters over the image, a picture per layer.

    Layers without maps, such as dense ones, are left out.

    Args:
        activations: arrays `(N, height, width, filters)` or `(N, steps, filters)` by layer.
        input_image: the image `(height, width)`, `(height, width, channels)` or with a sample axis
            before; it is not changed.
        directory: where pictures are saved, made where it is missing.
        save: whether they are saved, or shown.
        fix: whether a sample axis is taken off the image, and values up to 255 are scaled to 1.
        merge_filters: whether all filters are drawn as one, each scaled to 0-1 and averaged.
    """
    from actscope import render

    image = _fixed(np.array(input_image)) if fix else np.asarray(input_image)
    index = 0
    for name, array in _first_samples(activations):
        if array.ndim <= 2:
            continue
        values = _as_maps(array, "channels_last", reshape=False)
        if merge_filters:
            values = _scaled(values).mean(-1, keepdims=True)
        figure = _new_figure((12, 12))
        render.heatmap(
            _named(name, values), 0, input=image, merge=None, alpha=0.3, cmap="jet", figure=figure
        )
        _finish(figure, index, name, directory if save else None)
        index += 1


def _fixed(image: Array) -> Array:
    if image.ndim == 4:
        image = image[0]
    if image.size and image.min() >= 0 and 1 < image.max() <= 255:
        image = image / 255
    return image


def _scaled(values: Array) -> Array:
    """Each filter from 0 to 1; a constant one is 0."""
    low = values.min(axis=(1, 2), keepdims=True)
    spread = values.max(axis=(1, 2), keepdims=True) - low
    scaled: Array = (values - low) / np.where(spread > 0, spread, 1)
    return scaled


def display_gradients_of_trainable_weights(
    gradients: Mapping[str, Any], directory: str | Path = ".", save: bool = False
) -> None:
    """Draw the gradients of convolutions' kernels, a row per filter and a column per input channel.

    Other weights are left out.

    Args:
        gradients: arrays `(height, width, in, out)` by weight.
        directory: where pictures are saved, made where it is missing.
        save: whether they are saved, or shown.
    """
    from actscope import render

    index = 0
    for name, gradient in gradients.items():
        kernel = np.asarray(gradient)
        if kernel.ndim != 4:
            continue
        height, width, inputs, _ = kernel.shape
        tiles = kernel.transpose(0, 1, 3, 2).reshape(1, height, width, -1)
        figure = _new_figure((12, 12))
        render.grid(_named(name, tiles, "gradient"), 0, columns=inputs, figure=figure)
        _finish(figure, index, name, directory if save else None)
        index += 1


def _first_samples(activations: Mapping[Any, Any]) -> Iterator[tuple[str, Array]]:
    """Every array, cut to its first sample, by a name; each tensor of a list by itself."""
    more = 0
    for name, value in activations.items():
        parts = value if isinstance(value, list | tuple) else [value]
        for position, part in enumerate(parts):
            array = np.asarray(part)
            more = max(more, len(array) - 1)
            yield f"{name}[{position}]" if len(parts) > 1 else str(name), array[:1]
    if more:
        warnings.warn(
            f"the first of {more + 1} samples was drawn: pass the activations of another one, as "
            "in {name: array[3:4]}, to draw that",
            ActscopeWarning,
            stacklevel=3,
        )


def _named(name: str, values: Array, quantity: str = "activation") -> Any:
    from actscope.render.subject import Named

    return Named(values, name, quantity)


def _new_figure(size: tuple[float, float]) -> Any:
    """A figure of as many pixels as `size` inches have, with letters that can be read."""
    from matplotlib import pyplot

    enlarged = max(1.0, max(size) / LARGEST_SIDE)
    return pyplot.figure(
        figsize=(size[0] / enlarged, size[1] / enlarged), dpi=DOTS_PER_INCH * enlarged
    )


def _finish(figure: Any, index: int, name: str, directory: str | Path | None) -> None:
    from matplotlib import pyplot

    if directory is None:
        pyplot.show()
    else:
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{index}_{_file_name(name)}.png", bbox_inches="tight")
    pyplot.close(figure)


def _file_name(name: str) -> str:
    """The first part of a layer's path, without what a file's name cannot have."""
    return re.sub(r'[\\:*?"<>|\0]', "_", name.split("/", maxsplit=1)[0]).strip(".") or "layer"
