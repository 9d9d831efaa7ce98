"""The Pulumi program of the Model Card Generator's platform: it declares, and never runs anything."""
