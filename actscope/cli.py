"""The command line: a thin skin over the same functions, with the same words.

Whatever is wrong with what the user gave ends in one line on stderr and exit code 2.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

import actscope
from actscope.comparing.commands import compare
from actscope.errors import ActscopeError

DEFAULT_ADAPTER = "keras"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(actscope.__version__, prog_name="actscope")
def cli() -> None:
    """Record what the layers of a neural network compute, and draw it later without the model."""


def _load(model: str, backend: str | None, *, structure_only: bool) -> tuple[Any, Any]:
    from actscope.registry import adapter_named

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets every user at length
    adapter = adapter_named(DEFAULT_ADAPTER)
    return adapter, adapter.load(model, backend=backend, structure_only=structure_only)


backend_option = click.option(
    "--backend", metavar="NAME", help="jax, tensorflow or torch; by default Keras's own choice."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing file.")


@cli.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@backend_option
def layers(model: str, as_json: bool, backend: str | None) -> None:
    """List the layers of MODEL: path, class, output shape, parameters.

    MODEL is a .keras file, or package.module:callable that returns a model, as in
    keras.applications:MobileNetV2 or keras.applications:ResNet50(weights=None).
    """
    from actscope import listing

    adapter, loaded = _load(model, backend, structure_only=True)
    found = adapter.trace(loaded, None).layers
    click.echo(_json(listing.layers_json(found)) if as_json else listing.layers_table(found))


def _json(data: Any) -> str:
    return json.dumps(data, indent=2)


@cli.command()
@click.argument("model")
@click.argument("data")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="HDF5 file.")
@click.option(
    "--layers",
    "patterns",
    multiple=True,
    metavar="GLOB",
    help="Layers to record, such as 'conv*', '**/query' or all; repeatable. "
    "By default those one level below the model.",
)
@click.option("--batch-size", default=32, show_default=True, help="Samples per batch.")
@click.option("--samples", type=int, help="How many samples to record; by default all.")
@click.option(
    "--store-inputs/--no-store-inputs",
    default=None,
    help="Keep the inputs for drawing; by default where they take no more room than the rest.",
)
@click.option("--progress/--no-progress", default=None, help="By default on a terminal only.")
@backend_option
@overwrite_option
def extract(
    model: str,
    data: str,
    output: Path,
    patterns: tuple[str, ...],
    backend: str | None,
    **options: Any,
) -> None:
    """Record what the layers of MODEL compute over DATA.

    MODEL is a .keras file or package.module:callable. DATA is a .npy or .npz file, a dataset
    file.h5:path, or a folder of images.
    """
    from actscope import listing
    from actscope.sources import open_source
    from actscope.store.writer import check_output

    check_output(output, overwrite=options["overwrite"])
    adapter, loaded = _load(model, backend, structure_only=False)
    source = open_source(data, adapter.inputs(loaded))
    selection = "all" if patterns == ("all",) else (list(patterns) or None)
    recording = actscope.extract(
        loaded,
        source.data,
        output,
        layers=selection,
        ids=source.ids or None,
        labels=source.labels,
        **options,
    )
    click.echo(listing.recording_summary(recording))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(file: Path, as_json: bool) -> None:
    """Show what the recording FILE holds."""
    from actscope import listing

    with actscope.open(file) as recording:
        text = (
            _json(listing.recording_json(recording))
            if as_json
            else listing.recording_table(recording)
        )
    click.echo(text)


@cli.group()
def render() -> None:
    """Draw a layer of a recording, from the file alone."""


file_argument = click.argument("file", type=click.Path(path_type=Path))
layer_argument = click.argument("layer")
sample_option = click.option(
    "--sample", default="0", show_default=True, help="Position of the sample, or its id."
)
picture_option = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="PNG, PDF or SVG."
)


@render.command()
@file_argument
@layer_argument
@sample_option
@click.option(
    "--scale", default="auto", show_default=True, help="auto, shared, channel, symmetric."
)
@click.option("--cmap", help="A colour map of matplotlib.")
@picture_option
@overwrite_option
def grid(**options: Any) -> None:
    """All channels of LAYER for one sample, in one picture."""
    _draw("grid", **options)


@render.command()
@file_argument
@layer_argument
@sample_option
@click.option("--merge", default="mean", show_default=True, help="mean, max, l2 or none.")
@click.option("--channel", type=int, help="Only this channel.")
@click.option("--alpha", default=0.5, show_default=True, help="Opacity of the activation.")
@click.option("--cmap", help="A colour map of matplotlib.")
@picture_option
@overwrite_option
def heatmap(merge: str, **options: Any) -> None:
    """The activation of LAYER over the stored input of one sample."""
    _draw("heatmap", merge=None if merge == "none" else merge, **options)


@render.command()
@file_argument
@layer_argument
@sample_option
@picture_option
@overwrite_option
def vector(**options: Any) -> None:
    """The values of a dense LAYER for one sample, as bars."""
    _draw("vector", **options)


def _draw(
    verb: str,
    *,
    file: Path,
    layer: str,
    sample: str,
    output: Path,
    overwrite: bool,
    **options: Any,
) -> None:
    from actscope.store.writer import check_output

    check_output(output, overwrite=overwrite)
    with actscope.open(file) as recording:
        recorded = recording[layer]
        from actscope import render as drawing

        figure = getattr(drawing, verb)(recorded, _sample(sample), **options)
        drawing.save(figure, output)
    click.echo(str(output))


def _sample(sample: str) -> int | str:
    """A whole number is a position, anything else an id."""
    return int(sample) if sample.lstrip("-").isdigit() else sample


@cli.command()
@click.option(
    "-o",
    "--output",
    "folder",
    default="actscope-demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the recording and the pictures.",
)
@backend_option
def demo(folder: Path, backend: str | None) -> None:
    """Record and draw a small network reading handwritten digits; needs nothing else."""
    from actscope.demo import run

    run(folder, backend, click.echo)


cli.add_command(compare)


def main() -> None:
    """Run the command line; the entry point of the `actscope` command."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted; the rows committed so far are safe", 130)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except ActscopeError as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 2)


def _fail(message: str, code: int) -> None:
    line = " ".join(message.split())
    click.echo(f"actscope: {line}", err=True)
    sys.exit(code)
