"""Sequences, attention, volumes, and the grids of pages and of one channel."""

import numpy as np
import pytest

from actscope import render
from actscope.errors import RenderError
from actscope.render.attentions import token_numbers, token_ticks
from actscope.render.choice import choose_channels
from actscope.render.layout import arrange, mosaic
from actscope.render.one_channel import tile_names
from actscope.render.several import find_samples
from actscope.render.sheets import plan_sheet
from rendered import (
    assert_nothing_cut_off,
    assert_numbered,
    bar_label_of,
    image_of,
    tiles_of,
    words_of,
    write_arrays,
)

random = np.random.default_rng(0)
ARRAYS = {
    "conv": random.random((5, 6, 7, 4)).astype(np.float32),
    "lstm": random.normal(size=(5, 17, 3)).astype(np.float32),
    "dense": random.normal(size=(5, 12)).astype(np.float32),
    "weights": random.random((5, 3, 4, 4)).astype(np.float32),
    "cross": random.random((5, 4, 6)).astype(np.float32),
    "volume": random.random((5, 3, 6, 7, 2)).astype(np.float32),
    "first": random.random((5, 2, 3, 6, 7)).astype(np.float32),
}
AXES = {
    "weights": ("head", "query", "key"),
    "cross": ("query", "key"),
    "first": ("channel", "z", "y", "x"),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("structure") / "run.h5", ARRAYS, AXES)


# ---- which channels, which samples


def test_the_strongest_channel_comes_first():
    values = random.normal(size=(4, 5, 6))
    values[..., 2] = np.nan
    choice = choose_channels(arrange(values, ("y", "x", "channel")), sort=True)
    order = np.argsort(-np.abs(np.nan_to_num(values)).mean((0, 1)), kind="stable")
    np.testing.assert_array_equal(choice.maps.numbers, order)
    np.testing.assert_array_equal(choice.maps.values[:, 0], values.transpose(2, 0, 1)[order])
    assert order[-1] == 2
    assert (choice.words, choice.note) == ("6 channels of 4×5", ("strongest first",))


@pytest.mark.parametrize(("sort", "page"), [(False, 1), (False, 2), (True, 2)])
def test_a_page_holds_256_channels(sort, page):
    values = random.random((3, 3, 300))
    choice = choose_channels(arrange(values, ("y", "x", "channel")), sort=sort, page=page)
    order = np.argsort(-values.mean((0, 1))) if sort else np.arange(300)
    expected = order[:256] if page == 1 else order[256:]
    np.testing.assert_array_equal(choice.maps.numbers, expected)
    assert f"page {page} of 2" in choice.note[-1]
    assert ("channels 256–299" in choice.note[-1]) == (page == 2 and not sort)
    assert choice.words == f"{len(expected)} of 300 channels of 3×3"


def test_every_channel_is_on_one_page():
    maps = arrange(random.random((9, 2, 2, 70)), ("z", "y", "x", "channel"))
    pages = [choose_channels(maps, page=page).maps.numbers for page in (1, 2, 3)]
    np.testing.assert_array_equal(np.concatenate(pages), np.arange(70))
    with pytest.raises(RenderError, match="no page 4: 70 channels, 28 to a page, make 3 pages"):
        choose_channels(maps, page=4)
    with pytest.raises(RenderError, match="no page 0"):
        choose_channels(maps, page=0)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (3, (0, 1, 2)),
        (99, (0, 1, 2, 3, 4)),
        (slice(1, 4), (1, 2, 3)),
        (slice(None, None, 2), (0, 2, 4)),
        ([4, -2, "digit-1"], (4, 3, 1)),
        (np.array([2, 0]), (2, 0)),
    ],
)
def test_samples_are_a_count_a_slice_or_a_list(recording, samples, expected):
    assert find_samples(recording["conv"], samples) == expected


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (0, "takes none of 5 of 'conv'"),
        (-1, "takes none"),
        (slice(9, 12), "takes none"),
        ([], "takes none"),
        ([5], "no sample 5"),
        (["digit-9"], "did you mean 'digit-"),
        ("digit-1", "a count, a slice or a list, got 'digit-1'"),
    ],
)
def test_samples_that_do_not_exist_are_named(recording, samples, message):
    with pytest.raises(RenderError, match=message):
        find_samples(recording["conv"], samples)


