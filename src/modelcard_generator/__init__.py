"""The Model Card Generator: writes model cards from descriptions, by HTTP."""

__version__ = "1.0.0"
