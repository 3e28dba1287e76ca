"""Compiling for a CPU so that the convolutions use all of it.

XLA as jaxlib 0.10 brings it gives convolutions to YNNPACK, which computes each on one core, while
XLA's own use all of them: ResNet50 takes 1.4 times as long, VGG16 up to 1.8 times (see
benchmarks/RESULTS.md). Sums and matrix products, which it computes well, stay with it.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax

from actscope_keras.jax_equations import HAS_YNNPACK, with_faster_equations

OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_REDUCE,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
    )
}
"""What YNNPACK does by default from jaxlib 0.10 on, without convolutions one by one."""


@dataclass(frozen=True)
class Compiled:
    """A function that is compiled, or still being compiled.

    Attributes:
        executable: takes the arguments, gives the results.
        has_effects: whether it does more than that, such as calling Python in a certain order.
    """

    executable: Future[Callable[..., Any]]
    has_effects: bool

    def call(self, *arguments: Any) -> Any:
        """Compute, once it is compiled; raises what went wrong while it was."""
        return self.executable.result()(*arguments)


def compiled(function: Callable[..., Any], *arguments: Any, donated: int) -> Compiled:
    """The function, compiled for arguments of these shapes.

    It is traced at once. XLA then compiles in a thread, where it holds no lock of Python's: the
    file is laid out meanwhile.

    Args:
        function: takes and returns trees of arrays.
        arguments: what it will be called with, or their shapes and dtypes.
        donated: the position of the argument whose memory the results may take.
    """
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    flat = with_faster_equations(traced)
    structure = jax.tree.structure(shapes)

    def run(*arguments: Any) -> Any:
        return structure.unflatten(flat(*jax.tree.leaves(arguments)))

    lowered = jax.jit(run, donate_argnums=donated, keep_unused=True).lower(*arguments)
    thread = ThreadPoolExecutor(1, "actscope-compile")
    executable = thread.submit(_compiled, lowered)
    thread.shutdown(wait=False)
    return Compiled(executable, bool(traced.effects))


def _compiled(lowered: Any) -> Any:
    if not HAS_YNNPACK:
        return lowered.compile()
    try:
        return lowered.compile(compiler_options=OPTIONS)
    except jax.errors.JaxRuntimeError as error:
        if next(iter(OPTIONS)) not in str(error):
            raise
        return lowered.compile()  # an XLA that no longer knows the option
