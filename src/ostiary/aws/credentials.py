"""Whose credentials sign the next AWS call: one botocore session serves every account.

A client made per account costs megabytes and tens of milliseconds; here the clients are shared and the
credentials follow a context variable, read by botocore at the moment of signing. Worker threads each have
their own context, so two accounts never meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.credentials
import botocore.loaders
import botocore.session
from botocore.exceptions import NoCredentialsError


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary AWS credentials. ``expires`` is in seconds since the epoch, 0 when they do not expire."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires: float = 0.0

    def lasts(self, now: float, margin: float) -> bool:
        """Whether they are good for ``margin`` seconds more."""
        return not self.expires or now + margin < self.expires


def credentials_from(answer: Mapping[str, Any]) -> Credentials:
    """From the ``Credentials`` member that every AssumeRole call answers with."""
    return Credentials(
        answer["AccessKeyId"],
        answer["SecretAccessKey"],
        answer["SessionToken"],
        answer["Expiration"].timestamp(),
    )


_acting: ContextVar[Credentials | None] = ContextVar("acting", default=None)


@contextmanager
def acting_with(credentials: Credentials | None) -> Iterator[None]:
    """Sign every call in this block with ``credentials``; None means the caller's own."""
    token = _acting.set(credentials)
    try:
        yield
    finally:
        _acting.reset(token)


class ActingCredentials(botocore.credentials.Credentials):
    """What every client holds: resolves to the acting credentials, else to the caller's own."""

    def __init__(self, resolver: botocore.credentials.CredentialResolver) -> None:
        super().__init__("acting", "acting", method="ostiary")
        self._resolver = resolver
        self._own: botocore.credentials.Credentials | None = None

    def get_frozen_credentials(self) -> botocore.credentials.ReadOnlyCredentials:
        acting = _acting.get()
        if acting is not None:
            return botocore.credentials.ReadOnlyCredentials(
                acting.access_key, acting.secret_key, acting.token or None
            )
        if self._own is None:
            self._own = self._resolver.load_credentials()
        if self._own is None:
            raise NoCredentialsError
        return self._own.get_frozen_credentials()


class ActingProvider(botocore.credentials.CredentialProvider):
    """Stands in botocore's ``credential_provider`` component, in front of the usual chain."""

    METHOD = "ostiary"
    CANONICAL_NAME = "Ostiary"

    def __init__(self, resolver: botocore.credentials.CredentialResolver) -> None:
        super().__init__()
        self._resolver = resolver

    def load(self) -> ActingCredentials:
        return ActingCredentials(self._resolver)


def acting_session(profile: str | None) -> botocore.session.Session:
    """A botocore session whose clients sign with the acting credentials.

    ``profile`` is a profile of the shared config (SSO, credential_process and role profiles included); None
    takes what botocore finds: environment, container, instance. Raises ``ProfileNotFound``.
    """
    session = own_session(profile)
    chain = session.get_component("credential_provider")
    session.register_component(
        "credential_provider",
        botocore.credentials.CredentialResolver(providers=[ActingProvider(chain)]),
    )
    return session


def own_session(profile: str | None = None) -> botocore.session.Session:
    """A botocore session of the caller's own; what botocore knows of AWS is read once for all of them."""
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> botocore.loaders.Loader:
    """One for all sessions: botocore would read and parse every service's model again for each."""
    return botocore.loaders.create_loader(data_path)
