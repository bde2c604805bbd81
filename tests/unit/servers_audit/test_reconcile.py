"""Whatever a host let in that the audit does not stand for is found, and nothing else is."""

import gzip
import json
from datetime import UTC, datetime

import pytest
from audit_files import NOW, rows_of, write

from ostiary.cli import run
from ostiary.doors.servers.audit import kms_events
from ostiary.doors.servers.audit.reconcile import Books
from ostiary.errors import NotFound, UsageError

WEB, DB = "srv_web", "srv_db"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"


def issued(serial, server=WEB, login="ada", at=0.0, authority="ca_1"):
    return (
        "certificate.issued",
        {
            "serial": str(serial),
            "principal": f"{login}@{server}",
            "server": server,
            "valid_after": NOW + at - 60,
            "valid_before": NOW + at + 120,
            "authority": authority,
        },
    )


def slip(serial, server=WEB, login="ada", at=0.0):
    return "break-glass.signed", issued(serial, server, login, at, "ca_glass")[1]


def met(serial, server=WEB, *, login="ada", at=5.0, outcome="accepted", source="203.0.113.7"):
    body = {"serial": str(serial), "server": server, "login": login, "time": NOW + at}
    return "certificate.met", body | {"source": source, "outcome": outcome}


def reconciled(*rows):
    books = Books()
    for row in rows_of(rows):
        books.take(row)
    return books.reconciled()


def kinds(*rows):
    return [(one.kind, one.serial) for one in reconciled(*rows).findings]


def test_logins_that_a_host_could_not_write_down_are_a_finding():
    """One row for however many; the row says how many. Whether each had its certificate, nobody can tell."""
    lost = met("", login="", outcome="untold", source="12 logins were not written down")
    found = reconciled(issued(1), met(1), lost, lost)
    assert (found.met, dict(found.outcomes)) == (1, {"accepted": 1, "untold": 1})
    (hole,) = found.findings
    assert hole.kind == "not-written"
    assert hole.text.startswith(f"on {WEB}, since ")
    assert hole.text.endswith(": 12 logins were not written down")


def test_what_was_issued_and_met_once_is_no_finding():
    found = reconciled(
        issued(1),
        issued(2, DB),
        issued(3),
        met(1),
        met(2, DB, at=119),
        met(1, at=600, outcome="closed"),
        met(1, at=7, outcome="replayed"),
        met(1, at=8, outcome="refused"),
    )
    assert found.findings == []
    assert (found.certificates, found.met) == (3, 2)
    assert found.outcomes == {"accepted": 2, "closed": 1, "replayed": 1, "refused": 1}


def test_an_event_told_twice_is_one():
    assert kinds(issued(1), met(1), met(1), met(1, at=600, outcome="closed")) == []


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("never-issued", [met(1)]),
        ("never-issued", [issued(2), met(1)]),
        ("twice", [issued(1), met(1), met(1, at=6)]),
        ("twice", [issued(1), met(1), met(1, source="198.51.100.9")]),
        ("other-server", [issued(1), met(1, DB)]),
        ("other-login", [issued(1), met(1, login="root")]),
        ("outside-validity", [issued(1), met(1, at=181)]),
        ("outside-validity", [issued(1), met(1, at=-121)]),
        ("outside-validity", [issued(1), met(1, at=1e30)]),
        ("signed-twice", [issued(1), issued(1)]),
        ("signed-twice", [issued(1), slip(1)]),
        ("no-slip", [met(1, outcome="break-glass")]),
        ("other-server", [slip(1), met(1, DB, outcome="break-glass")]),
        ("outside-validity", [slip(1), met(1, at=181, outcome="break-glass")]),
    ],
)
def test_what_nothing_stands_for_is_found(kind, rows):
    assert kinds(*rows) == [(kind, "1")]


def test_a_finding_is_one_line_whatever_the_host_said():
    (found,) = reconciled(met(1, login="ada\nnever", source="x\r\n\x1b[31m")).findings
    assert found.text.startswith("ada?never on srv_web from x???[31m at ")


def test_accepted_by_two_servers_is_told_wholly():
    rows = (issued(1), met(1), met(1, DB, at=6))
    assert sorted(kinds(*rows)) == [("other-server", "1"), ("twice", "1")]


def test_break_glass_may_come_before_its_slip_and_enter_twice():
    rows = (
        met(1, outcome="break-glass"),
        met(1, at=9, outcome="break-glass"),
        slip(1),
        met(2),
        issued(2),
    )
    found = reconciled(*rows)
    assert (found.findings, found.slips, found.certificates) == ([], 1, 1)


def record(n, at, name="Sign", key=KEY, **more):
    time = datetime.fromtimestamp(NOW + at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "eventID": f"e{n}",
        "eventTime": time,
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "userIdentity": {"arn": "arn:aws:sts::111122223333:assumed-role/control/i-1"},
        "requestParameters": {"keyId": key, "signingAlgorithm": "ECDSA_SHA_256"},
        "resources": [{"ARN": key, "accountId": "111122223333", "type": "AWS::KMS::Key"}],
    } | more


def kms_rows(count, step=60.0):
    """An authority in KMS and certificates by it, one each ``step`` seconds."""
    made = ("authority.created", {"authority": "ca_1", "use": "user", "kms_key": KEY})
    return [made, *(issued(n, at=n * step) for n in range(1, count))]


