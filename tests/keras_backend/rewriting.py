"""What becomes of a computation when its slow equations are replaced."""

import jax
import numpy as np

from actscope_keras.jax_equations import with_faster_equations


def primitives(function, *arguments):
    """What the rewritten function calls, and what it gives."""
    rewritten = with_faster_equations(jax.make_jaxpr(function)(*arguments))
    names = {equation.primitive.name for equation in jax.make_jaxpr(rewritten)(*arguments).eqns}
    return names, np.asarray(rewritten(*arguments)[0])
