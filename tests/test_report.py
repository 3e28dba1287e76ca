"""What a report says, against plain NumPy, and that nothing of a file becomes HTML."""

import base64
import io
import json
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import actscope
from actscope.errors import MissingFileError, OutputExistsError, RenderError
from actscope.render.layout import arrange
from actscope.render.scale import Scale
from actscope.render.summary import summary_of
from actscope.reporting import pictures
from actscope.reporting.choosing import choose_samples
from actscope.reporting.concerns import concerns_of
from actscope.reporting.page import escaped_json
from actscope.reporting.summaries import histogram_data, summary_rows
from actscope.reporting.tree import tree_rows
from actscope.statistics import RunningStatistics
from reportable import BREAKOUT, SCRIPT, arrays, content, record
from test_compare_command import fails, run


@pytest.fixture
def recorded(tmp_path):
    return record(tmp_path / "run.h5")


def layer(found, path):
    return next(one for one in found["layers"] if one["path"] == path)["tensors"][0]


def decoded(uri):
    kind, data = uri.split(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def statistics(rows):
    running = RunningStatistics(rows.shape[1:], rows.ndim - 2 if rows.ndim > 1 else None)
    running.update(rows, 0)
    return running.result()


def test_a_page_holds_every_layer_and_says_what_is_wrong(recorded, tmp_path):
    page = actscope.report(recorded, tmp_path / "report.html")
    found = content(page)
    assert [one["path"] for one in found["layers"]] == list(arrays())
    assert [sample["position"] for sample in found["samples"]] == [0, 1, 2, 3]
    assert found["samples"][3]["name"] == "sample 3 · photo <i>3</i> · label 3"
    conv = layer(found, "backbone/stem/conv")
    kinds = {concern["kind"]: concern["words"] for concern in conv["concerns"]}
    assert kinds["not-finite"] == "1 value NaN or infinite, in 1 channel of 70: 0"
    assert kinds["dead"] == "1 of 70 channels always zero (dead): 5"
    assert [concern["kind"] for concern in layer(found, SCRIPT)["concerns"]] == ["saturated"]
    assert layer(found, "backbone/head/dense")["concerns"] == []
    assert "1 NaN (magenta)" in conv["pictures"][2]["words"]
    assert "64 strongest of 70 channels of 8×8" in conv["pictures"][0]["words"]
    assert "0" in conv["labels"]  # the channel with the NaN, however weak
    assert "5" not in conv["labels"]


def test_statistics_and_top_samples_are_those_of_numpy(recorded, tmp_path):
    found = content(actscope.report(recorded, tmp_path / "report.html"))
    rows = arrays()["backbone/head/dense"]
    dense = layer(found, "backbone/head/dense")
    words = dict(dense["statistics"])
    assert words["mean"] == f"{rows.astype(float).mean():.4g}"
    assert words["standard deviation"] == f"{rows.astype(float).std():.4g}"
    assert words["greatest"] == f"{rows.max():.4g}"
    assert words["zeros"] == "0.0%"
    order = np.argsort(-np.sqrt(np.mean(rows.astype(float) ** 2, axis=0)))
    assert [top["channel"] for top in dense["top"]] == [f"channel {number}" for number in order]
    best = np.argsort(-rows[:, order[0]])[:5]
    assert [sample["position"] for sample in dense["top"][0]["samples"]] == best.tolist()
    assert dense["pictures"][1]["values"] == [float(f"{value:.4g}") for value in rows[1].tolist()]


def test_pictures_are_the_values(recorded, tmp_path):
    found = content(actscope.report(recorded, tmp_path / "report.html", samples=[1]))
    pool = layer(found, "backbone/stem/pool")
    rows = arrays()["backbone/stem/pool"][1]
    image = np.asarray(decoded(pool["pictures"][0]["source"])).astype(int)
    assert list(image.shape) == pool["size"]
    assert (pool["tile"], pool["labels"]) == ([4, 4], list("012345"))
    low, high = rows.min(), rows.max()
    for channel in range(6):
        row, column = divmod(channel, pool["columns"])
        top, left = row * (4 + pool["gaps"][0]), column * (4 + pool["gaps"][1])
        tile = image[top : top + 4, left : left + 4]
        shares = (rows[..., channel] - low) / (high - low)
        assert np.abs(tile - np.minimum(shares * 254, 253)).max() <= 1
    assert (pool["low"], pool["high"]) == (f"{low:.4g}", f"{high:.4g}")


def test_large_maps_become_means_of_blocks_and_keep_their_nan():
    values = np.random.default_rng(0).normal(size=(10, 15, 2))
    values[9, 14, 1] = np.inf
    small = pictures.reduced(arrange(values, ("y", "x", "channel")), 24)
    assert small.block == (4, 4)
    assert small.tiles.shape == (2, 3, 4)
    np.testing.assert_allclose(small.tiles[0, 0, 0], values[:4, :4, 0].mean())
    np.testing.assert_allclose(small.tiles[0, 2, 3], values[8:, 12:, 0].mean())
    assert np.flatnonzero(np.isnan(small.tiles)).tolist() == [23]
    drawn = pictures.draw_pixels(small.tiles, Scale("symmetric", -3, 3))
    image = Image.open(io.BytesIO(pictures.png(drawn, Scale("symmetric", -3, 3))))
    colours = np.asarray(image.convert("RGBA")).reshape(-1, 4)
    assert (colours == (255, 0, 255, 255)).all(axis=1).sum() == 1


def test_steps_keep_their_channels_apart():
    values = np.random.default_rng(0).normal(size=(1000, 3))
    small = pictures.reduced(arrange(values, ("token", "channel")), 300)
    assert small.block == (1, 10)
    np.testing.assert_allclose(small.tiles[0, 2, 7], values[70:80, 2].mean())


@pytest.mark.parametrize(
    "rows",
    [
        np.random.default_rng(0).normal(size=(500, 4)),
        np.random.default_rng(0).exponential(size=(500, 4)) + 3,
        -np.random.default_rng(0).random((500, 4)) - 1,
        np.sign(np.random.default_rng(0).normal(size=(50, 4))),
        np.maximum(np.random.default_rng(0).normal(size=(500, 4)), 0),
        np.random.default_rng(0).normal(size=(500, 4)) * 1e9,
    ],
)
def test_the_areas_of_a_histogram_are_numbers_of_values(rows):
    rows = rows.astype(np.float32)
    found = histogram_data(statistics(rows))
    assert sum(found["counts"]) == np.count_nonzero(rows)
    places = np.array(found["places"])
    assert (places[0], places[-1]) == (0, 1)
    assert (np.diff(places) > 0).all()
    areas = np.diff(places) * found["heights"]
    share = np.array(found["counts"]) / sum(found["counts"])
    np.testing.assert_allclose(areas / areas.sum(), share, atol=0.005)
    edges = rows.min() + places * (rows.max() - rows.min())
    edges[-1] = np.inf
    counted = [np.count_nonzero((rows >= a) & (rows < b) & (rows != 0)) for a, b in pairwise(edges)]
    np.testing.assert_allclose(counted, found["counts"], atol=0.02 * rows.size)


def test_nothing_to_spread_is_no_histogram():
    assert histogram_data(statistics(np.ones((3, 2), np.float32))) is None
    assert histogram_data(statistics(np.full((3, 2), np.nan, np.float32))) is None
    assert summary_rows(statistics(np.full((3, 2), np.nan, np.float32))) == [
        ["values", "0"],
        ["NaN or infinite", "6"],
    ]


def test_concerns_name_channels():
    rows = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    assert concerns_of(statistics(rows), "channel") == []
    rows[:, 3], rows[:, 4], rows[0, 7], rows[:, 9] = 0, 2.5, np.inf, np.nan
    found = concerns_of(statistics(rows), "channel")
    assert [concern.kind for concern in found] == ["not-finite", "dead", "constant"]
    assert found[0].words == "21 values NaN or infinite, in 2 channels of 30: 7, 9"
    assert found[2].words == "1 of 30 channels always the same value: 4"
    behind_the_logit = concerns_of(statistics(rows), "channel", gradient=True)
    assert [concern.kind for concern in behind_the_logit] == ["not-finite"]
    everything = np.zeros((20, 30), np.float32)
    assert concerns_of(statistics(everything), "unit")[0].words.endswith("9, 10, 11, …")


@pytest.mark.parametrize("steepness", [0.5, 1.3, 1.5, 30])
def test_saturation_is_that_of_the_picture_and_a_warning_where_slopes_are_lost(steepness):
    random = np.random.default_rng(0).normal(size=(400, 8))
    bent = np.tanh(steepness * random).astype(np.float32)
    found = statistics(bent)
    lost = 1 - (1 - bent.astype(np.float64) ** 2).mean()
    assert ["saturation", f"{lost:.1%}"] in summary_rows(found)
    assert dict(summary_rows(found))["saturation"] == f"{summary_of(bent).saturation:.1%}"
    expected = [f"saturation {lost:.0%}, as of tanh: {1 - lost:.0%} of the steepest slope is left"]
    said = [concern.words.removesuffix(" on average") for concern in concerns_of(found, "c")]
    assert said == (expected if lost > 0.5 else [])


def test_probabilities_have_a_saturation_and_no_warning_and_other_values_none():
    random = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    certain = statistics(1 / (1 + np.exp(-9 * random)))
    assert "saturation" in dict(summary_rows(certain))
    assert concerns_of(certain, "c") == []
    unbounded = statistics(30 * np.tanh(30 * random))
    assert "saturation" not in dict(summary_rows(unbounded))
    assert concerns_of(unbounded, "c") == []


def test_the_tree_keeps_the_order_and_layers_with_layers_below():
    rows = tree_rows(["a/x", "b", "a/y/z", "a/y", "c//d"])
    assert [(row.depth, row.label, row.layer) for row in rows] == [
        (0, "a", None),
        (1, "x", 0),
        (1, "y", 3),
        (2, "z", 2),
        (0, "b", 1),
        (0, "c", None),
        (1, "", None),
        (2, "d", 4),
    ]
    deep = tree_rows(["/".join("x" * 5000)])
    assert len(deep) == 5000


def test_samples_are_a_count_a_slice_or_positions_and_ids(recorded):
    with actscope.open(recorded) as recording:

        def chosen(samples):
            return choose_samples(recording, samples, 7)

        assert chosen(2) == [0, 1]
        assert chosen(slice(None, None, 2)) == [0, 2, 4]
        assert chosen([-1, "photo <i>2</i>", 5]) == [5, 2]
        for samples in (0, [], slice(0, 4, 0), [9], ["photo"], slice(7, 9), [-7]):
            with pytest.raises(RenderError):
                chosen(samples)
        assert choose_samples(recording, None, 3000) == [0]
        with pytest.raises(RenderError, match="at most 2"):
            choose_samples(recording, [0, 1, 2], 2000)


def test_nothing_of_the_file_is_html(recorded, tmp_path):
    page = actscope.report(recorded, tmp_path / "report.html").read_text()
    assert SCRIPT not in page
    assert BREAKOUT not in page
    assert "<b>net" not in page
    assert "<i>" not in page
    assert len(re.findall(r"</script", page)) == 2
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", page)


def test_json_cannot_end_its_element():
    odd = {"</script><!--": "<&>\u2028\u2029\udc80 é"}
    text = escaped_json(odd)
    assert not set("<>&\u2028\u2029") & set(text)
    assert text.isascii()
    assert json.loads(text) == odd


def test_a_report_without_inputs_labels_and_samples(tmp_path, example):
    without = record(tmp_path / "without.h5", image=False, ids=())
    found = content(actscope.report(without, tmp_path / "without.html"))
    assert found["thumbnails"] == {}
    assert "No input that is an image was stored" in found["notes"][0]
    example.write(upto=5)
    found = content(actscope.report(example.path, tmp_path / "part.html"))
    assert found["notes"] == ["This recording is incomplete; samples: 5 of 12."]
    nothing = record(tmp_path / "nothing.h5", {"empty": np.zeros((2, 3, 0), np.float32)})
    found = content(actscope.report(nothing, tmp_path / "nothing.html"))
    assert layer(found, "empty")["pictures"] == []


def test_one_of_something_is_no_plural(tmp_path):
    path = record(tmp_path / "run.h5", {"dense": np.ones((1, 3), np.float32)})
    page = content(actscope.report(path, tmp_path / "report.html"))
    assert page["summary"].startswith("1 sample, 1 layer, ")


def test_an_open_recording_stays_open(recorded, tmp_path):
    with actscope.open(recorded) as recording:
        actscope.report(recording, tmp_path / "report.html", samples=slice(1, 3))
        assert recording["loss"][0] >= 0


def test_a_page_is_not_written_over_nor_half(recorded, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("precious")
    with pytest.raises(OutputExistsError):
        actscope.report(recorded, page)
    with pytest.raises(RenderError):
        actscope.report(recorded, page, samples=[99], overwrite=True)
    assert page.read_text() == "precious"
    with pytest.raises(MissingFileError):
        actscope.report(recorded, tmp_path / "nowhere" / "report.html")
    actscope.report(recorded, page, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command(recorded, tmp_path):
    page = tmp_path / "report.html"
    done = run("report", recorded, "-o", page, "--samples", "0:2")
    assert (done.exit_code, done.stdout.strip()) == (0, str(page))
    assert len(content(page)["samples"]) == 2
    fails(run("report", recorded, "-o", page), "exists", "--overwrite")
    fails(run("report", tmp_path / "nothing.h5", "-o", tmp_path / "b.html"), "does not exist")
    fails(run("report", page, "-o", tmp_path / "b.html"), "report.html")
    fails(run("report", recorded), "--output")
    for samples in ("9,", "0", "-1", "", "1,,2", "0:2:0", "cat", "5:2"):
        words = ("report", recorded, "-o", tmp_path / "b.html", "--samples", samples)
        fails(run(*words), "sample")
    assert not (tmp_path / "b.html").exists()


@pytest.mark.filterwarnings("error")
def test_odd_values_and_dtypes(tmp_path):
    odd = {
        "booleans": np.random.default_rng(0).random((3, 4, 4, 2)) > 0.5,
        "integers": np.arange(24).reshape(3, 8),
        "nothing known": np.full((3, 5, 5, 2), np.nan, np.float32),
        "infinite": np.full((3, 4), np.inf, np.float32),
        "near the limit": np.tile([1.5e308, -1.5e308, 0.0], (3, 1)),
        "one": np.ones((3, 1), np.float32),
        "many near the limit": np.tile([1.5e308, -1.5e308], (3, 300)),
        "a//b/": np.ones((3, 2, 2), np.float16),
    }
    found = content(actscope.report(record(tmp_path / "run.h5", odd), tmp_path / "report.html"))
    assert layer(found, "infinite")["pictures"][0]["values"] == ["inf"] * 4
    assert "50 NaN" in layer(found, "nothing known")["pictures"][0]["words"]
    image = np.asarray(decoded(layer(found, "many near the limit")["pictures"][0]["source"]))
    assert set(image.ravel()) <= {0, 253, 255}
