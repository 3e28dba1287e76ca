"""Describes what a recording holds in the words in which adapters describe what a model has."""

from actscope.protocol import LayerInfo, OutputInfo
from actscope.store.reader import RecordedLayer, Recording


def described_layers(recording: Recording) -> list[LayerInfo]:
    """The layers of a recording, each with its first output, in the order of execution."""
    return [
        LayerInfo(path, layer.class_name, 0, (output_of(layer),))
        for path, layer in recording.items()
    ]


def output_of(layer: RecordedLayer) -> OutputInfo:
    """A recorded output as a trace of the model lists it."""
    return OutputInfo(
        path=layer.path,
        class_name=layer.class_name,
        order=layer.order,
        call=layer.call,
        index=layer.index,
        key=layer.key,
        shape=layer.shape[1:],
        dtype=str(layer.dtype),
        axes=layer.dims[1:],
        data_format=layer.data_format,
    )
