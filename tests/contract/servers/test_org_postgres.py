"""The readers of the org on PostgreSQL: what they keep, their place, and that two of them never work at once."""

import pytest
from org import make_org
from sqlalchemy import select

from ostiary.doors.servers.control.lease import Lease
from ostiary.doors.servers.control.okta_log import DUTY
from ostiary.doors.servers.control.tables import METADATA, cursors
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import LeaseHeld


@pytest.fixture
def org(postgres):
    METADATA.create_all(postgres.engine)
    writer = Writer(postgres)
    org = make_org(postgres, writer)
    org.known("ann", "ben")
    org.round()
    yield org
    org.log.close()
    writer.close()
    METADATA.drop_all(postgres.engine)


def test_who_is_put_out_is_so_and_the_place_is_kept(org):
    org.lifecycle("ann", "deactivate")
    org.member("ben", "sre", inside=True)
    org.round()
    assert not org.person("ann").active
    assert org.person("ben").groups == ("Everyone", "platform", "sre")
    with org.database.reading() as connection:
        row = connection.execute(select(cursors)).one()
    assert (row.org, row.read) == ("acme.okta.com", org.world.clock.now())
    assert "after=" in row.next


def test_a_second_reader_waits_and_the_first_cannot_write_after_it_took_over(org):
    other = Lease(org.database, DUTY)
    assert not other.hold()
    org.lease.release()
    assert other.hold()
    org.lifecycle("ann", "deactivate")
    with pytest.raises(LeaseHeld):
        org.log(org.lease)
    assert org.person("ann").active
    org.log(other)
    assert not org.person("ann").active
