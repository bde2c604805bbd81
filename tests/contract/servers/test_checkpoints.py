"""Checkpoints: what is whole is signed and kept elsewhere; what was done to the database is found; on both databases."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, update

from ostiary.cli import run
from ostiary.doors.servers.audit.checkpoint import read, signed, signer_of
from ostiary.doors.servers.audit.export import export
from ostiary.doors.servers.audit.targets import InFile
from ostiary.doors.servers.audit.verify import verify
from ostiary.doors.servers.control import authorities as kept
from ostiary.doors.servers.control import projects
from ostiary.doors.servers.control.authorities import HOST, Authorities
from ostiary.doors.servers.control.chain import Head
from ostiary.doors.servers.control.checkpoint_places import InFolder, InStore
from ostiary.doors.servers.control.checkpoint_rounds import Rounds, duty
from ostiary.doors.servers.control.checkpoints import Checkpoints
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.export import DatabaseSource
from ostiary.doors.servers.control.lease import Lease
from ostiary.doors.servers.control.tables import METADATA, audit, chains
from ostiary.doors.servers.control.tables import checkpoints as table
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import OstiaryError, ProofFailed
from ostiary.pki import ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.plan.runs import FolderStore
from ostiary.plan.wrap import LocalKeyWrap


class Audits:
    """A database with projects whose chains grow."""

    def __init__(self, address, folder):
        self.database = Database(address)
        METADATA.create_all(self.database.engine)
        self.writer = Writer(self.database)
        self.authorities = Authorities(LocalKeyWrap(folder / "kek"))

    def project(self, name):
        host = self.authorities.make(HOST)

        def work(connection, ledger):
            made = projects.create(connection, ledger, name, uid_start=60001, gid_start=63001)
            kept.keep(connection, ledger, made.id, host)
            return made.id, ssh_key.parse(host.public_key)

        return self.writer.write([], work)

    def grow(self, project_id, count=1):
        def work(_, ledger):
            for n in range(count):
                ledger.append(project_id, "x", {"n": n})

        self.writer.write([project_id], work)

    def signing(self, *places):
        return Checkpoints(self.database, self.writer, self.authorities, time.time, places)

    def put(self, statement):
        with self.database.writing() as connection:
            connection.execute(statement)

    def rows(self, project_id):
        with self.database.reading() as connection:
            query = select(audit).where(audit.c.project_id == project_id)
            return connection.execute(query.order_by(audit.c.number)).all()

    def signed(self, project_id):
        with self.database.reading() as connection:
            query = select(table).where(table.c.project_id == project_id)
            return connection.execute(query.order_by(table.c.number)).all()

    def cut(self, project_id, to):
        """What somebody does who can write to the database and knows it well: no trace is left in it."""
        last = self.rows(project_id)[to - 1]
        for one in (audit, table):
            self.put(delete(one).where(one.c.project_id == project_id, one.c.number > to))
        head = update(chains).where(chains.c.project_id == project_id)
        self.put(head.values(number=to, hash=last.hash))

    def close(self):
        self.writer.close()
        METADATA.drop_all(self.database.engine)
        self.database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def audits(request, tmp_path):
    address = f"sqlite:///{tmp_path}/control.db"
    if request.param == "postgres":
        address = f"postgresql://ostiary@/postgres?host={request.getfixturevalue('cluster')}"
    audits = Audits(address, tmp_path)
    yield audits
    audits.close()


@pytest.fixture
def place(tmp_path):
    return InFolder(tmp_path / "elsewhere")


def elsewhere(tmp_path, project_id):
    return list(read(tmp_path / "elsewhere" / f"{project_id}.checkpoints"))


def test_heads_that_grew_are_signed_once_and_kept_elsewhere(audits, place, tmp_path):
    prod, key = audits.project("prod")
    test, _ = audits.project("test")
    checkpoints = audits.signing(place)
    assert checkpoints.sign() == 2
    assert checkpoints.sign() == 0
    audits.grow(prod)
    assert checkpoints.sign() == 1
    found, last = elsewhere(tmp_path, prod), audits.rows(prod)[-1]
    assert [one.number for one in found] == [2, 3]
    assert (found[1].number, found[1].hash) == (last.number, last.hash)
    assert [signer_of(one) for one in found] == [key, key]
    assert [tuple(vars(one).values()) for one in found] == [tuple(r) for r in audits.signed(prod)]
    assert len(elsewhere(tmp_path, test)) == 1


def test_a_store_keeps_each_once_and_tells_the_last(audits, tmp_path):
    prod, _ = audits.project("prod")
    store = FolderStore(tmp_path / "store")
    for _ in range(3):
        audits.signing(InStore(store)).sign()
        audits.grow(prod)
    assert store.names("") == tuple(f"{prod}/checkpoints/{n:012}" for n in (2, 3, 4))
    assert InStore(store).last(prod).number == 4
    audits.cut(prod, 3)
    audits.grow(prod, 3)
    with pytest.raises(ProofFailed, match="row 4 is not the one that was signed"):
        audits.signing(InStore(store)).sign()
    store.put(f"{prod}/checkpoints/{9:012}", b"x")
    with pytest.raises(ProofFailed, match="it is no checkpoint"):
        audits.signing(InStore(store)).sign()


def test_an_export_reads_the_database_itself(audits, tmp_path, capsys):
    prod, key = audits.project("prod")
    audits.grow(prod, 20)
    audits.signing().sign()
    source = DatabaseSource(audits.database, "prod")
    target = InFile(tmp_path / "a.jsonl")
    assert export(source, target, source.authorities).last == 22
    signed_there = read(tmp_path / "a.jsonl.checkpoints")
    found = verify([tmp_path / "a.jsonl"], signed_there, [key])
    assert (found.whole, found.rows, found.trusted) == (True, 22, True)
    url = audits.database.engine.url.render_as_string()
    url = url.replace("postgresql+psycopg", "postgresql")
    asked = ["audit", "export", "--database", url, "--to", str(tmp_path / "folder")]
    assert run([*asked, "--project", "prod"]) == 0
    assert "rows 1 to 22 of prod" in capsys.readouterr().out
    assert run([*asked, "--project", "none"]) == 5


def test_another_process_keeps_what_one_did_not_and_nothing_twice(audits, place, tmp_path):
    prod, _ = audits.project("prod")
    audits.signing().sign()
    later = audits.signing(place)
    assert [later.sign(), later.sign()] == [0, 0]
    assert len(elsewhere(tmp_path, prod)) == 1


def test_a_place_that_fails_is_told_and_gets_it_the_next_time(audits, place, tmp_path):
    prod, _ = audits.project("prod")
    (tmp_path / "elsewhere").write_text("no folder")
    checkpoints = audits.signing(place)
    with pytest.raises(OstiaryError, match="cannot keep checkpoint 2") as failed:
        checkpoints.sign()
    assert not isinstance(failed.value, ProofFailed)
    (tmp_path / "elsewhere").unlink()
    assert checkpoints.sign() == 0
    assert len(elsewhere(tmp_path, prod)) == 1


def one_row(project_id, number):
    return (audit.c.project_id == project_id) & (audit.c.number == number)


DONE_TO_IT = {
    "changed": lambda id_, n: update(audit).where(one_row(id_, n)).values(body='{"n":7}'),
    "removed": lambda id_, n: delete(audit).where(one_row(id_, n)),
    "renumbered": lambda id_, n: update(audit).where(one_row(id_, n)).values(number=n + 100),
    "last removed": lambda id_, n: delete(audit).where(one_row(id_, n + 2)),
}


@pytest.mark.parametrize("name", DONE_TO_IT)
def test_what_was_done_to_new_rows_is_never_signed(audits, name):
    prod, _ = audits.project("prod")
    checkpoints = audits.signing()
    checkpoints.sign()
    audits.grow(prod, 5)
    audits.put(DONE_TO_IT[name](prod, 5))
    test, _ = audits.project("test")
    for _ in range(2):
        with pytest.raises(ProofFailed, match="is not whole"):
            checkpoints.sign()
    assert len(audits.signed(prod)) == 1
    assert len(audits.signed(test)) == 1, "the other project's is signed all the same"


def test_a_tail_cut_with_its_checkpoints_is_found_by_the_second_place(audits, place):
    prod, _ = audits.project("prod")
    running = audits.signing(place)
    running.sign()
    audits.grow(prod, 5)
    running.sign()
    audits.cut(prod, 4)
    for one in (running, audits.signing(place)):
        with pytest.raises(ProofFailed, match="row 7 is missing, and was signed"):
            one.sign()
    audits.grow(prod, 10)
    for one in (running, audits.signing(place)):
        with pytest.raises(ProofFailed, match="row 7 is not the one that was signed"):
            one.sign()


def test_a_checkpoint_put_into_the_table_by_somebody_else_is_no_start(audits):
    prod, _ = audits.project("prod")
    last = audits.rows(prod)[-1]
    other = LocalSigner(Ed25519PrivateKey.generate())
    forged = signed(other, prod, Head(last.number, last.hash), last.time)
    audits.put(insert(table).values(**vars(forged)))
    with pytest.raises(ProofFailed, match="none of the authorities"):
        audits.signing().sign()


def test_a_project_without_host_authority_is_left_alone(audits):
    audits.writer.write(
        [], lambda c, ledger: projects.create(c, ledger, "p", uid_start=60001, gid_start=63001)
    )
    assert audits.signing().sign() == 0


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_one_process_at_a_time_signs_each_minute_and_at_its_end(audits):
    prod, _ = audits.project("prod")
    clock = Clock()
    leases = [Lease(audits.database, "checkpoints") for _ in range(2)]
    first, second = (Rounds(audits.signing(), one, clock) for one in leases)
    first.work()
    audits.grow(prod)
    for one in (first, second):
        one.work()
    assert len(audits.signed(prod)) == 1, "a minute has not passed, and the duty is the first's"
    clock.now += 60
    first.work()
    assert len(audits.signed(prod)) == 2
    audits.grow(prod)
    second.end()
    assert len(audits.signed(prod)) == 2
    first.end()
    assert len(audits.signed(prod)) == 3
    audits.grow(prod)
    second.work()
    assert len(audits.signed(prod)) == 4, "it has the duty at once"


def test_what_failed_is_told_until_a_round_goes_well(audits):
    prod, _ = audits.project("prod")
    clock = Clock()
    rounds = Rounds(audits.signing(), Lease(audits.database, "checkpoints"), clock)
    body = audits.rows(prod)[0].body
    change = update(audit).where(one_row(prod, 1))
    audits.put(change.values(body="{}"))
    for _ in range(3):
        with pytest.raises(ProofFailed):
            rounds.work()
    audits.put(change.values(body=body))
    with pytest.raises(ProofFailed):
        rounds.work()
    clock.now += 60
    rounds.work()
    assert len(audits.signed(prod)) == 1


def test_the_duty_of_a_process_does_both(audits):
    prod, _ = audits.project("prod")
    made = duty(audits.signing(), audits.database)
    made.work()
    audits.grow(prod)
    made.end()
    assert len(audits.signed(prod)) == 2
