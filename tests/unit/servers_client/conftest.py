from __future__ import annotations

import pytest
from org_peer import Org


@pytest.fixture
def org():
    one = Org()
    yield one
    one.shutdown()
    one.server_close()
