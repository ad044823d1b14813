"""How many examples a law is tried with: few and always the same ones in the suite, many and new ones on demand.

HYPOTHESIS_PROFILE=thorough python -m pytest tests/properties
"""

import os

from hypothesis import HealthCheck, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)

PROFILES = {
    "suite": settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=_SLOW),
    "thorough": settings(max_examples=3000, database=None, deadline=None, print_blob=True, suppress_health_check=_SLOW),
}

law = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "suite")]
"""Decorator of every property test here."""

slow_law = settings(law, max_examples=law.max_examples // 4)
"""For tests whose examples take long."""
