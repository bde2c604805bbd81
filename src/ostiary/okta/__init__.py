"""The Okta adapter: one thin client and one file per resource kind."""
