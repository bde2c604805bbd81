"""SAML sign-in from an Okta org to IAM roles, by role groups."""
