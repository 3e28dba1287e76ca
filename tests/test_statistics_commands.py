"""`actscope render histogram`, `statistics`, `top` and `embedding` as users run them."""

import pytest
from PIL import Image

from command_line import run
from recordings import Example


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return Example(tmp_path_factory.mktemp("commands") / "run.h5").write()


@pytest.mark.parametrize(
    "words",
    [
        ["histogram"],
        ["histogram", "conv2d"],
        ["statistics"],
        ["top", "conv2d"],
        ["top", "conv2d", "--channel", "1", "--channel", "-1", "--cmap", "magma"],
        ["embedding", "conv2d", "--features", "mean"],
    ],
)
def test_each_command_writes_its_picture(file, tmp_path, words):
    picture = tmp_path / "picture.png"
    done = run("render", words[0], file, *words[1:], "-o", picture)
    assert (done.exit_code, done.stdout.strip()) == (0, str(picture))
    with Image.open(picture) as image:
        assert min(image.size) > 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["histogram", "conv"], "has no layer 'conv': did you mean 'conv2d'"),
        (["top", "conv2d", "--channel", "9"], "no channel 9 of 'conv2d'"),
        (["top", "conv2d", "--cmap", "virids"], "no colour map 'virids'"),
        (["embedding", "conv2d", "--method", "pcb"], "no method 'pcb'"),
        (["embedding", "conv2d", "--features", "max"], "no features 'max'"),
        (["heatmap", "conv2d", "--method", "grad-cam"], "--gradients predicted"),
        (["heatmap", "conv2d", "--method", "cam"], "no method 'cam'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(file, tmp_path, words, message):
    done = run("render", words[0], file, *words[1:], "-o", tmp_path / "picture.png")
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_replaced_only_where_that_was_asked_for(file, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"old")
    assert run("render", "statistics", file, "-o", picture).exit_code == 2
    assert picture.read_bytes() == b"old"
    assert run("render", "statistics", file, "-o", picture, "--overwrite").exit_code == 0
    assert picture.read_bytes() != b"old"
