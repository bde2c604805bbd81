"""One request of the API, and the function that answers it: what ``app.py`` makes routes of.

A room of its own gives a list of these to ``app.build``; it needs nothing else of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ostiary.doors.servers.control.host_proof import Proof
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.sessions import Caller

NOBODY, PERSON, HOST = "nobody", "person", "host"  # who must have proven who they are


@dataclass(slots=True)
class Call:
    """A request: ``target`` is the path with its query, ``address`` the client's.

    What is learnt on its way to the answer is added: ``message``, what ``Endpoint.takes`` decoded; ``caller`` of a PERSON's and
    ``proof`` of a HOST's, when they were checked.
    """

    method: str
    target: str
    address: str
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    message: Any = None
    caller: Caller | None = None
    proof: Proof | None = None

    @property
    def who(self) -> Caller:
        """The caller of an endpoint for PERSON."""
        assert self.caller is not None, "app.py has authenticated"
        return self.caller

    @property
    def host(self) -> Proof:
        """The proof of an endpoint for HOST."""
        assert self.proof is not None, "app.py has authenticated"
        return self.proof


@dataclass(frozen=True, slots=True)
class Wait:
    """No news yet: the request is held until ``project_id`` moves on from ``generation``, or ``seconds`` have passed."""

    project_id: str
    generation: int
    seconds: float


# A message to answer with (200), None (204), or Wait (asked again after news; 304 in the end).
Answer = Callable[[Services, Call], Any]
# The same for several calls at once: an answer for each, or the exception that it ends with (``line.Apart`` among them).
Together = Callable[[Services, Sequence[Call]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``path`` as Starlette writes it (``/v1/projects/{name}``); ``takes`` is the message that the body must be.

    ``quick`` is for NOBODY's alone, and waits for nothing: it is answered without a thread. ``far`` may wait for somebody
    elsewhere, for whoever asks: it has few threads of its own, so that all others are answered meanwhile. ``alien`` is the
    same where that somebody is one whom owners of projects name, and it has other threads than ``far``. ``repeats`` is for what
    may be asked again with one proof: who does so, and is not who made it, gets nothing that they could use.
    """

    method: str
    path: str
    answer: Answer
    who: str = PERSON
    takes: type[Any] | None = None
    quick: bool = False
    far: bool = False
    alien: bool = False
    together: Together | None = None
    repeats: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether a person's proof is good for more than one request."""
        return self.repeats or self.method == "GET"
