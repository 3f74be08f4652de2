"""What holds for all tests: none is timed, so Hypothesis sets no deadline; and what they share."""

from __future__ import annotations

from hypothesis import settings

from tests.object_store import s3, s3_server  # noqa: F401  fixtures

settings.register_profile("untimed", deadline=None, print_blob=True)
settings.load_profile("untimed")
