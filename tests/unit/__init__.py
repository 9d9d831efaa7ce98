"""What each module promises, by calling it."""
