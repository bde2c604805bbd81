"""What each call of the control plane's API is for, in the words of who asks: an error says that, not method and path.

Read only when something failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

PURPOSES = (
    ("GET /healthz", "see whether the control plane answers"),
    ("GET /v1/status", "read the state of the control plane"),
    ("GET /v1/sign-in", "ask how to sign in"),
    ("POST /v1/sign-in", "sign in"),
    ("POST /v1/machines/sign-in", "sign in as machine {message.name}"),
    ("POST /v1/sign-out", "sign out"),
    ("GET /v1/servers", "list the servers that you may enter"),
    ("POST /v1/certificates", "get a certificate for {message.server}"),
    ("GET /v1/projects", "list the projects"),
    ("POST /v1/projects", "create project {message.name}"),
    ("GET /v1/projects/{}", "read project {}"),
    ("PUT /v1/projects/{}", "change project {}"),
    ("DELETE /v1/projects/{}", "delete project {}"),
    ("GET /v1/projects/{}/tokens", "list the enrollment tokens of project {}"),
    ("POST /v1/projects/{}/tokens", "create an enrollment token of project {}"),
    ("DELETE /v1/projects/{}/tokens/{}", "revoke enrollment token {1} of project {0}"),
    ("GET /v1/projects/{}/preauthorizations", "list the preauthorizations of project {}"),
    (
        "POST /v1/projects/{}/preauthorizations",
        "make a preauthorization of {message.person} in project {}",
    ),
    (
        "DELETE /v1/projects/{}/preauthorizations/{}",
        "revoke preauthorization {1} of project {0}",
    ),
    ("GET /v1/projects/{}/servers", "list the servers of project {}"),
    (
        "POST /v1/projects/{}/authorities",
        "rotate the {message.use} authority of project {}, step {message.step}",
    ),
    ("GET /v1/projects/{}/audit", "read the audit of project {}"),
    ("GET /v1/projects/{}/checkpoints", "read the checkpoints of the audit of project {}"),
    ("POST /v1/projects/{}/slips", "hand in a slip of break-glass of project {}"),
    ("POST /v1/servers/{}/retire", "retire server {}"),
    ("POST /v1/servers/{}/release", "release server {}"),
    ("GET /v1/devices", "list the devices"),
    ("DELETE /v1/devices/{}", "revoke device {}"),
)


def purpose(method: str, path: str, message: Any = None) -> str:
    """``create project prod``; method and path themselves for a call that nobody has words for."""
    asked = [method, *path.partition("?")[0].split("/")]
    for call, text in PURPOSES:
        names = _names(call, asked)
        if names is not None and (message is not None or "{message" not in text):
            return text.format(*names, message=message)
    return f"{method} {path}"


def _names(call: str, asked: Sequence[str]) -> list[str] | None:
    """What stands at the places of ``{}``; None when it is another call."""
    method, _, path = call.partition(" ")
    known = [method, *path.split("/")]
    if len(known) != len(asked):
        return None
    pairs = list(zip(known, asked, strict=True))
    if any(one not in ("{}", other) for one, other in pairs):
        return None
    return [unquote(other) for one, other in pairs if one == "{}"]
