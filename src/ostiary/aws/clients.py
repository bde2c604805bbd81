"""botocore clients: one per service and region, made once, shared by every thread and every account."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path

from ostiary import __version__
from ostiary.aws.credentials import acting_session
from ostiary.aws.signing import Frozen
from ostiary.aws.translate import translate

# Retries are ours: they know the account, and whether a call may have had an effect.
CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=32,
    connect_timeout=10,
    read_timeout=60,
    # Named outright: botocore would put its own together again for each call, a tenth of what a call costs.
    user_agent=f"ostiary/{__version__} botocore/{botocore.__version__}",
    # An endpoint of AWS_ENDPOINT_URL has no name per bucket. What is uploaded is held to the checksum in its signed headers;
    # over TLS botocore never signs the body besides, and over a plain local endpoint it need not be hashed once more.
    s3={"addressing_style": "path", "payload_signing_enabled": False},
)


class Clients:
    """Makes and keeps clients. ``on_client`` sees each new one (tests join it to the sandbox in process).

    ``patience`` is how many seconds one attempt may take to connect, and then to be answered.

    The endpoint, the CA bundle, FIPS and proxies are botocore's: ``AWS_ENDPOINT_URL``, ``AWS_CA_BUNDLE``, profile.
    """

    def __init__(
        self,
        profile: str | None = None,
        on_client: Callable[[Any], None] | None = None,
        *,
        patience: float | None = None,
    ) -> None:
        self.profile = profile
        self._on_client = on_client
        self._config = CONFIG
        if patience is not None:
            hasty = Config(connect_timeout=patience, read_timeout=patience)
            self._config = CONFIG.merge(hasty)
        self._session: botocore.session.Session | None = None
        self._made: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, region: str) -> Any:
        key = (service, region)
        made = self._made.get(key)
        if made is not None:
            return made
        with self._lock:  # botocore cannot make two clients at once
            if key not in self._made:
                self._made[key] = self._new(*key)
            return self._made[key]

    def credentials(self) -> Frozen:
        """What signs the next request: the acting credentials, else the caller's own, refreshed when due."""
        with self._lock:
            found: Any = self._made_session().get_credentials()
        frozen: Frozen = found.get_frozen_credentials()
        return frozen

    def ca_bundle(self) -> str:
        """The file of certificate authorities that clients trust: the profile's, AWS_CA_BUNDLE, or botocore's own."""
        with self._lock:
            named = self._made_session().get_config_variable("ca_bundle")
        return str(named or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True))

    def close(self) -> None:
        """Close every connection; clients made after this are new ones."""
        with self._lock:
            while self._made:
                self._made.popitem()[1].close()

    def _made_session(self) -> botocore.session.Session:
        if self._session is None:
            self._session = acting_session(self.profile)
        return self._session

    def _new(self, service: str, region: str) -> Any:
        try:
            make: Any = self._made_session().create_client  # overloaded per service by its stubs
            client = make(service, region_name=region, config=self._config)
        except BotoCoreError as error:
            raise translate(error, f"cannot open a connection to {service}") from error
        if self._on_client is not None:
            self._on_client(client)
        return client
