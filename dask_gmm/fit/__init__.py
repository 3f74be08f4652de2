"""EM as an iteration on an expectation: where it starts, how it goes on, when it stops.

Nothing here knows where rows come from: an *expectation* is any function from parameters to the
sufficient statistics of all rows.

starts        responsibilities to begin with, drawn on rows in memory
loop          the iteration: begin, step, and the solution it ends in
state         what stands between two readings
acceleration  steps extrapolated from those before
stopping      when to stop: a fixed tolerance, or when the remaining gain means nothing
ahead         where a sample says that EM over all rows will end
race          several fits that share their readings
sample        several starts, each fitted on the survey's sample
candidates    families, numbers of components and seeds, fitted on the sample; some of them go on
small_classes starts with components for classes that the sample hardly holds
finishers     where EM over all of the data leads those that have gone on
assessing     what their mixtures say of all rows, and of rows that they have not seen
selection     which of them to keep
compression   distinct rows in the place of all rows, where they repeat
reseed        a component that lost its rows is put where it gains most
"""
