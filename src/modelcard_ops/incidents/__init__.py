"""Incidents, from the alert to the postmortem: who was told of what, when, and whether somebody came in time."""
