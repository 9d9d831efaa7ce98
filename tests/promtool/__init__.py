"""Rules and their tests by promtool, and the tests' sharpness by changed rules."""
