"""The embedded Okta org."""
