"""The commands `actscope render histogram`, `statistics`, `top` and `embedding`."""

from typing import TYPE_CHECKING, Any

import click

from actscope.command_options import file_argument, overwrite_option
from actscope.drawing.options import (
    alpha_option,
    cmap_option,
    draw_from,
    layer_argument,
    layer_of,
    picture_option,
)

if TYPE_CHECKING:
    from actscope.store.reader import Recording


@click.command()
@file_argument
@click.argument("layer", required=False)
@picture_option
@overwrite_option
def histogram(layer: str | None, **options: Any) -> None:
    """How the values of LAYER are distributed, or of every layer where none is named."""

    def subject(recording: "Recording") -> Any:
        return recording if layer is None else layer_of(recording, layer)

    draw_from("histogram", subject, **options)


@click.command()
@file_argument
@picture_option
@overwrite_option
def statistics(**options: Any) -> None:
    """Mean, spread, zeros, dead channels and saturation of all layers, in order."""
    draw_from("statistics", lambda recording: recording, **options)


@click.command()
@file_argument
@layer_argument
@click.option(
    "--channel",
    "channels",
    type=int,
    multiple=True,
    default=[0],
    show_default=True,
    help="Which channel; repeatable, for a row each.",
)
@alpha_option
@cmap_option
@picture_option
@overwrite_option
def top(layer: str, **options: Any) -> None:
    """The stored inputs that activate a channel of LAYER most."""
    draw_from("top", lambda recording: layer_of(recording, layer), **options)


@click.command()
@file_argument
@layer_argument
@click.option("--method", default="pca", show_default=True, help="pca, tsne or umap.")
@click.option(
    "--features",
    default="flatten",
    show_default=True,
    help="flatten for all values, mean for each channel's mean over its positions.",
)
@picture_option
@overwrite_option
def embedding(layer: str, **options: Any) -> None:
    """A map of the samples by LAYER, coloured by their labels."""
    draw_from("embedding", lambda recording: layer_of(recording, layer), **options)


COMMANDS = (histogram, statistics, top, embedding)
