"""Lists what a recording holds: by the names that `actscope info` shows, or as a model's layers."""

from actscope.protocol import LayerInfo, OutputInfo
from actscope.store.reader import RecordedLayer, Recording


def every_tensor(recording: Recording) -> dict[str, RecordedLayer]:
    """Every output, each followed by its gradient where there is one, in the order of execution.

    They are called as `listed_name` says.
    """
    outputs = [output for path in recording for output in recording.outputs(path)]
    pairs = [(output, output.gradient) for output in outputs]
    every = [tensor for pair in pairs for tensor in pair if tensor is not None]
    return {listed_name(tensor): tensor for tensor in every}


def listed_name(tensor: RecordedLayer) -> str:
    """The name of an output, or that of the output whose gradient it is and `" gradient"`."""
    return f"{tensor.name} gradient" if tensor.is_gradient else tensor.name


def tensor_named(recording: Recording, name: str) -> RecordedLayer:
    """The first output of a layer by its path, or any output or gradient by its name.

    Raises:
        UnknownLayerError: there is none.
    """
    if name in recording:
        return recording[name]
    return every_tensor(recording).get(name) or recording[name]


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
