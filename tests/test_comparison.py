import json
import subprocess
import sys

import numpy as np
import pytest

import actscope
from actscope.errors import DataError, UnknownLayerError
from comparable import SHAS, bfloat16_bits, network, record
from recordings import output_info


def pair_of(tmp_path, first, second, more=None, **words):
    a = record(tmp_path / "a.h5", first, **words)
    return a, record(tmp_path / "b.h5", second, **{**words, **(more or {})})


def test_equal_recordings(tmp_path):
    a, b = pair_of(tmp_path, network(), network())
    found = actscope.compare(a.path, b.path)
    assert found.within is True
    assert found.first_diverging is None
    assert [layer.name for layer in found.layers] == list(network())
    for layer in found.layers:
        assert (layer.largest_absolute, layer.beyond, layer.worst) == (0.0, 0.0, None)
        assert layer.cosine == pytest.approx(1.0)


@pytest.mark.parametrize("changed", range(6))
@pytest.mark.parametrize("amount", [1e-3, 0.5])
def test_a_changed_weight_is_found_in_its_layer(tmp_path, changed, amount):
    a, b = pair_of(tmp_path, network(), network(changed=changed, amount=amount))
    found = actscope.compare(a, b)
    assert found.within is False
    assert found.first_diverging == f"dense_{changed}"


@pytest.mark.parametrize("changed", [None, 0, 3])
def test_a_changed_weight_is_found_among_rounding(tmp_path, changed):
    exact = network(dtype=np.float64)
    rounded = {name: array.astype(np.float32) for name, array in exact.items()}
    a, b = pair_of(tmp_path, network(changed=changed, amount=0.01), rounded)
    found = actscope.compare(a, b)
    assert found.first_diverging == (None if changed is None else f"dense_{changed}")


def test_measures_against_numpy(tmp_path):
    first, second = network(), network(changed=2, amount=0.1)
    found = actscope.compare(*pair_of(tmp_path, first, second)).layer("dense_4")
    a, b = (side["dense_4"].astype(np.float64) for side in (first, second))
    scale = np.sqrt(max(np.mean(a**2), np.mean(b**2)))
    scaled = np.abs(a - b) / np.maximum(np.maximum(abs(a), abs(b)), scale)
    sample, unit = np.unravel_index(np.argmax(scaled), a.shape)
    assert found.largest_scaled == pytest.approx(scaled.max())
    assert (found.worst.sample, found.worst.sample_b) == (sample, sample)
    assert found.worst.position == (unit,)
    assert (found.worst.a, found.worst.b) == (a[sample, unit], b[sample, unit])
    assert found.beyond == pytest.approx(np.mean(scaled > found.tolerance))
    assert found.rms == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
    assert found.scale == pytest.approx(scale)


def test_many_blocks_give_what_one_gives(tmp_path, monkeypatch):
    pair = pair_of(tmp_path, network(), network(changed=1, amount=0.1))
    whole = actscope.compare(*pair)
    monkeypatch.setattr("actscope.comparing.samples._ELEMENTS_PER_BLOCK", 100)
    for layer, other in zip(whole.layers, actscope.compare(*pair).layers, strict=True):
        assert layer.worst == other.worst
        assert layer.beyond == other.beyond
        assert layer.rms == pytest.approx(other.rms)


@pytest.mark.parametrize("coarse", ["float16", "bfloat16"])
def test_coarse_against_float32(tmp_path, coarse):
    exact = network()
    if coarse == "bfloat16":
        rounded = {name: bfloat16_bits(array) for name, array in exact.items()}
    else:
        rounded = network(dtype=np.float16)
    words = {"dtypes": dict.fromkeys(rounded, coarse), "dtype-policy": coarse}
    found = actscope.compare(*pair_of(tmp_path, exact, rounded, words))
    assert found.within is True
    ulps = found.layers[0].largest_ulps
    assert 0 < ulps <= 0.5 if coarse == "bfloat16" else ulps > 1
    assert found.layers[0].dtypes == ("float32", coarse)
    # The same differences are none that rounding to float32 explains.
    strict = actscope.compare(tmp_path / "a.h5", tmp_path / "b.h5", tolerance=1e-6)
    assert strict.within is False


