"""Imported before torch: coursekit says how its threads wait."""

import coursekit  # noqa: F401
