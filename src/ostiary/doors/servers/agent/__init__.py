"""The agent on a host: keeps LocalUsers, groups, sudo rules and what sshd trusts as the control plane says.

Standard library of Python 3.9 and the package ``wire`` only; ssh-keygen, useradd, visudo and sshd are the host's own.
"""
