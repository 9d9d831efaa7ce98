"""What operators and the platform's own jobs run: `mcops`."""
