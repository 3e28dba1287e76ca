"""Pictures one after the other, as GIF or MP4."""

import stat
import sys

import numpy as np
import pytest
from PIL import Image

from actscope import render
from actscope.errors import MissingFileError, RenderError
from actscope.render.animations import frame_rows, shared_scale
from rendered import write_arrays

random = np.random.default_rng(0)
ARRAYS = {
    "conv": random.random((6, 6, 7, 4)).astype(np.float32),
    "lstm": random.normal(size=(6, 9, 4)).astype(np.float32),
    "dense": random.normal(size=(6, 5)).astype(np.float32),
    "wide": random.random((6, 2, 2, 300)).astype(np.float32),
}
IMAGES = random.random((6, 12, 14, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("film") / "run.h5", ARRAYS, inputs=(IMAGES,))


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "run.h5"
    return write_arrays(path, ARRAYS, epochs=(2, 2, 4, 4, 6, 6))


def frames_of(path):
    with Image.open(path) as film:
        frames = []
        for position in range(film.n_frames):
            film.seek(position)
            frames.append(np.asarray(film.convert("RGB")))
    return frames


@pytest.mark.parametrize("kind", ["grid", "heatmap", "vector"])
def test_one_frame_for_each_sample(recording, tmp_path, kind):
    layer = recording["dense" if kind == "vector" else "conv"]
    path = tmp_path / "film.GIF"
    render.animate(layer, path, kind=kind, samples=[4, "digit-1", 0], fps=5)
    frames = frames_of(path)
    assert len(frames) == 3
    assert len({frame.shape for frame in frames}) == 1
    assert not np.array_equal(frames[0], frames[1])
    with Image.open(path) as film:
        assert film.info["duration"] == 200
        assert film.info["loop"] == 0
    assert list(tmp_path.iterdir()) == [path]


def test_equal_samples_make_equal_pixels_whatever_their_headings(tmp_path):
    values = np.tile(random.random((1, 6, 7, 4)), (3, 1, 1, 1))
    ids = ("a", "b" * 30, "a name that is long " * 3)
    with write_arrays(tmp_path / "run.h5", {"conv": values}, ids=ids) as same:
        render.animate(same["conv"], tmp_path / "film.gif")
    frames = frames_of(tmp_path / "film.gif")
    lower = [frame[-150:] for frame in frames]
    assert np.array_equal(lower[0], lower[1]) and np.array_equal(lower[0], lower[2])
    assert not np.array_equal(frames[0], frames[2])


def test_colours_are_those_of_the_colour_map(tmp_path):
    """White stays white and the ends of the map are met, in 256 colours for all frames."""
    values = np.zeros((3, 8, 8, 1))
    values[0, :, :4], values[1, :, 4:], values[2] = 1, 0.5, 0.25
    render.animate(values, tmp_path / "film.gif")
    first = frames_of(tmp_path / "film.gif")[0].reshape(-1, 3).astype(int)
    assert (first == 255).all(axis=1).mean() > 0.2
    for colour in ((68, 1, 84), (253, 231, 36)):  # the ends of viridis
        assert np.abs(first - colour).sum(axis=1).min() <= 9


def test_all_frames_share_the_range_of_all_values(recording):
    layer, rows = recording["conv"], (1, 3, 4)
    values = ARRAYS["conv"][list(rows)]
    scale = shared_scale(layer, rows, "grid", "auto")
    assert (scale.low, scale.high) == pytest.approx((values.min(), values.max()))
    merged = values.mean(-1)
    scale = shared_scale(layer, rows, "heatmap", "auto")
    assert (scale.low, scale.high) == pytest.approx((merged.min(), merged.max()))
    scale = shared_scale(recording["dense"], rows, "vector", "auto")
    reach = np.abs(ARRAYS["dense"][list(rows)]).max()
    assert (scale.low, scale.high) == pytest.approx((-reach, reach))


def test_pictures_take_a_scale(recording):
    scale = shared_scale(recording["conv"], (0, 1), "grid", "auto")
    for figure in (
        render.grid(recording["conv"], scale=scale),
        render.heatmap(recording["conv"], scale=scale),
    ):
        assert figure.axes[0].images[-1].get_clim() == (scale.low, scale.high)
    low, high = render.vector(recording["dense"], scale=scale).axes[0].get_ylim()
    assert low <= 0 and high >= scale.high


def test_without_samples_the_epochs_are_shown(training):
    layer = training["conv"]
    assert frame_rows(layer, None, 0) == (0, 2, 4)
    assert frame_rows(layer, None, "digit-1") == (1, 3, 5)
    assert frame_rows(layer, None, -1) == (1, 3, 5)
    assert frame_rows(layer, [5, 0], 0) == (5, 0)
    with pytest.raises(RenderError, match="no sample 2"):
        frame_rows(layer, None, 2)


def test_a_picture_says_the_epoch(training, tmp_path):
    figure = render.grid(training["conv"], 3)
    assert figure.axes[0].get_title(loc="left") == "conv · sample 1 · epoch 4"
    render.animate(training["conv"], tmp_path / "film.gif", sample="digit-1")
    assert len(frames_of(tmp_path / "film.gif")) == 3


def test_without_epochs_the_first_16_samples_are_shown():
    assert frame_rows(np.zeros((40, 2)), None, 0) == tuple(range(16))


def test_all_frames_show_the_same_channels(recording, tmp_path):
    render.animate(recording["wide"], tmp_path / "film.gif", samples=2)
    assert len(frames_of(tmp_path / "film.gif")) == 2


def test_the_progress_is_shown_where_it_is_asked_for(recording, tmp_path, capsys):
    render.animate(recording["dense"], tmp_path / "film.gif", samples=3, progress=True)
    shown = capsys.readouterr().err
    assert "film.gif" in shown and "3/3" in shown and "frames/s" in shown


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("film.png", {}, r"must be one of \.gif, \.mp4"),
        ("film.gif", {"kind": "bars"}, "no kind 'bars' of picture to animate"),
        ("film.gif", {"scale": "channel"}, "not the same in all frames"),
        ("film.gif", {"scale": "odd"}, "no scale 'odd'"),
        ("film.gif", {"cmap": "odd"}, "no colour map 'odd'"),
        ("film.gif", {"fps": 0}, "fps must be above 0"),
        ("film.gif", {"fps": float("nan")}, "fps must be above 0"),
        ("film.gif", {"samples": [9]}, "no sample 9"),
        ("film.gif", {"kind": "vector"}, "a vector has one axis"),
    ],
)
def test_what_cannot_be_animated_is_said(recording, tmp_path, name, options, message):
    with pytest.raises(RenderError, match=message):
        render.animate(recording["conv"], tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(recording, tmp_path):
    with pytest.raises(MissingFileError, match="nowhere does not exist"):
        render.animate(recording["conv"], tmp_path / "nowhere" / "film.gif")


# ---- MP4


def stand_in(folder, monkeypatch, body):
    """A program called ffmpeg that does what `body` says."""
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(folder))


def test_without_ffmpeg_an_mp4_is_refused(recording, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError, match=r"ffmpeg, which is not installed.*\.gif"):
        render.animate(recording["conv"], tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_ffmpeg_gets_every_frame_whole(recording, tmp_path, monkeypatch):
    stand_in(
        tmp_path,
        monkeypatch,
        "open(sys.argv[-1], 'wb').write(' '.join(sys.argv).encode() + b'|' "
        "+ sys.stdin.buffer.read())",
    )
    path = tmp_path / "film.mp4"
    render.animate(recording["conv"], path, samples=3, fps=7.5)
    words, frames = path.read_bytes().split(b"|", 1)
    words = words.decode().split()
    width, height = map(int, words[words.index("-s") + 1].split("x"))
    assert (width % 2, height % 2) == (0, 0)
    assert len(frames) == 3 * width * height * 3
    assert words[words.index("-r") + 1] == "7.5"


def test_what_ffmpeg_says_is_passed_on(recording, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "sys.exit('Unknown encoder')")
    path = tmp_path / "film.mp4"
    with pytest.raises(RenderError, match="could not write the MP4: Unknown encoder"):
        render.animate(recording["conv"], path, samples=3)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ffmpeg"]
