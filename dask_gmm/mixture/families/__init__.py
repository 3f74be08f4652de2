r"""The four covariance families: what differs between full, tied, diag and spherical.

For a component k, :math:`\log w_k + \log N(x | \mu_k, \Sigma_k)` is linear in features phi(x):

==========  ========================================  ==================
family      phi(x)                                    Q
==========  ========================================  ==================
full        1, x, x∘x, x_i x_j (i < j, row by row)    (D + 1)(D + 2) / 2
diag        1, x, x∘x                                 2 D + 1
spherical   1, x, ||x||²                              D + 2
tied        1, x                                      D + 1
==========  ========================================  ==================

so an E-step is ``theta @ phi`` and the sufficient statistics are ``R @ phi.T``. The order makes
tied and diag prefixes of full. Tied needs no quadratic features: the quadratic term is the same
for every component and cancels in the responsibilities; its scatter is a constant of the data.

Nothing outside this file asks which family it deals with. Notation as in Bishop, *Pattern
Recognition and Machine Learning* (2006), sections 2.4 and 9.2; ``U`` is the upper triangular
precision factor, ``P = U @ U.T``, scikit-learn's ``precisions_cholesky_``.
"""

from __future__ import annotations

from dask_gmm.mixture.families.base import LOG_2PI, NUMERIC_FLOOR, Family, IllConditionedError
from dask_gmm.mixture.families.matrices import Full, Tied
from dask_gmm.mixture.families.variances import Diag, Spherical

__all__ = ["FAMILIES", "LOG_2PI", "NUMERIC_FLOOR", "Family", "IllConditionedError", "family"]

FAMILIES: dict[str, Family] = {each.name: each for each in (Full(), Tied(), Diag(), Spherical())}


def family(name: str) -> Family:
    """Look a family up by scikit-learn's name of its covariance type.

    Raises
    ------
    ValueError
        If there is no such family; the text lists those there are.
    """
    try:
        return FAMILIES[name]
    except (KeyError, TypeError):
        allowed = ", ".join(repr(each) for each in sorted(FAMILIES))
        raise ValueError(f"covariance_type={name!r} is not known; allowed: {allowed}") from None
