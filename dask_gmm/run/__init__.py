"""One YAML file's life: from a configuration to a finished run directory.

config      the file, read and checked
plan        what the run will read and hold, said before anything is read
stages      survey, start, fit, segment: each a function from values to values
job         the stages in order, in one run directory
directory   who owns a run directory, and how a result becomes one
report      the page that a person opens
cli         the command
"""
