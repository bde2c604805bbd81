"""SAML 2.0 as Okta and AWS speak it, sans-IO: metadata, assertions, verification."""
