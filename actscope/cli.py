"""The command line: a thin skin over the same functions, with the same words.

Whatever is wrong with what the user gave ends in one line on stderr and exit code 2.
"""

import json
import os
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import actscope
from actscope.benching.commands import bench
from actscope.command_options import (
    file_argument,
    layout_option,
    overwrite_option,
    progress_option,
    recording_output_option,
)
from actscope.comparing.commands import compare
from actscope.copying_commands import merge, pack
from actscope.drawing import commands, statistics_commands
from actscope.errors import ActscopeError, ActscopeWarning, printable
from actscope.reporting.commands import report

DEFAULT_ADAPTER = "keras"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(actscope.__version__, prog_name="actscope")
def cli() -> None:
    """Record what the layers of a neural network compute, and draw it later without the model."""


def _load(
    model: str, backend: str | None, *, structure_only: bool, trusted: bool
) -> tuple[Any, Any]:
    from actscope.registry import adapter_named

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets every user at length
    adapter = adapter_named(DEFAULT_ADAPTER)
    loaded = adapter.load(model, backend=backend, structure_only=structure_only, trusted=trusted)
    return adapter, loaded


trust_option = click.option(
    "--trust",
    "trusted",
    is_flag=True,
    help="Let a .keras file run the code that it carries: any code, with your rights.",
)


backend_option = click.option(
    "--backend", metavar="NAME", help="jax, tensorflow or torch; by default Keras's own choice."
)


layers_option = click.option(
    "--layers",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Layers to record: 'conv*', '**/query', type:Conv2D, '!dropout*' to take away, or all; "
    "repeatable. By default those one level below the model.",
)
reduce_option = click.option(
    "--reduce",
    "reductions",
    multiple=True,
    metavar="[GLOB=]REDUCTION",
    help="What to store of the outputs instead of the whole: mean, max, std, l2, token:0, "
    "masked_mean:INPUT, channels:0:16, flatten, pool:2, project:128; repeatable.",
)
dtype_option = click.option("--dtype", help="Cast to float16, bfloat16 or float32.")


