"""The one way to AWS: shared clients, an account's credentials per call, pacing, retries, our errors.

One ``Aws`` stands for one organization as one caller sees it: a profile, a partition, a purpose.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ostiary.aws.clients import Clients
from ostiary.aws.credentials import Credentials, acting_with, credentials_from
from ostiary.aws.pacing import Pacing, full_jitter
from ostiary.aws.reach import Reach, Ways
from ostiary.aws.translate import BOTO_ERRORS, EXPIRED, attempted, translate
from ostiary.errors import Denied, OstiaryError, Throttled, Unreachable
from ostiary.model.partition import PARTITIONS, Partition

RETRY_FOR = 150.0  # seconds of one call with all its retries: outlives a storm of a minute
KNOCKS = 4  # attempts at a network that has never answered: a wrong address, or no way there
MOST_PAGES = 2000
_UNREAD: Mapping[str, Any] = {"": "not read yet"}
_READING = ("get_", "list_", "describe_", "head_", "simulate_", "assume_", "decrypt", "generate_")


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """What ``sts:GetCallerIdentity`` says."""

    account_id: str
    arn: str
    user_id: str


class Aws:
    """AWS as one caller reaches it. Making one does nothing; the first call finds credentials.

    ``clients`` may be shared with another ``Aws`` of the same profile; without, ``profile`` and ``on_client``
    (which sees each new botocore client) make new ones. ``ways`` names the roles to enter members by; ``purpose`` (plan, apply) only names the sessions.
    ``calls`` counts what was sent, retries included: (service, operation, account or ""). Setting
    ``stopping`` ends every wait with ``Interrupted`` and lets no new call start.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        partition: str = "aws",
        region: str | None = None,
        ways: Ways | None = None,
        purpose: str = "plan",
        on_client: Callable[[Any], None] | None = None,
        clients: Clients | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        self.partition: Partition = PARTITIONS[partition]
        self.purpose = purpose
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.reach = Reach(ways or Ways(), self._assume_role)
        self.parents: dict[
            str, str
        ] = {}  # account or OU id -> id of what it lies in, as discovery walked
        self._clients = clients or Clients(profile, on_client)
        self._region = region or self.partition.home_region
        self._pacing = Pacing(stopping or threading.Event())
        self._lock = threading.Lock()
        self._caller_lock = threading.Lock()
        self._caller: CallerIdentity | None = None
        self._organization: Mapping[str, Any] | None = _UNREAD
        self._answered = False

    def client(self, service: str, region: str | None = None) -> Any:
        """The shared botocore client of a service in a region; it signs for the account acted in."""
        return self._clients.client(service, region or self._region)

    @property
    def clients(self) -> Clients:
        """What makes the clients: for the few calls that are signed and sent without one."""
        return self._clients

    def close(self) -> None:
        """Close every connection."""
        self._clients.close()

    def acting_in(self, account_id: str) -> AbstractContextManager[None]:
        """Sign every call of a block for that account; the caller's own account needs no role."""
        return acting_with(self._credentials(account_id))

    def of(self, account_id: str) -> Aws:
        """Itself: one organization is the smallest fleet."""
        del account_id
        return self

    def caller(self) -> CallerIdentity:
        """Who we are before any role is assumed. Raises ``Denied`` for root credentials."""
        with self._caller_lock:
            if self._caller is None:
                answer = self.call("sts", "get_caller_identity")
                self._caller = _not_root(
                    CallerIdentity(answer["Account"], answer["Arn"], answer["UserId"])
                )
            return self._caller

    def organization(self) -> Mapping[str, Any] | None:
        """The caller's organization as DescribeOrganization gives it; {} without one, None when it may not be read."""
        with self._caller_lock:
            if self._organization is _UNREAD:
                self._organization = self._describe_organization()
            return self._organization

    def call(
        self,
        service: str,
        operation: str,
        /,
        *,
        account: str | None = None,
        region: str | None = None,
        repeatable: bool | None = None,
        credentials: Credentials | None = None,
        within: float | None = None,
        **params: Any,
    ) -> Any:
        """One operation (``get_role``) in an account, None for the caller's own; the parsed answer.

        ``credentials`` sign it in place of those of the account. ``within`` seconds it is given up, waiting for a turn
        included; one attempt lasts as long as its client lets it (``Clients(patience=…)``).

        Throttling is retried always. A lost answer or a 5xx is retried for reads and for what is
        ``repeatable`` (a write that gives the same when done twice); else it is raised as
        ``Unreachable(maybe_done=True)``.
        """
        reads = operation.startswith(_READING)
        method = getattr(self.client(service, region), operation)
        deadline = time.monotonic() + (RETRY_FOR if within is None else within)
        until = None if within is None else deadline
        send = partial(method, **params)
        attempt = 0
        while True:
            try:
                return self._once(service, operation, account, credentials, send, until=until)
            except BOTO_ERRORS as error:
                what = attempted(operation, params, account)
                failure = translate(error, what, account=account, writes=not reads)
                again = reads if repeatable is None else repeatable
                wait = full_jitter(attempt)
                if not self._worth_retrying(failure, again, account, attempt) or (
                    time.monotonic() + wait > deadline
                ):
                    raise failure from error
                if isinstance(failure, Throttled):
                    self._pacing.bucket(account or "", service).drain()
            self._pacing.wait(wait)
            attempt += 1

    def pages(
        self,
        service: str,
        operation: str,
        items: str,
        /,
        *,
        account: str | None = None,
        **params: Any,
    ) -> Iterator[Any]:
        """Every item of a listing, page by page. A listing that repeats itself or never ends is an error."""
        for page in self.whole_pages(service, operation, account=account, **params):
            yield from page.get(items, ())

    def whole_pages(
        self, service: str, operation: str, /, *, account: str | None = None, **params: Any
    ) -> Iterator[Mapping[str, Any]]:
        """The pages themselves, for listings with several members."""
        seen: set[str] = set()
        more: dict[str, Any] = {}
        while True:
            page = self.call(service, operation, account=account, **params, **more)
            yield page
            token, following = _following(page)
            if not following:
                return
            if following in seen or len(seen) >= MOST_PAGES:
                raise Unreachable(
                    attempted(operation, params, account),
                    why="its pages repeat or do not end, so the listing is not complete",
                    fix="run the same command again",
                )
            seen.add(following)
            more = {token: following}

    def pause(self, seconds: float) -> None:
        """Wait, unless a stop is asked for (``Interrupted``)."""
        self._pacing.wait(seconds)

    def _once(
        self,
        service: str,
        operation: str,
        account: str | None,
        credentials: Credentials | None,
        send: Callable[[], Any],
        *,
        until: float | None,
    ) -> Any:
        if credentials is None and account:
            credentials = self._credentials(account)
        with self._pacing.turn(account or "", service, until), acting_with(credentials):
            with self._lock:
                self.calls[service, operation, account or ""] += 1
            answer = send()
            self._answered = True
            return answer

    def _worth_retrying(
        self, failure: OstiaryError, again: bool, account: str | None, attempt: int
    ) -> bool:
        if isinstance(failure, Throttled):
            return True
        if isinstance(failure, Unreachable):
            if not self._answered and attempt + 1 >= KNOCKS:
                return False
            return failure.code != "SSLError" and (again or not failure.maybe_done)
        if account and failure.code in EXPIRED and attempt < 3:  # noqa: PLR2004 - then it is no accident
            self.reach.forget(account)
            return True
        return False

    def _credentials(self, account_id: str) -> Credentials | None:
        if account_id == self.caller().account_id:
            return None
        return self.reach.credentials(account_id)

    def _describe_organization(self) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self.call("organizations", "describe_organization")[
                "Organization"
            ]
        except Denied as denied:
            return {} if denied.code == "AWSOrganizationsNotInUseException" else None
        return found

    def _assume_role(self, account_id: str, role: str) -> Credentials:
        external = self.reach.ways.external_id
        params: dict[str, Any] = {"ExternalId": external} if external else {}
        answer = self.call(
            "sts",
            "assume_role",
            RoleArn=self.partition.iam_arn(account_id, f"role/{role}"),
            RoleSessionName=f"ostiary-{self.purpose}",
            DurationSeconds=3600,  # the most that a chained role allows
            **params,
        )
        return credentials_from(answer["Credentials"])


def _following(page: Mapping[str, Any]) -> tuple[str, Any]:
    """How the next page is asked for: the parameter and its value. IAM has markers, KMS its own, the others tokens."""
    if "Truncated" in page:
        return "Marker", page["Truncated"] and page.get("NextMarker")
    token = "Marker" if "IsTruncated" in page else "NextToken"
    return token, page.get(token) if page.get("IsTruncated", True) else None


def _not_root(identity: CallerIdentity) -> CallerIdentity:
    if identity.arn.endswith(":root"):
        raise Denied(
            f"refuse to work with the root user of account {identity.account_id}",
            why="root credentials cannot be limited or audited per person",
            fix="use a role or an IAM user that may assume the roles of the estate",
        )
    return identity
