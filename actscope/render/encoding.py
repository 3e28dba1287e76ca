"""Writes frames of one size as a GIF or an MP4."""

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from actscope.errors import RenderError

FORMATS = ("gif", "mp4")

Frame = npt.NDArray[np.uint8]
"""An image, RGB, shape `(height, width, 3)`."""

_COLOURS = 256
_PACKED = np.array([1 << 16, 1 << 8, 1])  # a colour as one number, which sorts fast
_GREYS = 18  # 15 apart, so that 0 and 255 are among them


def check_encoder(suffix: str) -> None:
    """Refuse a format that cannot be written here.

    Raises:
        RenderError: it is MP4 and there is no ffmpeg.
    """
    if suffix == "mp4" and shutil.which("ffmpeg") is None:
        raise RenderError(
            "an MP4 is written by ffmpeg, which is not installed: install it, or name a .gif"
        )


def write_gif(path: Path, frames: Iterable[Frame], examples: Sequence[Frame], fps: float) -> None:
    """A GIF that repeats for ever, in 256 colours that are chosen once, from `examples`.

    Colours chosen anew for each frame would flicker.
    """
    palette = _palette(examples)
    few = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    )
    next(few).save(
        path,
        format="GIF",
        save_all=True,
        append_images=few,
        duration=round(1000 / fps),
        loop=0,
        optimize=False,
    )


def _palette(examples: Sequence[Frame]) -> Image.Image:
    """An image whose palette holds greys from black to white, and the other colours evenly.

    Every colour counts once: otherwise the background would take most of the palette.
    """
    greys = np.repeat(np.linspace(0, 255, _GREYS).round().astype(np.uint8)[:, np.newaxis], 3, 1)
    every = np.unique(np.concatenate([frame @ _PACKED for frame in examples], axis=None))
    split = np.stack([every >> 16, every >> 8 & 255, every & 255], axis=-1).astype(np.uint8)
    colours = split[np.ptp(split, axis=1) > 0]
    if len(colours) > _COLOURS - _GREYS:
        few = Image.fromarray(colours[np.newaxis]).quantize(_COLOURS - _GREYS, kmeans=3)
        colours = np.array(few.getpalette(), np.uint8).reshape(-1, 3)
    image = Image.new("P", (1, 1))
    image.putpalette(np.concatenate([greys, colours]).tobytes())
    return image


def write_mp4(path: Path, frames: Iterable[Frame], fps: float) -> None:
    """An MP4 (H.264) that every browser plays, written by ffmpeg.

    Raises:
        RenderError: ffmpeg failed.
    """
    frames = map(_even, frames)
    first = next(frames)
    height, width = first.shape[:2]
    command = [
        *("ffmpeg", "-y", "-loglevel", "error"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps)),
        *("-i", "-", "-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18"),
        *("-movflags", "+faststart", "-f", "mp4", str(path)),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # where ffmpeg gave up, it says why
            for frame in chain([first], frames):
                process.stdin.write(frame.tobytes())
        _, said = process.communicate()
    if process.returncode != 0:
        reason = said.decode(errors="replace").strip()
        raise RenderError(f"ffmpeg could not write the MP4: {reason}")


def _even(frame: Frame) -> Frame:
    """The frame with even sides, as the colours of a video need them; white is added."""
    rows, columns = (length % 2 for length in frame.shape[:2])
    return np.pad(frame, ((0, rows), (0, columns), (0, 0)), constant_values=255)