def test_a_fault_in_a_coarse_recording_is_found(tmp_path):
    rounded = network(dtype=np.float16, changed=2, amount=1.0)
    found = actscope.compare(*pair_of(tmp_path, network(), rounded))
    assert found.first_diverging == "dense_2"


def test_what_was_rounded_stays_rounded(tmp_path):
    arrays = {"low": network()["dense_0"].astype(np.float16), "last": network()["dense_1"]}
    found = actscope.compare(*pair_of(tmp_path, arrays, arrays))
    assert found.layer("last").tolerance > found.layer("low").tolerance
    policy = {"dtype-policy": "mixed_float16"}
    other = actscope.compare(*pair_of(tmp_path, network(), network(), policy))
    assert other.layers[0].tolerance == found.layers[0].tolerance


def test_nan_beside_nan_is_equal_and_beside_a_number_is_not(tmp_path):
    first, second = network(), network()
    first["dense_1"][3, 4] = second["dense_1"][3, 4] = np.nan
    first["dense_2"][5, 6] = np.nan
    found = actscope.compare(*pair_of(tmp_path, first, second))
    assert found.layer("dense_1").within
    broken = found.layer("dense_2")
    assert (broken.within, broken.unmatched, broken.worst.sample) == (False, 1, 5)
    assert found.first_diverging == "dense_2"
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["layers"][2]["largest_scaled"] is None
    assert plain["first_diverging"] == "dense_2"


def test_whole_numbers_and_flags(tmp_path):
    first = {"ids": np.arange(40).reshape(8, 5), "mask": np.ones((8, 5), np.uint8)}
    second = {"ids": first["ids"].copy(), "mask": first["mask"].copy()}
    second["mask"][2, 3] = 0
    words = {"dtypes": {"mask": "bool"}, "dtype-policy": ""}
    found = actscope.compare(*pair_of(tmp_path, first, second, **words))
    assert found.layer("ids").within
    assert found.first_diverging == "mask"
    assert found.layer("mask").worst.position == (3,)


def test_like_is_compared_with_like(tmp_path):
    def outputs(*kinds):
        return [output_info("shared", (4,), order, **kind) for order, kind in enumerate(kinds)]

    rows = np.arange(20, dtype=np.float32).reshape(5, 4)
    kinds = (
        {},
        {"call": 1},
        {"index": 1},
        {"reduction": "mean"},
        {"is_gradient": True},
    )
    arrays = {str(number): rows * (number + 1) for number in range(5)}
    a = record(tmp_path / "a.h5", arrays, outputs=outputs(*kinds))
    turned = dict(reversed(arrays.items()))
    b = record(tmp_path / "b.h5", turned, outputs=outputs(*reversed(kinds)))
    found = actscope.compare(a, b)
    names = ["shared", "shared (call 1)", "shared[1]", "shared mean", "shared gradient"]
    assert [layer.name for layer in found.layers] == names
    assert found.within is True
    assert found.layers[-1].depth > found.layers[-2].depth


def test_layers_that_one_side_has_are_listed(tmp_path):
    first, second = network(), network()
    first["softmax"] = first["dense_0"]
    second["fused"] = second["dense_0"]
    found = actscope.compare(*pair_of(tmp_path, first, second))
    assert (found.only_a, found.only_b) == (("softmax",), ("fused",))
    assert found.within is True


def test_other_selections_are_said(tmp_path):
    second = {name: array for name, array in network().items() if name != "dense_3"}
    pair = pair_of(tmp_path, network(), second, {"selection": ["dense_[0-2]"]})
    with pytest.raises(DataError, match=r"other selections.*--common"):
        actscope.compare(*pair)
    found = actscope.compare(*pair, common=True)
    assert found.only_a == ("dense_3",)
    assert found.within is True


