"""Map-reduce of any leaf function over stored or lazy data, on Dask.

leaves     consecutive cells of the data, cut by the data alone
passes     one reading: every leaf mapped, a fixed tree of sums
reading    the blocks of a leaf
turns      who computes, while another leaf reads
limits     what plans and workers agree on
cluster    where tasks run: local worker processes, or threads
"""
