"""Recording the hidden states of a model in the shape of BERT-base: what it costs over `predict`.

Needs `pip install keras-hub`. Per backend, in a process of its own, interleaved rounds of `predict`
of the backbone, `extract` of what each of its twelve blocks returns, and `predict` of a model with
these as its outputs; each compiled anew, as `extract` is.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks import convnet
from benchmarks.measuring import Options, by_backend, new_file, predict_anew, rounds_of
from benchmarks.tables import Ratio, Series, Table

SEQUENCES = 512
LENGTH = 128
BATCH_SIZE = 32
BLOCKS = 12
SHAPE = {
    "vocabulary_size": 30_522,
    "num_layers": BLOCKS,
    "num_heads": 12,
    "hidden_dim": 768,
    "intermediate_dim": 3072,
    "max_sequence_length": LENGTH,
}


def build() -> Any:
    """The model, with random weights."""
    import keras_hub

    return keras_hub.models.BertBackbone(**SHAPE)


def texts(count: int) -> dict[str, Any]:
    """Token ids, none padded."""
    shape = (count, LENGTH)
    ids = np.random.default_rng(0).integers(1, SHAPE["vocabulary_size"], shape)
    return {
        "token_ids": ids.astype(np.int32),
        "padding_mask": np.ones(shape, np.int32),
        "segment_ids": np.zeros(shape, np.int32),
    }


def extract(model: Any, data: Any, folder: str) -> None:
    """A recording of the blocks in a file that is taken away again."""
    with new_file(folder) as path:
        convnet.extract(model, data, path, layers="transformer_layer_*", batch_size=BATCH_SIZE)


def measure(rounds: int, count: int, folder: str) -> dict[str, list[float]]:
    """Seconds of each way in interleaved rounds, in this process."""
    import keras

    model, data = build(), texts(count)
    blocks = [model.get_layer(f"transformer_layer_{number}").output for number in range(BLOCKS)]
    many = keras.Model(model.inputs, blocks)
    ways = {
        "`predict` (ceiling)": partial(predict_anew, model, data, BATCH_SIZE),
        "`extract` of 12 blocks": partial(extract, model, data, folder),
        "multi-output `predict` (peer)": partial(predict_anew, many, data, BATCH_SIZE),
    }
    return rounds_of(ways, rounds)


def tables(options: Options) -> Iterator[Table]:
    """The one table."""
    count = options.scaled(SEQUENCES, BATCH_SIZE)
    found = by_backend(measure, options, options.rounds, count, str(options.folder))
    extracted, ceiling = ("`extract` of 12 blocks",), ("`predict` (ceiling)",)
    peer = ("multi-output `predict` (peer)",)
    ratios = (
        Ratio("12 blocks / `predict`", extracted, ceiling, at_most=1.05),
        Ratio("12 blocks / multi-output `predict`", extracted, peer),
    )
    series = tuple(Series(label, values) for label, values in found.items())
    title = f"BERT-base shape, {count:,} sequences of {LENGTH}, batches of {BATCH_SIZE}"
    yield Table("bert", title, series, ratios)
