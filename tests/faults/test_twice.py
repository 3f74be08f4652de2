"""The same leaf at work in two places at once: its cells are whole, and what either wrote."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zarr

from dask_gmm.data.grid import Grid
from dask_gmm.data.sinks.zarr import ZarrSink


def test_the_same_cell_is_written_twice_at_once(tmp_path):
    sink = ZarrSink.create(tmp_path / "a.zarr", Grid((512, 512), (256, 512)), (), "f4", 0.0, {})
    values = np.random.default_rng(0).random((256, 512), dtype=np.float32)
    with ThreadPoolExecutor(4) as threads:
        writes = [threads.submit(sink.write, 1, values) for _ in range(60)]
        seen = []
        while not all(each.done() for each in writes):
            seen.append(zarr.open_array(sink.path, mode="r")[256:])
    assert len({each.result() for each in writes}) == 1
    for each in (*seen, zarr.open_array(sink.path, mode="r")[256:]):
        assert (each == values).all() or not each.any()  # a reader sees nothing or all of it
    assert sink.missing_cells() == [0]
    assert sorted(path.name for path in (tmp_path / "a.zarr/c/1").iterdir()) == ["0"]
