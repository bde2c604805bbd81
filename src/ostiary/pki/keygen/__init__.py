"""``python -m ostiary.pki``: what ``ssh-keygen`` does about certificates, with the same arguments, files and messages.

Source: OpenSSH ssh-keygen(1) and the behaviour of ssh-keygen 9.2 and 10.5, which tests run beside it.
"""
