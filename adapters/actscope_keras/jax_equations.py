"""Equations of a traced computation that XLA computes badly on a CPU, replaced by better ones."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, jaxpr_as_fun

from actscope_keras.jax_convolutions import direct_convolution
from actscope_keras.jax_pooling import pooling_by_axes

HAS_YNNPACK = jax.__version_info__ >= (0, 10)
"""Whether XLA gives sums, extremes and products to YNNPACK by default."""


def with_faster_equations(traced: ClosedJaxpr) -> Callable[..., list[Any]]:
    """A traced computation, flat arguments to flat results, with its slow equations replaced."""
    equations = [_faster(equation) for equation in traced.jaxpr.eqns]
    flat: Callable[..., list[Any]] = jaxpr_as_fun(
        ClosedJaxpr(traced.jaxpr.replace(eqns=equations), traced.consts)
    )
    return flat


def _faster(equation: JaxprEqn) -> JaxprEqn:
    """The equation, or one with the same operands and result that is computed otherwise."""
    function = direct_convolution(equation)
    if function is None and HAS_YNNPACK:  # XLA itself would compute twice what is pooled by axes
        function = pooling_by_axes(equation)
    if function is None:
        return equation
    shapes = [
        jax.ShapeDtypeStruct(variable.aval.shape, variable.aval.dtype)
        for variable in equation.invars
    ]
    with jax.disable_jit(False):  # so that it is one equation, whatever the caller has set
        (call,) = jax.make_jaxpr(jax.jit(function))(*shapes).jaxpr.eqns
    return equation.replace(primitive=call.primitive, params=call.params, effects=call.effects)
