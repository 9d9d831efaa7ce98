"""Model cards: what a description may say, and how it is written."""