@pytest.fixture
def judged(tmp_path):
    def judged(rows, records, until=NOW + 1e6):
        books = Books()
        for row in rows_of(rows, step=60.0):
            books.take(row)
        (tmp_path / "trail.json").write_text(json.dumps({"Records": records}))
        return kms_events.unmatched(books, kms_events.read([tmp_path / "trail.json"]), until)

    return judged


def trail(count):
    edges = [record("first", -600, "GetPublicKey"), record("last", count * 60 + 600, "DescribeKey")]
    return [*edges, *(record(n, n * 60 - 1) for n in range(1, count))]


def test_every_signature_with_its_row_is_no_finding(judged):
    assert judged(kms_rows(10), trail(10)) == []


def test_the_signature_that_a_new_authority_shows_is_no_finding_and_a_second_is(judged):
    assert judged(kms_rows(10), [*trail(10), record("trial", -1)]) == []
    found = judged(kms_rows(10), [*trail(10), record("trial", -1), record("rogue", -5)])
    assert [one.kind for one in found] == ["signature-without-row"]


def test_a_signature_that_is_no_row_is_named(judged):
    found = judged(kms_rows(10), [*trail(10), record("rogue", 330)])
    assert [one.kind for one in found] == ["signature-without-row"]
    assert "(erogue)" in found[0].text
    assert "assumed-role/control" in found[0].text


def test_a_row_that_is_no_signature_is_counted(judged):
    found = judged(kms_rows(10), [one for one in trail(10) if one["eventID"] not in ("e4", "e5")])
    assert [one.kind for one in found] == ["row-without-signature"]
    assert found[0].text.startswith("2 certificates by ca_1")


def test_what_is_no_signature_by_our_key_is_left_out(judged):
    others = [
        record("failed", 330, errorCode="AccessDenied"),
        record("verify", 330, "Verify"),
        record("elsewhere", 330, key=KEY.replace("1111", "9999")),
        record(3, 179),  # a file that overlaps another tells an event twice
        record("s3", 330, eventSource="s3.amazonaws.com"),
    ]
    assert judged(kms_rows(10), [*trail(10), *others]) == []


def test_a_host_authority_signs_what_is_no_certificate_of_people(judged):
    rows = kms_rows(10)
    host = {"authority": "ca_2", "use": "host", "kms_key": KEY.replace("1111", "9999")}
    rows.append(("authority.created", host))
    assert judged(rows, [*trail(10), record("checkpoint", 330, key=host["kms_key"])]) == []


def test_what_was_signed_after_the_audit_was_read_has_no_row_yet(judged):
    late = record("late", 900)
    assert judged(kms_rows(10), [*trail(10), late], until=NOW + 905) == []
    assert len(judged(kms_rows(10), [*trail(10), late], until=NOW + 1000)) == 1


def test_rows_beyond_the_files_are_not_judged(judged):
    few = [record(n, n * 60 - 1) for n in range(3, 6)]
    assert judged(kms_rows(10), few) == []


def test_files_of_cloudtrail_are_read_in_each_form(tmp_path):
    logged = json.dumps({"Records": [record(1, 0)]}).encode()
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(logged))
    looked_up = {"Events": [{"CloudTrailEvent": json.dumps(record(2, 1))}]}
    (tmp_path / "b.json").write_text(json.dumps(looked_up))
    read = kms_events.read([tmp_path / "a.json.gz", tmp_path / "b.json"])
    assert [one.id for one in read.signatures] == ["e1", "e2"]
    assert read.signatures[0].key == KEY
    for text in ("", "[]", '{"Records": 1}', '{"Records": []}', '{"Events": [{}]}', "{}"):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(UsageError):
            kms_events.read([tmp_path / "c.json"])
    (tmp_path / "d.gz").write_bytes(b"no gzip")
    with pytest.raises(UsageError):
        kms_events.read([tmp_path / "d.gz"])
    with pytest.raises(NotFound):
        kms_events.read([tmp_path / "none"])


def test_the_command_exits_by_what_it_found(tmp_path, capsys):
    file = write(tmp_path / "a.jsonl", rows_of([issued(1), met(1)]))
    assert run(["audit", "reconcile", str(file)]) == 0
    assert "1 certificate issued, 0 slips" in capsys.readouterr().out
    write(file, rows_of([issued(1), met(1), met(7)]))
    assert run(["audit", "reconcile", str(file)]) == 12
    told = capsys.readouterr()
    assert "error: 1 finding in the audit of a.jsonl" in told.err
    assert "why: never-issued: ada on srv_web from 203.0.113.7 at 2027-01-15" in told.err
    assert run(["audit", "reconcile", str(file), "--json"]) == 12
    assert json.loads(capsys.readouterr().out)["findings"][0]["serial"] == "7"
    (tmp_path / "trail.json").write_text(json.dumps({"Records": [record(1, 0)]}))
    write(file, rows_of([issued(1), met(1)]))
    assert run(["audit", "reconcile", str(file), "--kms-events", str(tmp_path / "trail.json")]) == 0


def test_an_audit_that_is_not_whole_is_not_reconciled(tmp_path, capsys):
    rows = rows_of([issued(1), met(1), met(7)])
    for broken in (rows[:1] + rows[2:], rows[1:]):
        file = write(tmp_path / "a.jsonl", broken)
        assert run(["audit", "reconcile", str(file)]) == 11
        assert "is not whole from its first row on" in capsys.readouterr().err
    assert run(["audit", "reconcile"]) == 2
    assert run(["audit", "reconcile", str(file), "--project", "prod"]) == 2
