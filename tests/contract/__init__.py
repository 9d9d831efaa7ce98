"""What every component promises, whichever it is."""