@cli.command()
@click.argument("model")
@layers_option
@reduce_option
@dtype_option
@click.option("--samples", type=int, help="For how many samples to count the bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@trust_option
@backend_option
def layers(
    model: str,
    patterns: tuple[str, ...],
    reductions: tuple[str, ...],
    dtype: str | None,
    samples: int | None,
    as_json: bool,
    trusted: bool,
    backend: str | None,
) -> None:
    """List the layers of MODEL: path, class, output shape, parameters.

    MODEL is a .keras file, or package.module:callable that returns a model, as in
    keras.applications:MobileNetV2 or keras.applications:ResNet50(weights=None).

    With --layers, --reduce, --dtype or --samples, what a run with the same options would store,
    and how many bytes it takes.
    """
    from actscope import listing
    from actscope.planning import plan_wanted
    from actscope.selection import select
    from actscope.store.schema import plan_layers

    adapter, loaded = _load(model, backend, structure_only=True, trusted=trusted)
    found = adapter.trace(loaded, None).layers
    if not (patterns or reductions or dtype or samples):
        click.echo(_json(listing.layers_json(found)) if as_json else listing.layers_table(found))
        return
    shapes = {info.name: info.shape[1:] for info in adapter.inputs(loaded) or ()}
    selected = select(found, list(patterns) or None)
    wanted = plan_wanted(selected, reduce=_reductions(reductions), dtype=dtype, input_shapes=shapes)
    tensors, groups = plan_layers(tensor.stored for tensor in wanted)
    stored = [asdict(tensor.stored) for tensor in wanted]
    click.echo(_json(stored) if as_json else listing.plan_table(tensors, groups, samples))


def _reductions(texts: tuple[str, ...]) -> Any:
    """`--reduce` as `actscope.extract` takes it."""
    if not texts:
        return None
    by_glob = [text.split("=", 1) for text in texts if "=" in text]
    if not by_glob:
        return list(texts)
    if len(by_glob) < len(texts):
        raise click.BadParameter(
            "give either GLOB=REDUCTION every time, or never", param_hint="--reduce"
        )
    reductions: dict[str, list[str]] = {}
    for glob, text in by_glob:
        reductions.setdefault(glob, []).append(text)
    return reductions


def _json(data: Any) -> str:
    return json.dumps(data, indent=2)


@cli.command()
@click.argument("model")
@click.argument("data")
@recording_output_option
@layers_option
@reduce_option
@dtype_option
@click.option(
    "--gradients",
    metavar="CLASS",
    help="Record the gradients of a class's logit too: predicted, a class's number, or labels for "
    "the labels in DATA. The loss and functions can be asked for in Python.",
)
@click.option(
    "--batch-size",
    help="Samples per batch; by default 32, up to 1,024 for small layers or on a GPU; auto "
    "tries a few and takes the fastest that fits.",
)
@click.option("--samples", type=int, help="How many samples to record; by default all.")
@click.option(
    "--store-inputs/--no-store-inputs",
    default=None,
    help="Keep the inputs for drawing; by default where they take no more room than the rest.",
)
@click.option("--codec", help="Compress without loss: zstd, or gzip which every HDF5 tool reads.")
@layout_option
@click.option(
    "--statistics/--no-statistics",
    default=None,
    help="Keep mean, variance, extremes, zeros, a histogram and the top samples of each channel.",
)
@click.option(
    "--store/--no-store",
    default=True,
    help="Store the activations; without, their statistics alone, however many samples there are.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what it will cost, from a few timed batches; write nothing.",
)
@progress_option
@trust_option
@backend_option
@overwrite_option
def extract(
    model: str,
    data: str,
    output: Path,
    patterns: tuple[str, ...],
    reductions: tuple[str, ...],
    gradients: str | None,
    batch_size: str | None,
    backend: str | None,
    **options: Any,
) -> None:
    """Record what the layers of MODEL compute over DATA.

    MODEL is a .keras file or package.module:callable. DATA is a .npy or .npz file, a dataset
    file.h5:path, or a folder of images.
    """
    from actscope import listing
    from actscope.sources import open_source
    from actscope.store.opening import check_recording_output

    rows = check_recording_output(output, overwrite=options["overwrite"])
    if rows:
        click.echo(f"{output} holds {rows:,} samples: going on from there", err=True)
    adapter, loaded = _load(model, backend, structure_only=False, trusted=options.pop("trusted"))
    source = open_source(data, adapter.inputs(loaded))

    def announce(plan: Any) -> None:
        if plan.tensors:
            click.echo(listing.plan_table(plan.tensors, plan.groups, plan.samples))
        if plan.keeps_statistics:
            kept = len(plan.unstored) or len(plan.groups)
            click.echo(f"statistics of {kept} layers, over all samples")
        click.echo()

    options |= {
        "layers": list(patterns) or None,
        "reduce": _reductions(reductions),
        "gradients": _gradients(gradients, source.labels),
        "batch_size": int(batch_size) if batch_size and batch_size.isdigit() else batch_size,
        "ids": source.ids or None,
        "labels": source.labels,
    }
    shown = options.pop("progress")
    if options.pop("dry_run"):
        found = actscope.estimate(loaded, source.data, output, **options)
        announce(found.plan)
        click.echo(listing.estimate_lines(found))
        return
    recording = actscope.extract(
        loaded, source.data, output, on_plan=announce, progress=shown, **options
    )
    click.echo(listing.recording_summary(recording))


def _gradients(text: str | None, labels: Any) -> Any:
    """`--gradients` as `actscope.extract` takes it."""
    if text == "labels":
        if labels is None:
            raise click.BadParameter("the data hold no labels", param_hint="--gradients")
        return labels
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


@cli.command()
@file_argument
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


@cli.command()
@file_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(file: Path, as_json: bool) -> None:
    """Look for everything that is wrong with the recording FILE.

    Exit code 0 where nothing is, 1 where something is, 2 where there is no such file.
    """
    found = actscope.verify(file)
    if as_json:
        click.echo(_json([finding._asdict() for finding in found]))
    else:
        for finding in found:
            click.echo(printable(f"{finding.place}: {finding.problem}"))
        click.echo(f"{file}: {len(found)} findings" if found else f"{file}: nothing is wrong")
    sys.exit(1 if found else 0)


@cli.group()
def render() -> None:
    """Draw a layer of a recording, from the file alone."""


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


cli.add_command(bench)
cli.add_command(pack)
cli.add_command(merge)
cli.add_command(compare)
cli.add_command(report)
for command in (*commands.COMMANDS, *statistics_commands.COMMANDS):
    render.add_command(command)


def main() -> None:
    """Run the command line; the entry point of the `actscope` command."""
    warnings.showwarning = _show_warning
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted; the rows committed and the pictures drawn so far are safe", 130)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except ActscopeError as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 2)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """One line for what actscope itself warns of; what libraries warn of is not the user's."""
    if issubclass(category, ActscopeWarning):
        click.echo(f"actscope: warning: {printable(str(message))}", err=True)


def _fail(message: str, code: int) -> None:
    line = printable(" ".join(message.split()))
    click.echo(f"actscope: {line}", err=True)
    sys.exit(code)
