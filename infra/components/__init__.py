"""The parts of the platform, one file each."""
