"""Redis as a cache: nothing depends on it but speed."""
