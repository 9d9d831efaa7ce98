"""What each component is given of the settings; what it is given of other components, `infra/stack.py` hands over."""
