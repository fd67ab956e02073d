"""Per-session features, computed query by query in compiled kernels; one family a file."""
