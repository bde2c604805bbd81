"""The ways in. One folder each, everything of it inside; doors do not know each other."""