# ---- grid


def test_one_channel_of_many_samples(recording):
    figure = render.grid(recording["conv"], channel=-1, samples=[3, "digit-0", 1, 4])
    assert_nothing_cut_off(figure)
    expected = ARRAYS["conv"][[3, 0, 1, 4], ..., 3]
    np.testing.assert_array_equal(tiles_of(figure, (6, 7)), expected)
    assert_numbered(figure, ["digit-3", "digit-0", "digit-1", "digit-4"])
    assert words_of(figure) == ("conv · channel 3", "Conv2D · 4 samples of 6×7")
    assert figure.axes[0].images[0].get_clim() == pytest.approx((expected.min(), expected.max()))


def test_samples_without_ids_are_numbered():
    figure = render.grid(ARRAYS["conv"], channel=1)
    assert_numbered(figure, ["0", "1", "2", "3", "4"])
    sixteen = render.grid(random.random((40, 3, 3, 2)), channel=1)
    assert "16 samples" in words_of(sixteen)[1]


def test_each_sample_over_its_own_range():
    figure = render.grid(ARRAYS["conv"], channel=1, samples=4, scale="channel")
    values = ARRAYS["conv"][:4, ..., 1].astype(float)
    low, high = values.min((1, 2), keepdims=True), values.max((1, 2), keepdims=True)
    np.testing.assert_allclose(tiles_of(figure, (6, 7)), (values - low) / (high - low))
    assert bar_label_of(figure) == "share of each sample's range"


def test_one_channel_of_steps_is_a_row_for_each_sample(recording):
    figure = render.grid(recording["lstm"], channel=2, samples=[4, 0])
    assert_nothing_cut_off(figure)
    np.testing.assert_array_equal(image_of(figure), ARRAYS["lstm"][[4, 0], :, 2])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["digit-4", "digit-0"]


def test_odd_ids_are_drawn_literally():
    ids = ["$x^2", "\\frac{", "a" * 60, "b\nc"]
    names = tile_names(ids, 2)
    assert names[:2] == ["$x^2:0", "$x^2:1"]
    assert all(len(name) <= 16 and name.isprintable() for name in names)


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        ("conv", {"samples": 3}, r"name it with channel= \(--channel\)"),
        ("conv", {"channel": 4}, "no channel 4 of 'conv'"),
        ("conv", {"channel": 0, "sort": True}, "sort= is for the tiles of several channels"),
        ("lstm", {"sort": True}, r"not for 'lstm' with \(token, channel\)"),
        ("dense", {"page": 2}, "page= is for the tiles"),
        ("dense", {"channel": 2}, "one value per channel and sample"),
    ],
)
def test_what_a_grid_cannot_draw_is_said(recording, layer, options, message):
    with pytest.raises(RenderError, match=message):
        render.grid(recording[layer], **options)


def test_too_many_samples_are_refused():
    with pytest.raises(RenderError, match=r"300 samples are too many .* at most 256"):
        render.grid(np.zeros((300, 2, 2, 1)), channel=0, samples=300)


def test_pages_and_order_are_in_the_heading():
    figure = render.grid(random.random((1, 3, 3, 300)), page=2, sort=True)
    assert_nothing_cut_off(figure)
    words = words_of(figure)[1].replace("\n", " · ")
    assert words == "44 of 300 channels of 3×3 · strongest first · page 2 of 2"


# ---- sequence


def test_a_sequence_has_steps_to_the_right_and_channels_down(recording):
    figure = render.sequence(recording["lstm"], "digit-2")
    assert_nothing_cut_off(figure)
    np.testing.assert_array_equal(image_of(figure), ARRAYS["lstm"][2].T)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("token", "channel")
    assert words_of(figure)[0] == "lstm · sample 2"


