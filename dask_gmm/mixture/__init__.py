"""The mathematics of the Gaussian mixture: pure functions on small frozen values.

families     what differs between full, tied, diag and spherical
frame        the internal units in which statistics are taken
parameters   weights, means and covariances, in one frame
statistics   what an E-step leaves behind: a monoid; and the M-step that reads it
kernel       the E-step over rows, by phi or centred; prediction
keys         rows packed into integers
counts       distinct rows with their weights: a monoid; counting makes one of a leaf
lookup       prediction of distinct rows, found again by their keys
survey       one reading before EM: moments, extrema, invalid rows, a sample
"""
