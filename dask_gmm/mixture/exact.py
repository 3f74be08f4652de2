"""Compiled arithmetic in single precision that gives a number the same bits wherever it stands.

A loop of eight numbers at a time and what is left at its end must agree to the last bit, or the
borders of chunks would show. So nothing is reordered or contracted by the compiler; where a product
and a sum shall be one rounding, :func:`fma` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial

from dask_gmm.mixture.loops import Loop, compiled_with

Single = np.float32

#: exp gives a normal number from here on, and log takes one.
LOWEST_EXPONENT = Single(-87.0)
_HALF = 0.5 * math.log(2.0)
_LOG2E = Single(1.0 / math.log(2.0))
#: The first with so few bits that an integer times it is exact.
_LOG2_HIGH = Single(0.693359375)
_LOG2_LOW = Single(math.log(2.0) - 0.693359375)
#: 1.5 * 2^23: adding it rounds to an integer, and leaves that in the last bits.
_MAGIC = Single(12582912.0)
_ONE, _HALF_ONE = Single(1.0), Single(0.5)


def _powers(function: Callable[[Any], Any], low: float, high: float, degree: int) -> Any:
    """Return the coefficients of a function's interpolation at Chebyshev's points."""
    series = Chebyshev.interpolate(function, degree, domain=[low, high])
    found = series.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1])
    return tuple(Single(each) for each in found.coef)


_EXP = _powers(np.exp, -_HALF, _HALF, 6)
#: log(1 + x) = x + x^2 times this.
_LOG = _powers(
    lambda x: (np.log1p(x) - x) / np.where(x == 0.0, 1.0, x * x) - 0.5 * (x == 0.0),
    math.sqrt(0.5) - 1.0,
    math.sqrt(2.0) - 1.0,
    9,
)


def exact(loop: Loop) -> Loop:
    """Compile a loop; the compiler may not change what is computed."""
    return compiled_with(loop, ())


def _reread(target: Any) -> Callable[[Any, Any], Any]:
    """Return what makes a compiled loop read a number's 32 bits as another type."""

    def typed(context: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (value,) = arguments
            if number is types.int64:  # what Numba makes of sums and shifts
                value = builder.trunc(value, context.get_value_type(types.int32))
            return builder.bitcast(value, context.get_value_type(target))

        return target(number), generate

    return typed


def _fused(context: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


_bits: Callable[[Any], Any] = cast(Any, intrinsic(_reread(types.int32)))
_single: Callable[[Any], Any] = cast(Any, intrinsic(_reread(types.float32)))
#: a * b + c, rounded once.
fma: Callable[[Any, Any, Any], Any] = cast(Any, intrinsic(_fused))


@exact
def exp(x: Any) -> Any:
    """Return exp(x) of a single, to two units in the last place, for LOWEST_EXPONENT <= x <= 0."""
    shifted = fma(x, _LOG2E, _MAGIC)
    n = shifted - _MAGIC
    r = fma(-n, _LOG2_LOW, fma(-n, _LOG2_HIGH, x))
    p = _EXP[6]
    for i in range(5, -1, -1):
        p = fma(p, r, _EXP[i])
    return p * _single((_bits(shifted) + np.int32(127)) << np.int32(23))


@exact
def log(x: Any) -> Any:
    """Return log(x) of a normal positive single, to three units in the last place of 1 or of it.

    x = m 2^n with sqrt(1/2) <= m < sqrt(2): the bits above those of sqrt(1/2) are n.
    """
    above = _bits(x) - np.int32(0x3F3504F3)
    exponent = above >> np.int32(23)
    m = _single(_bits(x) - (exponent << np.int32(23))) - _ONE
    p = _LOG[9]
    for i in range(8, -1, -1):
        p = fma(p, m, _LOG[i])
    n = Single(exponent)
    return fma(n, _LOG2_HIGH, fma(m * m, p, m) + n * _LOG2_LOW)
