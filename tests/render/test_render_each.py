"""Many pictures at once: the same as one by one, under harmless names, and never over others."""

import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope import render
from actscope.errors import ActscopeWarning, OutputExistsError, RenderError
from actscope.render.file_names import picture_paths, safe_part
from actscope.render.letters import readable
from command_line import run
from rendered import write_arrays

random = np.random.default_rng(0)
SAMPLES = 12
HOSTILE = "../../x"
IDS = ("a/b", "../../up", ".hidden", "CON", "a b;rm -rf *", "", "图像-01", "-o", "x" * 300, "$x^2$")
ARRAYS = {
    "conv": random.normal(size=(SAMPLES, 6, 7, 5)).astype(np.float32),
    HOSTILE: random.random((SAMPLES, 4, 4, 2)).astype(np.float32),
    "dense": random.normal(size=(SAMPLES, 9)).astype(np.float32),
    "lstm": random.normal(size=(SAMPLES, 8, 3)).astype(np.float32),
    "scores": random.random((SAMPLES, 2, 4, 4)).astype(np.float32),
    "volume": random.random((SAMPLES, 3, 4, 5, 2)).astype(np.float32),
}
LAYERS = {
    "grid": "conv",
    "heatmap": HOSTILE,
    "vector": "dense",
    "sequence": "lstm",
    "attention": "scores",
    "volume": "volume",
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("each") / "run.h5"
    axes = {"scores": ("head", "query", "key")}
    images = random.random((SAMPLES, 8, 8, 1)).astype(np.float32)
    ids = (*IDS, "last", "a/b")
    with write_arrays(path, ARRAYS, axes, ids=ids, inputs=(images,)) as opened:
        yield opened


def one_by_one(recording, verb, subject, sample, folder):
    path = folder / "one.png"
    render.save(getattr(render, verb)(subject, sample), path)
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore::actscope.errors.ActscopeWarning")
@pytest.mark.parametrize("verb", [*LAYERS, "flow"])
def test_pictures_are_those_drawn_one_by_one(recording, tmp_path, verb):
    subject = recording if verb == "flow" else recording[LAYERS[verb]]
    pictures = render.each(subject, verb, tmp_path / "all", samples=[5, 0, "last", -1])
    assert [path.parent for path in pictures] == [tmp_path / "all"] * 4
    for path, sample in zip(pictures, (5, 0, 10, 11), strict=True):
        assert path.read_bytes() == one_by_one(recording, verb, subject, sample, tmp_path)


@pytest.mark.filterwarnings("ignore::actscope.errors.ActscopeWarning")
def test_processes_draw_the_same_and_say_what_is_missing_once(recording, tmp_path, capfd):
    alone = render.each(recording["conv"], "grid", tmp_path / "alone", scale="channel")
    has_font = readable("图像") == "图像"
    with nullcontext() if has_font else pytest.warns(ActscopeWarning, match="no installed font"):
        several = render.each(
            recording["conv"], "grid", tmp_path / "several", jobs=2, scale="channel"
        )
    assert [path.name for path in several] == [path.name for path in alone]
    assert [path.read_bytes() for path in several] == [path.read_bytes() for path in alone]
    assert "Warning" not in capfd.readouterr().err


def test_all_layers_of_one_sample(recording, tmp_path):
    layers = [recording[path] for path in recording]
    pictures = render.each(layers, "grid", tmp_path, samples=[3])
    assert [path.name for path in pictures] == [
        "1-conv-03-CON.png",
        "2-x-03-CON.png",
        "3-dense-03-CON.png",
        "4-lstm-03-CON.png",
        "5-scores-03-CON.png",
        "6-volume-03-CON.png",
    ]


def test_names_lead_nowhere_and_differ(recording, tmp_path):
    pictures = render.each(recording[HOSTILE], "grid", tmp_path / "in", samples=11)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "in"]
    assert sorted((tmp_path / "in").iterdir()) == sorted(pictures)
    assert [path.name for path in pictures] == [
        "x-00-a-b.png",
        "x-01-up.png",
        "x-02-hidden.png",
        "x-03-CON.png",
        "x-04-a-b-rm-rf.png",
        "x-05.png",
        "x-06-图像-01.png",
        "x-07-o.png",
        f"x-08-{'x' * 80}.png",
        "x-09-x-2.png",
        "x-10-last.png",
    ]


@given(st.text())
def test_any_name_becomes_a_harmless_part(text):
    part = safe_part(text)
    assert len(part.encode()) <= 80
    assert all(letter.isalnum() or letter in "-_" for letter in part)
    assert not part.startswith("-")


@given(st.lists(st.text(), min_size=1, max_size=5), st.lists(st.text(), min_size=3, max_size=3))
def test_names_differ_on_any_file_system_and_sort_by_layer_and_sample(layers, ids):
    paths = picture_paths(Path("folder"), layers, [0, 1, 2], ids, 1000)
    flat = [path for row in paths for path in row]
    names = [path.name.casefold() for path in flat]
    assert len(set(names)) == len(flat) == 3 * len(layers)
    assert all(path.parent == Path("folder") and len(path.name.encode()) < 255 for path in flat)
    assert all(path.suffix == ".png" and not path.name.startswith((".", "-")) for path in flat)
    for row in paths:
        assert sorted(row) == row


