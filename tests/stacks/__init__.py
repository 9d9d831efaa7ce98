"""Whole stacks of other settings, of other revisions and broken in every way: seconds each, so `make test` only."""
