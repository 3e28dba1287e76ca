"""The commands that draw layers and samples of a recording, one for each function."""

from pathlib import Path
from typing import Any

import click

from actscope.command_options import (
    file_argument,
    overwrite_option,
    parse_sample,
    progress_option,
    samples_option,
)
from actscope.drawing.options import (
    alpha_option,
    check_picture,
    cmap_option,
    columns_option,
    draw,
    draw_each,
    draw_one,
    each_options,
    each_samples_option,
    layer_argument,
    layer_of,
    picture_option,
    sample_option,
    save,
    scale_option,
    tile_scale_option,
)


@click.command()
@file_argument
@layer_argument
@sample_option
@click.option("--channel", type=int, help="Only this channel, of many samples.")
@samples_option("With --channel, by default the first 16, or with --each")
@click.option("--sort", is_flag=True, help="The strongest channel first.")
@click.option("--page", type=int, help="Of more than 256 channels: the PAGEth 256, from 1.")
@tile_scale_option
@cmap_option
@columns_option
@each_options
def grid(**options: Any) -> None:
    """All channels of LAYER for one sample, or one channel for many, in one picture."""
    draw("grid", **options)


@click.command()
@file_argument
@layer_argument
@sample_option
@each_samples_option
@click.option("--merge", default="mean", show_default=True, help="mean, max, l2 or none.")
@click.option("--channel", type=int, help="Only this channel.")
@click.option(
    "--method",
    default="activation",
    show_default=True,
    help="activation, or with recorded gradients grad-cam, grad-cam++ or hirescam.",
)
@alpha_option
@click.option(
    "--interpolation",
    default="bilinear",
    show_default=True,
    help="bilinear or nearest, from the size of the layer to that of the input.",
)
@scale_option
@cmap_option
@each_options
def heatmap(merge: str, **options: Any) -> None:
    """The activation of LAYER over the stored input of one sample."""
    draw("heatmap", merge=None if merge == "none" else merge, **options)


@click.command()
@file_argument
@layer_argument
@sample_option
@each_samples_option
@cmap_option
@click.option(
    "--tile/--bars",
    "tile",
    default=None,
    help="As a nearly square image, or as bars; by default a tile of more than 512 values.",
)
@each_options
def vector(**options: Any) -> None:
    """The values of a dense LAYER for one sample, as bars or as a tile."""
    draw("vector", **options)


@click.command()
@file_argument
@layer_argument
@sample_option
@each_samples_option
@tile_scale_option
@cmap_option
@each_options
def sequence(**options: Any) -> None:
    """The channels of LAYER over the steps or tokens of one sample, as one image."""
    draw("sequence", **options)


@click.command()
@file_argument
@layer_argument
@sample_option
@each_samples_option
@click.option("--head", type=int, help="Only this head, large.")
@click.option("--merge", help="mean, max or l2 over the heads; by default each for itself.")
@click.option("--tokens", help="The sample's tokens, set apart by blanks, to stand on the axes.")
@cmap_option
@columns_option
@each_options
def attention(tokens: str | None, **options: Any) -> None:
    """Which tokens attend to which in LAYER, for one sample: a matrix for each head."""
    draw("attention", tokens=None if tokens is None else tokens.split(), **options)


@click.command()
@file_argument
@layer_argument
@sample_option
@each_samples_option
@click.option("--channel", type=int, help="Only this channel.")
@click.option("--merge", default="mean", show_default=True, help="mean, max or l2.")
@scale_option
@cmap_option
@columns_option
@each_options
def volume(**options: Any) -> None:
    """The slices of a three-dimensional LAYER for one sample, a tile for each z."""
    draw("volume", **options)


@click.command()
@file_argument
@sample_option
@each_samples_option
@each_options
def flow(**options: Any) -> None:
    """One sample's way through the whole network, on one page."""
    draw = draw_each if options["each"] else draw_one
    draw("flow", lambda recording: recording, **options)


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@layer_argument
@sample_option
@scale_option
@cmap_option
@columns_option
@picture_option
@overwrite_option
def compare(
    a: Path, b: Path, layer: str, sample: str, output: Path, overwrite: bool, **options: Any
) -> None:
    """LAYER in the recordings A and B side by side, with the difference, for one sample."""
    import actscope

    check_picture(output, overwrite=overwrite)
    with actscope.open(a) as first, actscope.open(b) as second:
        from actscope import render

        figure = render.compare(
            layer_of(first, layer), layer_of(second, layer), parse_sample(sample), **options
        )
        save(figure, output)


@click.command()
@file_argument
@layer_argument
@click.option("--kind", default="grid", show_default=True, help="grid, heatmap or vector.")
@samples_option("One frame for each; by default the epochs, or the first 16")
@click.option(
    "--sample", default="0", show_default=True, help="Over epochs: position of the sample, or id."
)
@scale_option
@cmap_option
@click.option("--fps", default=4.0, show_default=True, help="Frames per second.")
@progress_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="GIF or MP4.")
@overwrite_option
def animate(
    file: Path, layer: str, sample: str, output: Path, overwrite: bool, **options: Any
) -> None:
    """LAYER over samples, or over the epochs of a training, as a GIF or MP4."""
    import actscope

    check_picture(output, overwrite=overwrite)
    with actscope.open(file) as recording:
        from actscope import render

        render.animate(layer_of(recording, layer), output, sample=parse_sample(sample), **options)
    click.echo(str(output))


COMMANDS = (grid, heatmap, vector, sequence, attention, volume, flow, compare, animate)
