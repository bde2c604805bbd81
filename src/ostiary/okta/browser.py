"""What sign-in needs of HTTP: one cookie jar per person, no API token, answers that are read whole."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from ostiary import __version__
from ostiary.okta import translate

ATTEMPTS = 3  # of a GET that got no answer


class Browser:
    """One person's HTTP client. GET is repeated when the connection fails; nothing else is."""

    def __init__(
        self,
        url: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        timeout: float = 30.0,
    ) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        self._owned = transport is None
        self._http = httpx2.Client(
            transport=transport,
            timeout=timeout,
            headers={"user-agent": f"ostiary/{__version__}", "accept": "application/json"},
        )

    def close(self) -> None:
        """End the connections, but for a transport that was given: others may use it."""
        if self._owned:
            self._http.close()

    def send(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        follow: bool = False,
    ) -> httpx2.Response:
        """Any answer, whatever its status. ``path`` may be a whole URL of this org."""
        target = path if path.startswith(self.url + "/") else self.url + path
        attempts = itertools.count(1)
        while True:
            try:
                return self._http.request(
                    method,
                    target,
                    params=dict(params) if params else None,
                    json=body,
                    data=dict(form) if form else None,
                    headers={"accept": "text/html"} if follow else None,
                    follow_redirects=follow,
                )
            except httpx2.HTTPError as error:
                attempt = next(attempts)
                if method != "GET" or attempt == ATTEMPTS:
                    raise translate.not_reached(error, what, self.url, maybe_done=False) from error
                self._sleep(0.5 * attempt)

    def json(self, response: httpx2.Response, what: str) -> dict[str, Any]:
        try:
            found = response.json()
        except ValueError as error:
            raise translate.not_json(response, what, mutation=False) from error
        if not isinstance(found, dict):
            raise translate.not_json(response, what, mutation=False)
        return found

    def has_cookie(self, name: str) -> bool:
        return any(cookie.name == name for cookie in self._http.cookies.jar)
