"""Settings from flags and environment, each with its origin, so that ``doctor`` can show where a value came from."""
