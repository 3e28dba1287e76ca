"""The commands `actscope pack` and `actscope merge`: thin skins over the functions so named."""

from pathlib import Path
from typing import Any

import click

from actscope.command_options import (
    file_argument,
    layout_option,
    overwrite_option,
    recording_output_option,
)


@click.command()
@file_argument
@recording_output_option
@click.option("--codec", default="zstd", show_default=True, help="zstd, gzip or none.")
@layout_option
@click.option("--dtype", help="Round activations to float16, bfloat16 or float32.")
@overwrite_option
def pack(file: Path, output: Path, **options: Any) -> None:
    """Write the finished recording FILE anew: compressed, narrowed, or laid out otherwise."""
    import actscope
    from actscope.progress import readable_bytes

    actscope.pack(file, output, **options).close()
    before, after = file.stat().st_size, output.stat().st_size
    click.echo(f"{output}: {readable_bytes(after)}, {after / before:.0%} of {file.name}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@recording_output_option
@click.option("--codec", help="zstd, gzip or none; by default that of the first.")
@click.option("--layout", help="sample or channel; by default that of the first.")
@overwrite_option
def merge(files: tuple[Path, ...], output: Path, **options: Any) -> None:
    """Join the finished recordings FILES of the same model over different samples."""
    import actscope
    from actscope import listing

    click.echo(listing.recording_summary(actscope.merge(files, output, **options)))
