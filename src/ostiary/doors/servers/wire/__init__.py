"""What control plane, agent and client say to each other: versioned messages, and nothing else.

The three share only this package. It needs the standard library of Python 3.9, because the agent runs on hosts.
"""
