"""The audit of a project as its control plane gives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec

from ostiary.doors.servers.client.control_api import Control, refusal_in
from ostiary.doors.servers.client.refusals import refused
from ostiary.doors.servers.wire.admin import AuditRow, Checkpoint, Checkpoints, Project
from ostiary.doors.servers.wire.paths import project_path
from ostiary.errors import Throttled, Unreachable
from ostiary.pki import ssh_key
from ostiary.pki.ssh_key import PublicKey

T = TypeVar("T")
_TRIES, _WAIT = 20, 1.0  # seconds: the control plane lets in again after some of them


class _Rows(msgspec.Struct):
    """``wire.admin.AuditRows``, read without its bound on a text: a row about many rules is a long one."""

    v: int
    rows: list[AuditRow]


class ControlSource:
    """Satisfies ``export.Source``. ``authorities`` are the keys that sign checkpoints, also retired ones."""

    def __init__(self, control: Control, project: str) -> None:
        self._control = control
        self._path = project_path(project)
        self.project = control.call("GET", self._path, kind=Project)
        self.project_id = self.project.id

    @property
    def authorities(self) -> tuple[PublicKey, ...]:
        known = self.project.authorities
        return tuple(ssh_key.parse(one.public_key) for one in known if one.use == "host")

    def rows(self, after: int) -> Sequence[AuditRow]:
        return _patiently(lambda: self._rows(f"{self._path}/audit?after={after}"))

    def checkpoints(self, after: int) -> Sequence[Checkpoint]:
        path = f"{self._path}/checkpoints?after={after}"
        return _patiently(lambda: self._control.call("GET", path, kind=Checkpoints).checkpoints)

    def _rows(self, path: str) -> Sequence[AuditRow]:
        status, body = self._control.exchange("GET", path, b"")
        if status >= HTTPStatus.BAD_REQUEST:
            what = f"cannot read the audit of project {self.project.name}"
            raise refused(what, status, refusal_in(status, body, self._control.url))
        try:
            return msgspec.json.decode(body, type=_Rows).rows
        except msgspec.DecodeError as wrong:
            raise Unreachable(
                f"cannot read the audit of {self.project.name}",
                why=str(wrong),
                fix="see that the URL is that of ostiary serve, of this version",
                code="bad-answer",
            ) from wrong


def _patiently(ask: Callable[[], T]) -> T:
    """A long audit is many questions: where they are too many at once, wait and go on."""
    for _ in range(_TRIES):
        try:
            return ask()
        except Throttled:
            time.sleep(_WAIT)
    return ask()
