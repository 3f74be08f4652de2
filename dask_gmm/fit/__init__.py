"""EM as an iteration on an expectation: where it starts, how it goes on, when it stops.

Nothing here knows where rows come from: an *expectation* is any function from parameters to the
sufficient statistics of all rows.

starts       responsibilities to begin with, drawn on rows in memory
loop         the iteration, and the solution it ends in
stopping     when to stop: a fixed tolerance, or when the remaining gain means nothing
compression  distinct rows in the place of all rows, where they repeat
sample       several starts, each fitted on the survey's sample; the best goes on
"""
