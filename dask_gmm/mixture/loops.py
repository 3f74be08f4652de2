"""The kernel's inner loops, compiled: NumPy would need a pass through memory for every operation.

Rows of the data run along the last axis, so that one instruction takes several of them, and are
taken :data:`TILE` at a time, so that what one loop has written the next one finds in the cache.
None holds the interpreter lock. A compiled loop is kept on disk, for the processor that it was made
for: it is compiled once.

Log-joints stay a BLAS product: a loop of ours was no faster. For the statistics, whose sums run
over the long axis, ours is (:func:`add_statistics`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, TypeAlias, TypeVar, cast

from numba import njit, types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial
from scipy.special import iv

from dask_gmm.mixture.arrays import AnyArray, Array

#: Rows that a loop takes through the cache at a time; every micro-block is a multiple.
TILE = 512
#: What :func:`add_statistics` holds in registers; its arrays are padded to multiples.
COMPONENTS_AT_ONCE, FEATURES_AT_ONCE = 4, 6
#: Log-responsibilities are held above this: exp gives a normal number.
LOWEST = -700.0

_LOG2E, _HALF = 1.4426950408889634, 0.5 * math.log(2.0)
#: The first with so few bits that an integer times it is exact.
_LOG2_HIGH, _LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: 1.5 * 2^52: adding it rounds to an integer, and leaves that in the last bits.
_MAGIC = 6755399441055744.0
#: Coefficients of the powers in exp's Chebyshev series, exp(h t) = I_0(h) + 2 sum I_n(h) T_n(t), as
#: far as T_11: what is left out on |r| <= h = log(2) / 2 is below 1e-17.
_EXP = tuple(
    Chebyshev(iv(range(12), _HALF) * [1, *[2] * 11], domain=[-_HALF, _HALF])
    .convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1])
    .coef.tolist()
)

Loop = TypeVar("Loop", bound=Callable[..., Any])
Six: TypeAlias = tuple[float, float, float, float, float, float]


def compiled(*relaxed: str) -> Callable[[Loop], Loop]:
    """Compile a loop; ``relaxed`` names the freedoms of arithmetic that it allows.

    All may contract a product and a sum into one rounding. Only sums over rows may be reordered.
    """
    return lambda loop: compiled_with(loop, {"contract", *relaxed})


def compiled_with(loop: Loop, freedoms: Collection[str]) -> Loop:
    """Compile a loop with some freedoms of arithmetic; it is kept on disk where that can be."""
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": set(freedoms) or False,
    }
    made: Any
    try:
        made = njit(cache=True, **options)(loop)
    except RuntimeError:  # no directory can keep it: compiled anew in every process
        made = njit(**options)(loop)
    return cast(Loop, made)


def padded(n: int, multiple: int) -> int:
    """Return the smallest multiple that is not below n."""
    return -(-n // multiple) * multiple


def _reread(target: Any) -> Callable[[Any, Any], Any]:
    """Return what makes a compiled loop read a number's 64 bits as another type."""

    def typed(context: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(number), generate

    return typed


_bits: Callable[[float], int] = cast(Any, intrinsic(_reread(types.int64)))
_double: Callable[[int], float] = cast(Any, intrinsic(_reread(types.float64)))


@compiled("reassoc", "nsz")
def into_frame(phi: Array, D: int, n: int, shift: Array, inverse: Array) -> float:
    """Turn rows 1 to D of ``phi``, n columns, into ``(x - shift) * inverse``.

    Returns
    -------
    float
        The sum of their squares: finite, unless a value is not or is absurdly large.
    """
    total = 0.0
    for i in range(D):
        x, by, times = phi[i + 1], shift[i], inverse[i]
        for t in range(n):
            x[t] = (x[t] - by) * times
            total += x[t] * x[t]
    return total


@compiled()
def squares(phi: Array, D: int, B: int) -> None:
    """Fill rows D + 1 to 2 D of ``phi`` with x∘x, B columns; rows 1 to D hold x."""
    for start in range(0, B, TILE):
        for i in range(1, D + 1):
            x, out = phi[i, start : start + TILE], phi[D + i, start : start + TILE]
            for t in range(TILE):
                out[t] = x[t] * x[t]


@compiled()
def cross_terms(phi: Array, D: int, B: int) -> None:
    """Fill the rows of ``phi`` from 2 D + 1 on with x_i x_j, i < j, B columns."""
    for start in range(0, B, TILE):
        q = 2 * D + 1
        for i in range(1, D):
            x = phi[i, start : start + TILE]
            for j in range(i + 1, D + 1):
                y, out = phi[j, start : start + TILE], phi[q, start : start + TILE]
                for t in range(TILE):
                    out[t] = x[t] * y[t]
                q += 1


@compiled()
def squared_norms(phi: Array, D: int, B: int) -> None:
    """Fill row D + 1 of ``phi`` with ||x||^2, B columns."""
    for start in range(0, B, TILE):
        out = phi[D + 1, start : start + TILE]
        for t in range(TILE):
            out[t] = 0.0
        for i in range(1, D + 1):
            x = phi[i, start : start + TILE]
            for t in range(TILE):
                out[t] += x[t] * x[t]


@compiled()
def softmax(R: Array, K: int, B: int, peak: Array, total: Array, mean: Array) -> None:
    """Turn log-joints in ``R`` (K rows, B columns) into exp(log_joint - peak).

    ``peak`` (B,) becomes the largest log-joint of every row of the data, and ``total`` (B,) the sum
    of what is left in ``R``. ``mean``, unless it is empty, becomes the sum of that times
    (log_joint - peak): what the entropy needs.
    """
    with_mean = len(mean) > 0
    for start in range(0, B, TILE):
        highest, sums = peak[start : start + TILE], total[start : start + TILE]
        products = mean[start : start + TILE] if with_mean else sums
        r = R[0, start : start + TILE]
        for t in range(TILE):
            highest[t] = r[t]
        for k in range(1, K):
            r = R[k, start : start + TILE]
            for t in range(TILE):
                highest[t] = max(r[t], highest[t])
        for t in range(TILE):
            products[t] = sums[t] = 0.0
        for k in range(K):
            r = R[k, start : start + TILE]
            if with_mean:
                for t in range(TILE):
                    x = max(r[t] - highest[t], LOWEST)
                    r[t] = e = _exp(x)
                    sums[t] += e
                    products[t] += e * x
            else:
                for t in range(TILE):
                    r[t] = e = _exp(max(r[t] - highest[t], LOWEST))
                    sums[t] += e


@compiled()
def weigh(R: Array, K: int, B: int, w: Array, total: Array) -> None:
    """Multiply K rows of ``R`` by ``w / total``, B columns: responsibilities times weights."""
    for start in range(0, B, TILE):
        share, sums = w[start : start + TILE], total[start : start + TILE]
        for t in range(TILE):
            sums[t] = share[t] / sums[t]
        for k in range(K):
            r = R[k, start : start + TILE]
            for t in range(TILE):
                r[t] *= sums[t]


@compiled("reassoc", "nsz")
def add_weighted(totals: Array, x: Array, w: Array, B: int) -> None:
    """Add the sums of ``w`` and of ``w x`` over B columns to ``totals`` (2,)."""
    for start in range(0, B, TILE):
        weight = total = 0.0
        for t in range(start, start + TILE):
            weight += w[t]
            total += w[t] * x[t]
        totals[0] += weight
        totals[1] += total


@compiled("reassoc", "nsz")
def add_statistics(S: Array, phi: Array, R: Array, B: int) -> None:
    """Add ``R @ phi.T`` over B columns to ``S``; all three padded, with finite numbers.

    At 153 features OpenBLAS takes 1.4 times as long, at 2,145 1.7 times.
    """
    K, Q = S.shape
    for start in range(0, B, TILE):
        for q in range(0, Q, FEATURES_AT_ONCE):
            x0, x1, x2, x3, x4, x5 = _six_rows(phi, q, start)
            for k in range(0, K, COMPONENTS_AT_ONCE):
                r0, r1, r2, r3 = _four_rows(R, k, start)
                a = b = c = d = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
                for t in range(TILE):
                    x = (x0[t], x1[t], x2[t], x3[t], x4[t], x5[t])
                    a, b = _sums(a, r0[t], x), _sums(b, r1[t], x)
                    c, d = _sums(c, r2[t], x), _sums(d, r3[t], x)
                _add_six(S[k], q, a)
                _add_six(S[k + 1], q, b)
                _add_six(S[k + 2], q, c)
                _add_six(S[k + 3], q, d)


@compiled()
def most_probable(R: Array, K: int, B: int, peak: Array, component: AnyArray) -> None:
    """Write the first component with the largest log-joint into ``component`` (B,) of intp."""
    for start in range(0, B, TILE):
        highest, which = peak[start : start + TILE], component[start : start + TILE]
        r = R[0, start : start + TILE]
        for t in range(TILE):
            highest[t], which[t] = r[t], 0
        for k in range(1, K):
            r = R[k, start : start + TILE]
            for t in range(TILE):
                which[t] = k if r[t] > highest[t] else which[t]
                highest[t] = max(r[t], highest[t])


@compiled()
def _exp(x: float) -> float:
    """Return exp(x), to two units in the last place, for LOWEST <= x <= 0.

    exp(x) = 2^n exp(r), x = n log 2 + r, |r| <= log(2) / 2: W. J. Cody, W. Waite, "Software manual
    for the elementary functions", 1980.
    """
    shifted = x * _LOG2E + _MAGIC
    n = shifted - _MAGIC
    r = (x - n * _LOG2_HIGH) - n * _LOG2_LOW
    p = _EXP[11]
    for i in range(10, -1, -1):
        p = p * r + _EXP[i]
    return p * _double((_bits(shifted) + 1023) << 52)


@compiled()
def _four_rows(a: Array, k: int, start: int) -> tuple[Array, ...]:
    end = start + TILE
    return a[k, start:end], a[k + 1, start:end], a[k + 2, start:end], a[k + 3, start:end]


@compiled()
def _six_rows(a: Array, q: int, start: int) -> tuple[Array, ...]:
    end = start + TILE
    return (
        a[q, start:end],
        a[q + 1, start:end],
        a[q + 2, start:end],
        a[q + 3, start:end],
        a[q + 4, start:end],
        a[q + 5, start:end],
    )


@compiled("reassoc", "nsz")
def _sums(s: Six, r: float, x: Six) -> Six:
    return (
        s[0] + r * x[0],
        s[1] + r * x[1],
        s[2] + r * x[2],
        s[3] + r * x[3],
        s[4] + r * x[4],
        s[5] + r * x[5],
    )


@compiled()
def _add_six(out: Array, q: int, s: Six) -> None:
    for i in range(FEATURES_AT_ONCE):
        out[q + i] += s[i]
