"""The commands `actscope render histogram`, `statistics`, `top` and `embedding`."""

from pathlib import Path
from typing import Any

import click

_file = click.argument("file", type=click.Path(path_type=Path))
_layer = click.argument("layer")
_picture = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="PNG, PDF or SVG."
)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing file.")


@click.command()
@_file
@click.argument("layer", required=False)
@_picture
@_overwrite
def histogram(layer: str | None, **options: Any) -> None:
    """How the values of LAYER are distributed, or of every layer where none is named."""
    _draw(
        "histogram", lambda recording: recording if layer is None else recording[layer], **options
    )


@click.command()
@_file
@_picture
@_overwrite
def statistics(**options: Any) -> None:
    """Mean, spread, zeros, dead channels and saturation of all layers, in order."""
    _draw("statistics", lambda recording: recording, **options)


@click.command()
@_file
@_layer
@click.option(
    "--channel",
    "channels",
    type=int,
    multiple=True,
    default=[0],
    show_default=True,
    help="Which channel; repeatable, for a row each.",
)
@click.option("--cmap", help="A colour map of matplotlib.")
@_picture
@_overwrite
def top(layer: str, **options: Any) -> None:
    """The stored inputs that activate a channel of LAYER most."""
    _draw("top", lambda recording: recording[layer], **options)


@click.command()
@_file
@_layer
@click.option("--method", default="pca", show_default=True, help="pca, tsne or umap.")
@click.option(
    "--features",
    default="flatten",
    show_default=True,
    help="flatten for all values, mean for each channel's mean over its positions.",
)
@_picture
@_overwrite
def embedding(layer: str, **options: Any) -> None:
    """A map of the samples by LAYER, coloured by their labels."""
    _draw("embedding", lambda recording: recording[layer], **options)


COMMANDS = (histogram, statistics, top, embedding)


def _draw(
    verb: str, subject: Any, *, file: Path, output: Path, overwrite: bool, **options: Any
) -> None:
    import actscope
    from actscope.store.opening import check_output

    check_output(output, overwrite=overwrite)
    with actscope.open(file) as recording:
        drawn_from = subject(recording)
        from actscope import render

        render.save(getattr(render, verb)(drawn_from, **options), output)
    click.echo(str(output))
