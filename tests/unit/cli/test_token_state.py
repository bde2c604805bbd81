"""What ``servers token list`` says of a token."""

import pytest

from ostiary.cli.servers_token import state
from ostiary.doors.servers.wire.admin import Token

SHOWN = {
    "good": {},
    "expired": {"expires": 100.0},
    "used up": {"uses_left": 0},
    "revoked": {"revoked": True, "uses_left": 0, "expires": 100.0},
}


@pytest.mark.parametrize("shown", SHOWN)
def test_state(shown):
    values = {"uses_left": 1, "expires": 101.0, "revoked": False, **SHOWN[shown]}
    assert state(Token(id="tok_1", created=0.0, **values), 100.0) == shown
