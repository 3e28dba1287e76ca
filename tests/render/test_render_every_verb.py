"""Every drawing command and the report on layers with hostile names, in half precision too.

The pictures of half precision are those of the same values in float32, pixel by pixel.
"""

import numpy as np
import pytest

from actscope import render
from actscope.cli import cli
from command_line import run
from rendered import write_arrays
from reportable import content

ml_dtypes = pytest.importorskip("ml_dtypes")

SAMPLES = 6
AXES = {"../../scores": ("head", "query", "key")}
SHAPES = {
    "../../x": (6, 7, 4),
    "/etc/lstm": (9, 4),
    "../../scores": (2, 5, 5),
    "..": (3, 6, 5, 2),
    "C:\\dense": (12,),
    "a\nb\x1b[31m": (5, 5, 2),
}
X, LSTM, SCORES, VOLUME, DENSE, LINES = SHAPES
COMMANDS = {
    "grid": ["grid", "A", X, "--sample", "2"],
    "one channel": ["grid", "A", X, "--channel", "1"],
    "lines": ["grid", "A", LINES],
    "heatmap": ["heatmap", "A", X],
    "every channel": ["heatmap", "A", X, "--merge", "none"],
    "grad-cam": ["heatmap", "A", X, "--method", "grad-cam"],
    "grad-cam++": ["heatmap", "A", X, "--method", "grad-cam++"],
    "hirescam": ["heatmap", "A", X, "--method", "hirescam"],
    "vector": ["vector", "A", DENSE],
    "tile": ["vector", "A", DENSE, "--tile"],
    "sequence": ["sequence", "A", LSTM],
    "attention": ["attention", "A", SCORES],
    "volume": ["volume", "A", VOLUME],
    "flow": ["flow", "A"],
    "compare": ["compare", "A", "B", X],
    "histogram": ["histogram", "A", X],
    "histograms": ["histogram", "A"],
    "statistics": ["statistics", "A"],
    "top": ["top", "A", X, "--channel", "0", "--channel", "1"],
    "embedding": ["embedding", "A", X],
    "animate": ["animate", "A", X, "--samples", "2", "-o", "OUT.gif"],
}


def arrays(shift):
    random = np.random.default_rng(0)
    return {
        name: (random.normal(size=(SAMPLES, *shape)) + shift).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def write_pair(folder, dtype, widened):
    """Two recordings of values that `dtype` holds, as such or as the same in float32."""

    def held(values):
        cast = values.astype(dtype)
        return cast.astype(np.float32) if widened else cast

    folder.mkdir()
    images = np.random.default_rng(1).random((SAMPLES, 12, 14, 1)).astype(np.float32)
    slopes = {X: held(np.random.default_rng(2).normal(size=(SAMPLES, *SHAPES[X])))}
    for name, shift in (("a.h5", 0), ("b.h5", 0.5)):
        found = {layer: held(values) for layer, values in arrays(shift).items()}
        write_arrays(folder / name, found, AXES, inputs=(images,), gradients=slopes).close()
    return folder


@pytest.fixture(scope="module", params=["float16", "bfloat16"])
def folders(request, tmp_path_factory):
    dtype = ml_dtypes.bfloat16 if request.param == "bfloat16" else np.float16
    folder = tmp_path_factory.mktemp(request.param)
    return [write_pair(folder / name, dtype, name == "wide") for name in ("half", "wide")]


def drawn(folder, words):
    """What the command writes, and nothing else anywhere."""
    there = set(folder.rglob("*"))
    suffix = ".gif" if "OUT.gif" in words else ".png"
    picture = folder / f"picture{suffix}"
    places = {"A": folder / "a.h5", "B": folder / "b.h5", "OUT.gif": picture}
    words = [str(places.get(word, word)) for word in words]
    done = run("render", *words, *([] if "-o" in words else ["-o", picture]))
    assert done.exit_code == 0, done.stderr
    assert set(folder.rglob("*")) - there == {picture}
    written = picture.read_bytes()
    picture.unlink()
    return written


@pytest.mark.parametrize("name", COMMANDS)
def test_half_precision_is_drawn_as_the_same_values_in_single(folders, name):
    half, wide = (drawn(folder, COMMANDS[name]) for folder in folders)
    assert len(half) > 1000
    assert half == wide


def test_every_verb_is_among_them():
    verbs = {words[0] for words in COMMANDS.values()}
    assert verbs == set(cli.commands["render"].commands) <= set(render.__all__)


@pytest.mark.parametrize("verb", ["grid", "vector", "sequence", "attention", "volume"])
def test_pictures_of_each_stay_in_their_folder(folders, tmp_path, verb):
    layer = next(words[2] for words in COMMANDS.values() if words[0] == verb)
    words = ("render", verb, folders[0] / "a.h5", layer, "--each", "--samples", "2")
    done = run(*words, "-o", tmp_path / "in")
    assert done.exit_code == 0, done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]
    assert len(list((tmp_path / "in").iterdir())) == 2


def test_the_report_shows_the_same_pictures(folders, tmp_path):
    pages = []
    for number, folder in enumerate(folders):
        page = tmp_path / f"{number}.html"
        assert run("report", folder / "a.h5", "-o", page).exit_code == 0
        pages.append(content(page))
    half, wide = ([layer["tensors"] for layer in page["layers"]] for page in pages)
    for one, other in zip(half, wide, strict=True):
        assert one[0].pop("dtype") in ("float16", "bfloat16")
        assert other[0].pop("dtype") == "float32"
        assert one[0].pop("bytes") != other[0].pop("bytes")
        assert one[0] == other[0]