@pytest.mark.parametrize("layer", ["conv", "dense", "weights", "cross", "volume"])
def test_other_layers_are_no_sequences(recording, layer):
    with pytest.raises(RenderError, match=f"a sequence has steps .*'{layer}' has .*render.grid"):
        render.sequence(recording[layer])


# ---- attention


def test_attention_is_a_tile_for_each_head(recording):
    figure = render.attention(recording["weights"], 1, columns=3)
    assert_nothing_cut_off(figure)
    np.testing.assert_array_equal(tiles_of(figure, (4, 4)), ARRAYS["weights"][1])
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("key", "query")
    assert figure.axes[0].images[0].get_clim() == pytest.approx((0, ARRAYS["weights"][1].max()))
    assert "3 heads of 4×4 (query×key)" in words_of(figure)[1]


def test_tokens_stand_along_the_tiles(recording):
    tokens = ["the", "$x^2", "sat", "</s>"]
    figure = render.attention(recording["weights"], tokens=tokens, columns=2)
    assert_nothing_cut_off(figure)
    axes, whole = figure.axes[0], image_of(figure)
    for head, query, key in ((0, 1, 3), (1, 0, 0), (2, 3, 1)):
        row, column = divmod(head, 2)
        y, x = axes.get_yticks()[row * 4 + query], (axes.get_xticks()[key] if column == 0 else None)
        x = whole.shape[1] - 4 + key if x is None else x
        assert whole[int(y), int(x)] == ARRAYS["weights"][0][head, query, key]
    assert [label.get_text() for label in axes.get_yticklabels()] == tokens * 2
    assert [label.get_text() for label in axes.get_xticklabels()] == tokens  # one tile reaches down


def test_one_head_or_their_mean_is_drawn_large(recording):
    one = render.attention(recording["weights"], head=-1, tokens=list("abcd"))
    assert_nothing_cut_off(one)
    np.testing.assert_array_equal(image_of(one), ARRAYS["weights"][0, 2])
    assert [label.get_text() for label in one.axes[0].get_xticklabels()] == list("abcd")
    assert "head 2 of 3 heads" in words_of(one)[1]
    mean = render.attention(recording["weights"], merge="mean")
    np.testing.assert_allclose(image_of(mean), ARRAYS["weights"][0].mean(0), rtol=1e-6)
    assert bar_label_of(mean) == "mean attention over heads"


def test_tokens_name_the_axis_that_has_as_many(recording):
    figure = render.attention(recording["cross"], tokens=list("abcdef"))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == list("abcdef")
    assert "a" not in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    with pytest.raises(RenderError, match="5 tokens were given, but 'cross' has 4 queries and 6"):
        render.attention(recording["cross"], tokens=list("abcde"))


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_the_numbers_of_stored_tokens_stand_on_the_axes(tmp_path, dtype):
    scores = {"scores": random.random((2, 1, 4, 6)).astype(np.float32)}
    axes = {"scores": ("head", "query", "key")}
    series = random.random((2, 6)).astype(np.float32)
    tokens = np.array([[5, 0, 7, 3, 101, 9], [1, 2, 3, 4, 5, 6]], dtype)
    with write_arrays(tmp_path / "run.h5", scores, axes, inputs=(series, tokens)) as opened:
        figure = render.attention(opened["scores"], 0)
        given = render.attention(opened["scores"], 0, tokens=list("abcd"))
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["5", "0", "7", "3", "101", "9"]
    assert [label.get_text() for label in given.axes[0].get_yticklabels()] == list("abcd")


def test_other_inputs_are_no_tokens(tmp_path):
    scores = {"scores": random.random((1, 1, 4, 4)).astype(np.float32)}
    axes = {"scores": ("head", "query", "key")}
    others = np.array([[-1, 1, 2, 3]], np.int32), np.zeros((1, 5), np.int32)
    with write_arrays(tmp_path / "run.h5", scores, axes, inputs=others) as opened:
        assert token_numbers(opened["scores"], 0, (4, 4)) is None


