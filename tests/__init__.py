"""Mirrors the tree: each folder tests the part of the repository that it is named after."""
