"""Runs the demo: the main job from end to end, on real digits."""

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np

from actscope import listing
from actscope.errors import OutputExistsError
from actscope.extraction import extract
from actscope.registry import adapter_named
from actscope.store.reader import Recording, open_recording
from actscope.store.structure import is_recording

SAMPLE = 3


def run(folder: Path, backend: str | None, say: Callable[[str], None]) -> list[Path]:
    """Record the shipped network over the shipped digits into `folder`, and draw the file.

    Args:
        folder: where `demo.h5` and the pictures go; made if missing. An earlier demo's files
            there are replaced.
        backend: jax, tensorflow or torch; None for Keras's own choice.
        say: told each line of text.

    Returns:
        The paths of the pictures.

    Raises:
        OutputExistsError: `demo.h5` exists there and is no recording.
        BackendError: no backend is installed.
    """
    path = folder / "demo.h5"
    if path.exists() and not is_recording(path):
        raise OutputExistsError(f"{path} exists and is not a recording: name another folder")
    record_digits(path, backend)
    with open_recording(path) as recording:
        say(listing.recording_table(recording))
        say("")
        say("drawn from that file alone, without the model or its framework:")
        pictures = []
        for picture in draw(recording, folder):
            say(f"  {picture}")
            pictures.append(picture)
    say("")
    say(how_to_go_on(path))
    return pictures


def record_digits(path: Path, backend: str | None) -> None:
    """Run the shipped network over the shipped digits and record every layer in `path`."""
    data = files("actscope.demo")
    adapter = adapter_named("keras")
    model = adapter.load(str(data / "digits.keras"), backend=backend, structure_only=False)
    with (data / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as digits:
        images, labels = digits["images"], digits["labels"]
    path.parent.mkdir(parents=True, exist_ok=True)
    extract(
        model,
        images,
        path,
        layers="all",
        ids=[f"digit-{number:02d}" for number in range(len(images))],
        labels=labels,
        store_inputs=True,
        overwrite=True,
    ).close()


def draw(recording: Recording, folder: Path) -> Iterator[Path]:
    """Draw every layer in the way that suits it; yields the paths of the pictures."""
    from actscope import render

    for layer in recording.values():
        figures = {}
        if layer.class_name == "Conv2D":
            figures = {
                "grid": render.grid(layer, SAMPLE),
                "heatmap": render.heatmap(layer, SAMPLE),
            }
        elif layer.class_name == "Dense":
            figures = {"bars": render.vector(layer, SAMPLE)}
        for kind, figure in figures.items():
            picture = folder / f"{layer.path}-{kind}.png"
            render.save(figure, picture)
            yield picture


def how_to_go_on(path: Path) -> str:
    """The commands to try next, with the paths of this run."""
    return "\n".join(
        [
            "go on with:",
            f"  actscope info {path}",
            f"  actscope render grid {path} conv2d_1 --sample digit-07 -o digit-07.png",
            f"  actscope render heatmap {path} conv2d --sample 5 --merge none -o heat.png",
            f"  python -c \"import actscope; print(actscope.open('{path}')['dense_1'][0:3])\"",
            "and with your own model:",
            "  actscope extract model.keras images.npy -o run.h5 --layers 'conv*'",
        ]
    )
