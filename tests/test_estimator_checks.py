"""scikit-learn's own checks of what an estimator must do, with no expected failure."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from dask_gmm import GaussianMixture
from tests.mixture.problems import FAMILIES


@parametrize_with_checks(
    [GaussianMixture(covariance_type=each) for each in FAMILIES]
    + [GaussianMixture(standardize=True, covariance_type="spherical")]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
