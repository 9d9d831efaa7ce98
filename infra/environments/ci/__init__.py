"""What the hosted workflows run. Each of it runs here as it does there: workflows hold no logic of their own."""
