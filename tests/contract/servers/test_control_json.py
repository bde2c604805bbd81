"""What is JSON and what is not, by a suite that we did not write.

``json_test_suite.tar.xz`` is test_parsing/ of github.com/nst/JSONTestSuite at 1ef36fa, with its licence (MIT): a body that
begins with y_ is JSON, one with n_ is none, and of i_ each reader decides.
"""

import json
import tarfile
from pathlib import Path

import pytest

from ostiary.doors.servers.wire.admin import ProjectWanted
from ostiary.doors.servers.wire.message import InvalidMessage, decode

SUITE = Path(__file__).with_name("json_test_suite.tar.xz")


def bodies():
    with tarfile.open(SUITE) as suite:
        files = [one for one in suite.getmembers() if one.name.endswith(".json")]
        return {Path(one.name).stem: suite.extractfile(one).read() for one in files}


BODIES = bodies()


def test_it_is_whole():
    kinds = [name[:2] for name in BODIES]
    assert {kind: kinds.count(kind) for kind in kinds} == {"y_": 95, "n_": 188, "i_": 35}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_json_is_read_and_nothing_else(name):
    with pytest.raises(InvalidMessage) as wrong:
        decode(ProjectWanted, BODIES[name])
    if name.startswith("y_"):
        assert str(wrong.value) == "not a message of version 1"
    if name.startswith("n_"):
        assert str(wrong.value) == "not JSON"


def test_each_is_a_400_and_what_serves_goes_on(both):
    both.project()
    by = both.admin()
    for name, body in BODIES.items():
        headers = by.headers("PUT", "/v1/projects/prod", body)
        status, _, answer = by.raw("PUT", "/v1/projects/prod", body, headers)
        assert (status, json.loads(answer)["code"]) == (400, "bad-message"), name
    assert both.person("ada@acme.example").session.login == "ada"