def test_pictures_that_exist_are_replaced_only_when_asked(recording, tmp_path):
    first, second, third = render.each(recording["dense"], "vector", tmp_path, samples=3)
    first.unlink()
    second.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match=r"dense-01-up\.png and 1 others exist"):
        render.each(recording["dense"], "vector", tmp_path, samples=3)
    assert not first.exists()
    assert second.read_bytes() == b"precious"
    render.each(recording["dense"], "vector", tmp_path, samples=3, overwrite=True)
    assert second.read_bytes() != b"precious"
    third.unlink()
    third.mkdir()
    with pytest.raises(OutputExistsError, match=r"hidden\.png exists"):
        render.each(recording["dense"], "vector", tmp_path, samples=3, overwrite=True)
    with pytest.raises(OutputExistsError, match="is a file: name a folder"):
        render.each(recording["dense"], "vector", first)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_ends_it_and_what_was_drawn_stays(recording, tmp_path, jobs):
    layers = [recording["conv"], recording["dense"]]
    with pytest.raises(RenderError, match="has no axes along those of an input"):
        render.each(layers, "heatmap", tmp_path / "some", samples=6, jobs=jobs)
    assert (tmp_path / "some" / "1-conv-00-a-b.png").exists()
    with pytest.raises(RenderError, match="no channel 99"):
        render.each(recording["conv"], "heatmap", tmp_path / "none", jobs=jobs, channel=99)
    assert not (tmp_path / "none").exists()


class Deadly:
    """Ends the process that it is handed to."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_ends_is_said(recording, tmp_path):
    with pytest.raises(RenderError, match="fewer jobs"):
        render.each(recording["conv"], "grid", tmp_path / "none", jobs=2, cmap=Deadly())
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("subject", "verb", "options", "clause"),
    [
        ("conv", "top", {}, "no verb 'top'"),
        ("conv", "flow", {}, "give an open recording"),
        ("", "grid", {}, r"give recording\[path\]"),
        ("conv", "grid", {"jobs": 0}, "jobs must be"),
        ("conv", "grid", {"channel": 1}, "leave out channel="),
        ("conv", "grid", {"figure": None}, "leave out ax=, figure="),
        ("conv", "grid", {"samples": ["nobody"]}, "no sample 'nobody'"),
    ],
)
def test_what_cannot_be_drawn_is_said(recording, tmp_path, subject, verb, options, clause):
    with pytest.raises(RenderError, match=clause):
        render.each(recording[subject] if subject else recording, verb, tmp_path, **options)
    for drawn in (np.zeros((3, 4)), [np.zeros(3)], []):
        with pytest.raises(RenderError, match="give layers of"):
            render.each(drawn, "grid", tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---- the command line


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["grid", "FILE", "conv", "--samples", "0:9:2", "--jobs", "2"], 5),
        (["grid", "FILE", "type:*", "--sample", "3"], 6),
        (["grid", "FILE", "*", "--samples", "2"], 10),
        (["heatmap", "FILE", HOSTILE, "--channel", "1", "--samples", "0,last"], 2),
        (["vector", "FILE", "dense", "--samples", "0,"], 1),
        (["sequence", "FILE", "lstm", "--samples", "-2:"], 2),
        (["attention", "FILE", "scores", "--head", "1", "--samples", "2"], 2),
        (["volume", "FILE", "volume", "--merge", "max", "--samples", "2"], 2),
        (["flow", "FILE", "--samples", "2"], 2),
    ],
)
@pytest.mark.filterwarnings("ignore::actscope.errors.ActscopeWarning")
def test_commands_draw_each(recording, tmp_path, words, count):
    folder = tmp_path / "pictures"
    words = [str(recording.path) if word == "FILE" else word for word in words]
    done = run("render", *words, "--each", "-o", folder)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == f"{folder}: {count} picture{'s' * (count > 1)}"
    assert len(list(folder.iterdir())) == count


@pytest.mark.parametrize(
    ("words", "clause"),
    [
        (["grid", "conv", "--each", "--channel", "1"], "--channel"),
        (["grid", "conv", "--each", "--jobs", "0"], "jobs must be"),
        (["grid", "conv", "--each", "--samples", "0:10:0"], "a step of 0"),
        (["grid", "conv", "--channel", "1", "--samples", "0:10:0"], "a step of 0"),
        (["grid", "nothing*", "--each"], "no layer matches"),
        (["grid", "[", "--each"], "no layer"),
        (["grid", "conv", "--jobs", "2"], "--jobs is for many pictures"),
        (["vector", "dense", "--samples", "2"], "--samples is for many pictures"),
        (["heatmap", "dense", "--each"], "has no axes along those of an input"),
    ],
)
def test_what_is_wrong_is_one_line(recording, tmp_path, words, clause):
    verb, layer, *options = words
    done = run("render", verb, recording.path, layer, *options, "-o", tmp_path / "pictures")
    assert done.exit_code == 2
    assert clause in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bar_counts_the_pictures(recording, tmp_path):
    words = ("grid", recording.path, "conv", "--each", "--samples", "3", "--progress")
    done = run("render", *words, "-o", tmp_path / "pictures")
    assert "3/3" in done.stderr
    assert run("render", *words, "--overwrite", "--no-progress", "-o", tmp_path).stderr == ""
