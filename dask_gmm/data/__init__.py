"""The data room: what is stored, cut into cells of rows, and written back cell by cell.

`grid` numbers the cells, `stored` says what an array in storage offers (`zarr_array`, `npy_array`),
`folders` where it lies (`remote`: behind a URL), `sources` makes rows of it, `sinks` writes
results, `manifest` says what an input was when a run looked at it, `ingest` brings pictures into
Zarr. Nothing here knows Dask or mixtures.
"""
