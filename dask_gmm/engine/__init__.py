"""Map-reduce of any leaf function over stored or lazy data, on Dask.

leaves     consecutive cells of the data, cut by the data alone
passes     one reading: every leaf mapped, a fixed tree of sums
reading    the blocks of a leaf, read ahead by one helper thread
cluster    where tasks run: local worker processes, or threads
"""
