"""Published numbers next to ours."""

from coursekit.scorecard.compare import record, show
from coursekit.scorecard.published import PUBLISHED

__all__ = ["PUBLISHED", "record", "show"]
