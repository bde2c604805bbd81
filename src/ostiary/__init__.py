"""Ostiary keeps the doors between an Okta org and AWS."""

__version__ = "0.1.0"
