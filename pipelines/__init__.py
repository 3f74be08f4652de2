"""One short script per job, over the library's own stages; run as ``python -m pipelines.NAME``.

They are not installed, and no function defined here is sent to a worker: a worker without this
checkout could not import it.
"""