def test_other_shapes_are_said(tmp_path):
    second = {**network(), "dense_3": network()["dense_3"][:, :7]}
    found = actscope.compare(*pair_of(tmp_path, network(), second))
    assert "(N, 32) and (N, 7)" in found.not_compared["dense_3"]
    assert len(found.layers) == 5


def test_other_lengths_are_said(tmp_path):
    second = network(samples=40)
    pair = pair_of(tmp_path, network(), {name: rows[:25] for name, rows in second.items()})
    with pytest.raises(DataError, match="40 against 25 samples"):
        actscope.compare(*pair)
    found = actscope.compare(*pair, common=True)
    assert found.samples == 25
    assert found.layers[0].elements == 25 * 32
    assert any("first 25 rows" in note for note in found.notes)


def test_a_run_under_way_is_said(tmp_path):
    pair = pair_of(tmp_path, network(), network(), {"planned": 60})
    assert actscope.compare(*pair).samples == 40
    half = {name: rows[:20] for name, rows in network().items()}
    b = record(tmp_path / "b.h5", half, planned=40)
    with pytest.raises(DataError, match="40 against 20 of 40 samples"):
        actscope.compare(pair[0], b)


def test_other_data_are_said(tmp_path):
    other = {"data": {**SHAS, "sampled-sha256": "1"}}
    pair = pair_of(tmp_path, network(), network(), other)
    with pytest.raises(DataError, match="not of the same samples"):
        actscope.compare(*pair)
    assert actscope.compare(*pair, common=True).samples == 40
    streamed = {"data": {**SHAS, "kind": "Dataset", "sampled-sha256": "1"}}
    assert actscope.compare(*pair_of(tmp_path, network(), network(), streamed)).within


def test_shared_ids_are_paired(tmp_path):
    order = np.random.default_rng(3).permutation(40)[:30]
    names = [f"image-{number}" for number in range(40)]
    second = {name: rows[order] for name, rows in network(changed=5, amount=0.5).items()}
    a = record(tmp_path / "a.h5", network(), ids=names)
    b = record(tmp_path / "b.h5", second, ids=[names[row] for row in order])
    with pytest.raises(DataError, match="40 against 30"):
        actscope.compare(a, b)
    found = actscope.compare(a, b, common=True)
    assert found.samples == 30
    assert all(layer.within for layer in found.layers[:5])
    worst = found.layers[5].worst
    assert worst.sample_id == names[worst.sample] == names[order[worst.sample_b]]
    assert worst.a == network()["dense_5"][(worst.sample, *worst.position)]


def test_nothing_shared_is_said(tmp_path):
    a = record(tmp_path / "a.h5", network(), ids=[f"a{row}" for row in range(40)])
    b = record(tmp_path / "b.h5", network(), ids=[f"b{row}" for row in range(40)])
    with pytest.raises(DataError, match="'a0' in one and 'b0'"):
        actscope.compare(a, b)
    with pytest.raises(DataError, match="no id is in both"):
        actscope.compare(a, b, common=True)
    with pytest.raises(UnknownLayerError, match="did you mean"):
        actscope.compare(a, a).layer("dense_9")


PEAK = """
import sys
import actscope

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

actscope.compare(sys.argv[3], sys.argv[3], similarity=sys.argv[4] if sys.argv[4:] else None)
before = peak()
actscope.compare(*sys.argv[1:3], similarity=sys.argv[4] if sys.argv[4:] else None)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("method", [(), ("cka",), ("rsa",)])
def test_memory_is_bounded_whatever_the_size_of_a_layer(tmp_path, method):
    rows = np.random.default_rng(0).random((400, 50_000), np.float32)  # 80 MB
    record(tmp_path / "a.h5", {"dense": rows})
    (tmp_path / "b.h5").hardlink_to(tmp_path / "a.h5")
    record(tmp_path / "small.h5", {"dense": rows[:130, :2000]})
    words = [str(tmp_path / name) for name in ("a.h5", "b.h5", "small.h5")]
    command = [sys.executable, "-c", PEAK, *words, *method]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60
