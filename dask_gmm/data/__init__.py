"""The data room: what is stored, cut into cells of rows, and written back cell by cell.

`grid` numbers the cells, `sources` reads them as rows, `sinks` writes them, `manifest` says what an
input was when a run looked at it, `ingest` brings pictures into Zarr. Nothing here knows Dask or
mixtures.
"""
