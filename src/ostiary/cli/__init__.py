"""The command line: a lazy command table over the doors."""
