"""Okta's HTTP API: JSON in, JSON out, paced, retried, translated.

Objects stay the dictionaries that Okta sent, so that a GET, a change and a PUT lose no key that we do not
know. A list is whole or it is an error: ``paginate`` never ends early.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import httpx2

from ostiary import __version__
from ostiary.errors import OstiaryError, Throttled, Unreachable
from ostiary.okta import translate
from ostiary.okta.limits import Pacer, bucket, is_concurrency

Object: TypeAlias = dict[str, Any]
Params: TypeAlias = Mapping[str, str | int]

API = "/api/v1"
REFUSED_ATTEMPTS = 20  # 429, 423, 503: Okta said that it did nothing
LOST_ATTEMPTS = 5  # no answer to a read
LONGEST_BACKOFF = 30.0
MAX_PAGES = 10_000
WORKERS = 12  # requests under way; the smallest orgs allow 35 at once, of which half is others'
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def segment(text: str) -> str:
    """One path segment, quoted whole (a group name or login may hold ``/`` or ``#``)."""
    return quote(text, safe="@")


@dataclass(frozen=True, slots=True)
class Page:
    """``following`` is path and query of the next page; ``limit`` what Okta allows of these calls a minute, if it said."""

    items: list[Object]
    following: str | None
    limit: int | None


class OktaClient:
    """One org. Threads may share it; at most ``workers`` requests are under way at once.

    ``auth`` is an ``httpx2.Auth`` (``okta.auth``). ``share`` is the part of each rate limit that may be used.
    ``transport`` replaces the network. Every method raises only ``OstiaryError``s whose first line is ``what``.
    """

    def __init__(
        self,
        url: str,
        auth: httpx2.Auth,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        share: float = 0.5,
        workers: int = WORKERS,
        timeout: float = 30.0,
    ) -> None:
        self.url = url.rstrip("/")
        self.auth = auth
        self.clock = clock
        self.sleep = sleep
        self._transport = transport
        self._pacer = Pacer(share=share, clock=clock, sleep=sleep)
        self._slots = threading.BoundedSemaphore(workers)
        self._http = httpx2.Client(
            auth=auth,
            transport=transport,
            timeout=timeout,
            headers={"user-agent": f"ostiary/{__version__}", "accept": "application/json"},
        )

    def close(self) -> None:
        self._http.close()

    def with_auth(self, auth: httpx2.Auth) -> OktaClient:
        """Another caller to the same org, for a few requests."""
        return OktaClient(
            self.url, auth, transport=self._transport, clock=self.clock, sleep=self.sleep
        )

    def impatient(self, longest: float, timeout: float) -> OktaClient:
        """The same org for somebody who is waited for: a pause of more than ``longest`` seconds is Throttled instead."""

        def pause(seconds: float) -> None:
            if seconds > longest:
                raise Throttled(
                    "cannot ask Okta now",
                    why=f"its limits ask to wait {seconds:.0f} s",
                    fix="run the same command again later",
                    code="busy",
                )
            self.sleep(seconds)

        return OktaClient(
            self.url,
            self.auth,
            transport=self._transport,
            clock=self.clock,
            sleep=pause,
            timeout=timeout,
        )

    def get(self, path: str, params: Params | None = None, *, what: str = "") -> Any:
        """The JSON at ``path`` (below ``/api/v1`` unless it starts with ``/oauth2`` or ``/api``)."""
        return self._json("GET", path, params=params, what=what)

    def get_text(
        self, path: str, params: Params | None = None, *, accept: str, what: str = ""
    ) -> str:
        return self._exchange("GET", path, params=params, accept=accept, what=what)[1].text

    def post(
        self, path: str, body: Any = None, params: Params | None = None, *, what: str = ""
    ) -> Any:
        return self._json("POST", path, body=body, params=params, what=what)

    def put(
        self, path: str, body: Any = None, params: Params | None = None, *, what: str = ""
    ) -> Any:
        return self._json("PUT", path, body=body, params=params, what=what)

    def delete(self, path: str, params: Params | None = None, *, what: str = "") -> None:
        self._exchange("DELETE", path, params=params, what=what)

    def paginate(
        self,
        path: str,
        params: Params | None = None,
        *,
        what: str = "",
        max_pages: int = MAX_PAGES,
    ) -> Iterator[Object]:
        """Every item of a list, page by page.

        Follows ``Link: <…>; rel="next"``, in one header or in several. A page that does not come, is no list,
        or leads back to one that was seen raises Unreachable, so whoever reads to the end has read it all.
        """
        what = what or f"cannot list {path}"
        target, query = path, params
        seen: set[str] = set()
        for _ in range(max_pages):
            page = self.page(target, query, what=what)
            yield from page.items
            following = page.following
            if following is None:
                return
            if following in seen:
                raise _broken_list(what, "a page leads back to one that was already read")
            seen.add(following)
            target, query = following, None
        raise _broken_list(what, f"the list did not end after {max_pages} pages")

    def page(self, target: str, query: Params | None = None, *, what: str = "") -> Page:
        """One page of a list, for who keeps the place where it goes on."""
        what, response = self._exchange("GET", target, params=query, what=what)
        items = _parsed(response, what, mutation=False)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise _broken_list(what, "the answer is not a list of objects")
        limit = response.headers.get("x-rate-limit-limit", "")
        return Page(items, next_page(response), int(limit) if limit.isdigit() else None)

    def _json(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Params | None = None,
        what: str = "",
    ) -> Any:
        what, response = self._exchange(method, path, body=body, params=params, what=what)
        return _parsed(response, what, mutation=method != "GET") if response.content else None

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Params | None = None,
        accept: str = "",
        what: str = "",
    ) -> tuple[str, httpx2.Response]:
        """Send until answered; gives back ``what`` (filled in) and the successful answer."""
        full = path if path.startswith(("/api/", "/oauth2/")) else API + path
        what = what or f"cannot {'read' if method == 'GET' else method.lower()} {full}"
        name = bucket(method, urlsplit(full).path)
        for attempt in range(1, REFUSED_ATTEMPTS + 1):
            self._pacer.enter(name, what)
            try:
                response = self._once(method, full, body, params, accept)
                self._pacer.note(name, response)
            except httpx2.HTTPError as error:
                self._again_or_raise(error, method, what, attempt)
                continue
            finally:
                self._pacer.leave(name)
            if response.is_success:
                return what, response
            if attempt == REFUSED_ATTEMPTS or not may_repeat(method, response):
                break
            if (
                response.status_code != httpx2.codes.TOO_MANY_REQUESTS
                or is_concurrency(response)
                or "x-rate-limit-reset" not in response.headers
            ):
                self._back_off(attempt)
        raise translate.failure(response, what, mutation=method != "GET")

    def _once(
        self, method: str, full: str, body: Any, params: Params | None, accept: str
    ) -> httpx2.Response:
        with self._slots:
            return self._http.request(
                method,
                self.url + full,
                params=dict(params) if params else None,
                json=body,
                headers={"accept": accept} if accept else None,
            )

    def _again_or_raise(
        self, error: httpx2.HTTPError, method: str, what: str, attempt: int
    ) -> None:
        sent = not isinstance(error, _NOT_SENT)
        if attempt >= LOST_ATTEMPTS or (sent and method != "GET"):
            maybe_done = sent and method != "GET"
            raise translate.not_reached(error, what, self.url, maybe_done=maybe_done) from error
        self._back_off(attempt)

    def _back_off(self, attempt: int) -> None:
        longest = min(LONGEST_BACKOFF, 0.5 * 2**attempt)
        self.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret


