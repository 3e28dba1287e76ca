"""The command `actscope bench`."""

import json
from pathlib import Path
from typing import Any

import click


def _numbers(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: give whole numbers, as in 32,256") from error
    if any(number < 1 for number in numbers):
        raise click.BadParameter(f"{text!r}: give numbers of at least 1")
    return numbers


def _names(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--backends", default="jax,tensorflow,torch", show_default=True, callback=_names)
@click.option("--layers", multiple=True, metavar="PATTERN", help="As for extract; repeatable.")
@click.option("--batch-sizes", default="32,256", show_default=True, callback=_numbers)
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(1), help="Rounds.")
@click.option("--samples", type=click.IntRange(1), help="How many samples; by default all.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where recordings are written while it runs.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON file.")
@click.option("--plot", type=click.Path(path_type=Path), help="PNG, PDF or SVG.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def bench(
    model: str,
    data: str,
    output: Path | None,
    plot: Path | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Measure MODEL over DATA on several backends, and find where their numbers part.

    Each backend runs in a process of its own, with the same weights, in interleaved rounds.
    """
    from actscope.benching.running import bench as run
    from actscope.benching.showing import bench_table, save_plot
    from actscope.replacing import check_output

    for path in (output, plot):
        if path is not None:
            check_output(path, overwrite=overwrite)
    result = run(model, data, on_step=_say, **options)
    click.echo(bench_table(result))
    if output is not None:
        output.write_text(json.dumps(result.to_json(), indent=2))
    if plot is not None:
        save_plot(result, plot)


def _say(line: str) -> None:
    click.echo(f"actscope: {line}", err=True)