def test_of_many_tokens_every_so_many_are_named():
    names = [f"t{number}" for number in range(300)]
    figure = render.attention(random.random((1, 300, 300)), tokens=names)
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == names[:: 300 // len(shown)][: len(shown)]
    assert 30 < len(shown) < 150
    several = render.attention(random.random((1, 9, 300, 300)), tokens=names)
    assert not several.axes[0].get_xticklabels()


def test_the_ticks_are_where_the_tiles_are():
    values = np.arange(5 * 3 * 4.0).reshape(5, 3, 4)
    sheet = plan_sheet(values.shape, 2, None)
    image = mosaic(values, sheet.columns, sheet.gaps).image
    down, right = token_ticks(values.shape, sheet)
    for row, tile in enumerate(down.positions):
        np.testing.assert_array_equal(image[list(tile), 0], values[2 * row, :, 0])
    assert len(right.positions) == 1
    np.testing.assert_array_equal(image[-1, list(right.positions[0])], values[4, -1])


def test_an_array_is_taken_for_attention_and_another_layer_is_not(recording):
    figure = render.attention(ARRAYS["conv"].transpose(0, 3, 1, 2))
    assert "4 heads of 6×7 (query×key)" in words_of(figure)[1]
    with pytest.raises(RenderError, match=r"'conv' has \(y, x, channel\).*layer\[:\]"):
        render.attention(recording["conv"])
    with pytest.raises(RenderError, match="no head 3 of 'weights'"):
        render.attention(recording["weights"], head=3)


def test_negative_values_are_drawn_around_zero():
    values = random.normal(size=(1, 2, 4, 4))
    reach = np.abs(values).max()
    clim = render.attention(values).axes[0].images[0].get_clim()
    assert clim == pytest.approx((-reach, reach))


# ---- volume


@pytest.mark.parametrize("layer", ["volume", "first"])
def test_a_volume_is_a_tile_for_each_z(recording, layer):
    channels_last = ARRAYS[layer] if layer == "volume" else np.moveaxis(ARRAYS[layer], 1, -1)
    figure = render.volume(recording[layer], 1, channel=1, columns=3)
    assert_nothing_cut_off(figure)
    np.testing.assert_array_equal(tiles_of(figure, (6, 7)), channels_last[1, ..., 1])
    assert_numbered(figure, ["z 0", "z 1", "z 2"])
    assert bar_label_of(figure) == "activation of channel 1"
    assert "3 slices of 6×7, 2 channels" in words_of(figure)[1]


@pytest.mark.parametrize(
    ("merge", "merged"),
    [
        ("mean", lambda a: a.mean(-1)),
        ("max", lambda a: a.max(-1)),
        ("l2", lambda a: np.sqrt((a.astype(float) ** 2).sum(-1))),
    ],
)
def test_the_channels_of_a_volume_are_merged(recording, merge, merged):
    figure = render.volume(recording["volume"], merge=merge, columns=3)
    np.testing.assert_allclose(tiles_of(figure, (6, 7)), merged(ARRAYS["volume"][0]), rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        ("conv", {}, "a volume has the axes .*render.grid"),
        ("weights", {}, "a volume has the axes"),
        ("volume", {"channel": 2}, "no channel 2"),
        ("volume", {"merge": "sum"}, "no merge 'sum'"),
        ("volume", {"merge": None}, "use render.grid"),
        ("volume", {"scale": "channel"}, "use render.grid"),
    ],
)
def test_what_is_no_volume_is_said(recording, layer, options, message):
    with pytest.raises(RenderError, match=message):
        render.volume(recording[layer], **options)


def test_too_many_slices_are_refused():
    with pytest.raises(RenderError, match=r"300 slices, .* room for 256.*layer\[:, :256\]"):
        render.volume(np.zeros((1, 300, 2, 2, 1)))


def test_a_volume_marks_what_is_not_finite():
    values = random.random((1, 3, 6, 7, 2))
    values[0, 1, 2, 3, 0] = np.nan
    figure = render.volume(values, channel=0)
    assert words_of(figure)[1].endswith("1 NaN")
    assert np.ma.count(figure.axes[0].images[1].get_array()) == 1
