"""What holds for all tests: no test is timed, so Hypothesis sets no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None, print_blob=True)
settings.load_profile("untimed")
