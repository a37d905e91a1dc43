"""A deep-learning course as eight notebooks, and the tested code that they call."""

__version__ = "0.1.0"
