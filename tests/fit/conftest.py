from __future__ import annotations

import pytest

from dask_gmm.engine.passes import one_blas_thread


@pytest.fixture(autouse=True, scope="package")
def _one_blas_thread():
    """Run as the engine runs: two small products at once only fight for the cores."""
    with one_blas_thread():
        yield
