"""What a person has on their own machine: the sign-in, the resident agent, and the way of ``ssh`` through it.

The way of ``ssh`` needs the standard library, ``cryptography``, ``wire`` and ``pki`` only.
"""