def may_repeat(method: str, response: httpx2.Response) -> bool:
    """Whether Okta said that it did nothing for now. A bare 503 to a POST may hide that it was done."""
    status = response.status_code
    if status in (httpx2.codes.BAD_GATEWAY, httpx2.codes.GATEWAY_TIMEOUT):
        return method == "GET"
    if status == httpx2.codes.SERVICE_UNAVAILABLE:
        return method != "POST" or bool(translate.Complaint.of(response).code)
    if status == httpx2.codes.LOCKED:
        return translate.Complaint.of(response).code == translate.RECONCILING
    return status == httpx2.codes.TOO_MANY_REQUESTS


def next_page(response: httpx2.Response) -> str | None:
    """Path and query of the next page; the host is always ours, so a token never goes elsewhere."""
    for line in response.headers.get_list("link"):
        for link in line.split(", <"):
            target, _, rest = link.strip().removeprefix("<").partition(">")
            if 'rel="next"' in rest:
                parts = urlsplit(target)
                return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return None


def _parsed(response: httpx2.Response, what: str, *, mutation: bool) -> Any:
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise translate.not_json(response, what, mutation=mutation) from error


def _broken_list(what: str, why: str) -> OstiaryError:
    return Unreachable(
        what, why=f"incomplete list: {why}", fix="run the same command again; nothing was deleted"
    )
