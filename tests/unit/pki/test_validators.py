"""Hostile requests: each is refused for its own reason, and what passes is what ssh-keygen then shows."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from ssh_world import FIDO, PLAIN, ssh_keygen

from ostiary.errors import OstiaryError
from ostiary.pki import option_validators, ssh_certificate, ssh_key, ssh_option, validators
from ostiary.pki.judgement import Request, first_refusal
from ostiary.pki.ssh_certificate import FOREVER, HOST, USER, Certificate
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_option import flag, valued
from ostiary.pki.ssh_wire import mpint, string

NOW, SERVER = 1_800_000_000, "srv_k3x9"
USER_JUDGES = validators.for_user(["acme.example"])
HOST_JUDGES = validators.for_host(["web1", "web1.acme.example"])


@pytest.fixture
def asked(keys):
    return Certificate(
        keys.public("ssh-ed25519"),
        "ada@acme.example from laptop",
        (f"ada@{SERVER}",),
        serial=1,
        valid_after=NOW - 60,
        valid_before=NOW + 120,
        extensions=(valued("device@acme.example", '{"id":"dev_1"}'), flag("permit-pty")),
    )


def refused_by(certificate, judges=USER_JUDGES, server=SERVER):
    refusal = first_refusal(judges, Request(certificate, server, NOW))
    return refusal and refusal.code


def test_what_is_right_passes(asked, keys):
    assert refused_by(asked) is None
    for kind in (*PLAIN, *FIDO):
        assert refused_by(replace(asked, key=keys.public(kind))) is None
    exact = replace(asked, valid_after=NOW, valid_before=NOW + 180, serial=(1 << 63) - 1)
    assert refused_by(exact) is None
    limited = (valued("force-command", "exit 1"), valued("source-address", "10.0.0.0/8,::1/128"))
    assert refused_by(replace(asked, critical_options=limited)) is None
    sk = replace(asked, key=keys.public(FIDO[0]), critical_options=(flag("verify-required"),))
    assert refused_by(sk) is None


PRINCIPALS = [
    (),
    ("",),
    ("*",),
    ("ada",),
    ("ada@*",),
    ("*@srv_k3x9",),
    ("ada@srv_other",),
    ("ada@srv_k3x9", "ada@srv_k3x9"),
    ("ada@srv_k3x9", "root"),
    ("deploy,root",),
    ("ada,root@srv_k3x9",),
    ("root@srv_k3x9",),
    ("daemon@srv_k3x9",),
    ("ec2-user@srv_k3x9",),
    ("ALL@srv_k3x9",),
    ("Root@srv_k3x9",),
    ("0@srv_k3x9",),
    ("1000@srv_k3x9",),
    ("#0@srv_k3x9",),
    ("%wheel@srv_k3x9",),
    ("-x@srv_k3x9",),
    (".@srv_k3x9",),
    ("../../etc/x@srv_k3x9",),
    ("a/b@srv_k3x9",),
    ("a;b@srv_k3x9",),
    ("$(id)@srv_k3x9",),
    ("a b@srv_k3x9",),
    ("a:b@srv_k3x9",),
    ("ünï@srv_k3x9",),
    ("ada\n@srv_k3x9",),
    ("ada@srv_k3x9\n",),
    ("ada@srv_k3x9\0",),
    ("ada\0@srv_k3x9",),
    ("ada\0root@srv_k3x9",),
    ("ada@srv_k3x9@srv_k3x9",),
    ("@srv_k3x9",),
    ("ada@",),
    ("a" * 33 + "@srv_k3x9",),
    ("a" * 300 + "@srv_k3x9",),
    ("\udcffada@srv_k3x9",),
    ("ada@srv_k3x9\N{ZERO WIDTH SPACE}",),
]


@pytest.mark.parametrize("principals", PRINCIPALS, ids=repr)
def test_a_hostile_principal_is_refused(asked, principals):
    assert refused_by(replace(asked, principals=principals)) == "principals"


@pytest.mark.parametrize("server", ["", "*", "a,b", "a b", "-x", "srv\0", "srv\n", "a" * 65])
def test_a_hostile_server_id_is_refused_even_when_the_principal_agrees(asked, server):
    named = replace(asked, principals=(f"ada@{server}",))
    assert refused_by(named, server=server) == "principals"
    host = replace(asked, kind=HOST, principals=(server,), extensions=())
    assert refused_by(host, HOST_JUDGES, server) == "principals"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (-60, 121),
        (0, 181),
        (-61, 60),
        (1, 60),
        (0, 0),
        (-60, 0),
        (-120, -60),
        (60, 0),
        (-60, FOREVER - NOW),
        (-NOW, FOREVER - NOW),
        (-NOW, 60),
    ],
)
def test_a_window_that_is_not_of_now_is_refused(asked, start, end):
    wrong = replace(asked, valid_after=NOW + start, valid_before=NOW + end)
    assert refused_by(wrong) == "validity"


@pytest.mark.parametrize("serial", [0, -1, 1 << 63, FOREVER])
def test_a_serial_beyond_63_bits_or_none_is_refused(asked, serial):
    assert refused_by(replace(asked, serial=serial)) == "serial"


@pytest.mark.parametrize(
    "key_id",
    [
        "",
        "a\nb",
        "a\rb",
        "a\0b",
        "a\tb",
        "a\x1b[2Jb",
        "a\x7fb",
        "a\x9bb",
        "\u202egnp.exe",
        "\u2028",
        "\udc80",
        "a" * 1025,
    ],
    ids=repr,
)
def test_a_key_id_that_could_forge_a_log_line_is_refused(asked, key_id):
    assert refused_by(replace(asked, key_id=key_id)) == "key-id"


def _rsa(bits: int, exponent: int = 65537) -> PublicKey:
    return ssh_key.of(rsa.generate_private_key(exponent, bits).public_key())


def test_weak_and_strange_keys_are_refused(asked):
    assert refused_by(replace(asked, key=_rsa(1024))) == "key"
    assert refused_by(replace(asked, key=_rsa(2048, 3))) == "key"
    assert refused_by(replace(asked, key=PublicKey("ssh-dss", b""))) == "key"
    assert refused_by(replace(asked, key=PublicKey("ssh-rsa-cert-v01@openssh.com", b""))) == "key"


def test_what_is_no_plain_key_is_refused_when_it_is_read(asked, keys):
    """DSA, a certificate as key, a key nested in a key: none gets as far as the judges."""
    certificate = ssh_certificate.sign(asked, keys.signer("ssh-ed25519"))
    dsa = string(b"ssh-dss") + mpint(7) + mpint(3) + mpint(2) + mpint(4)
    nested = string(b"ssh-ed25519") + string(keys.public("ssh-ed25519").blob)
    for blob in (dsa, ssh_certificate.encode(certificate), nested):
        with pytest.raises(OstiaryError):
            ssh_key.parse(blob)


CRITICAL = [
    (flag("permit-pty"),),
    (flag("x@acme.example"),),
    (flag("force-command"),),
    (valued("force-command", ""),),
    (valued("force-command", "a\nb"),),
    (valued("force-command", "a\0b"),),
    (valued("force-command", "a" * 1025),),
    (("force-command", string(b"a") + b"b"),),
    (("force-command", b"\0\0\0\5ab"),),
    (valued("force-command", "a"), valued("force-command", "b")),
    (valued("source-address", ""),),
    (valued("source-address", "10.0.0.1"),),
    (valued("source-address", "10.0.0.1/8"),),
    (valued("source-address", "10.0.0.0/8,"),),
    (valued("source-address", "10.0.0.0/8, 10.1.0.0/16"),),
    (valued("source-address", "10.0.0.0/255.0.0.0"),),
    (valued("source-address", "010.0.0.0/8"),),
    (valued("source-address", "!10.0.0.0/8"),),
    (valued("source-address", "2001:DB8::/32"),),
    (valued("source-address", "fe80::1%eth0/128"),),
    (valued("source-address", "example.com"),),
    (valued("source-address", "*"),),
    (flag("verify-required"),),
    (valued("verify-required", "x"),),
]


@pytest.mark.parametrize("options", CRITICAL, ids=repr)
def test_a_hostile_critical_option_is_refused(asked, options):
    assert refused_by(replace(asked, critical_options=options)) == "critical-options"


EXTENSIONS = [
    (flag("permit-user-rc"),),
    (flag("permit-everything"),),
    (valued("permit-pty", "x"),),
    (flag("permit-pty"), flag("permit-pty")),
    (flag("no-touch-required"),),
    (valued("force-command", "x"),),
    (valued("device@other.example", "x"),),
    (valued("device@evil-acme.example", "x"),),
    (valued("DEVICE@acme.example", "x"),),
    (valued("a b@acme.example", "x"),),
    (valued("a\n@acme.example", "x"),),
    (flag("device@acme.example"),),
    (valued("device@acme.example", "a\nb"),),
    (("device@acme.example", b"raw"),),
    (valued("device@acme.example", "a" * 1025),),
]


@pytest.mark.parametrize("options", EXTENSIONS, ids=repr)
def test_a_hostile_extension_is_refused(asked, options):
    assert refused_by(replace(asked, extensions=options)) == "extensions"


def test_flags_of_fido_keys_are_for_fido_keys(asked, keys):
    untouched = replace(asked, key=keys.public(FIDO[1]), extensions=(flag("no-touch-required"),))
    assert refused_by(untouched) is None
    valued_flag = replace(untouched, critical_options=(valued("verify-required", "x"),))
    assert refused_by(valued_flag) == "critical-options"


def test_kinds_do_not_pass_for_each_other(asked):
    assert refused_by(replace(asked, kind=HOST)) == "kind"
    assert refused_by(asked, HOST_JUDGES) == "kind"


def test_host_certificates_name_the_server_they_are_of(asked):
    good = replace(
        asked,
        kind=HOST,
        principals=(SERVER, "web1", "web1.acme.example"),
        valid_before=NOW + 7 * 86400,
        extensions=(),
    )
    assert refused_by(good, HOST_JUDGES) is None
    for principals in (
        (),
        ("web1",),
        ("web1", SERVER),
        (SERVER, "web2"),
        (SERVER, "*"),
        (SERVER, "*.acme.example"),
        ("srv_other", "web1"),
        (SERVER, "web1,web2"),
        (SERVER, "web1\0"),
    ):
        assert refused_by(replace(good, principals=principals), HOST_JUDGES) == "principals"
    odd = validators.for_host(["*", "-x", "a..b", "a\n", "a" * 64, "A"])
    for name in ("*", "-x", "a..b", "a\n", "a" * 64, "A"):
        assert refused_by(replace(good, principals=(SERVER, name)), odd) == "principals"
    forced = replace(good, critical_options=(valued("force-command", "x"),))
    assert refused_by(forced, HOST_JUDGES) == "critical-options"
    assert refused_by(replace(good, extensions=(flag("permit-pty"),)), HOST_JUDGES) == "extensions"
    long = replace(good, valid_before=NOW + 30 * 86400 + 1)
    assert refused_by(long, HOST_JUDGES) == "validity"


def test_ssh_keygen_shows_of_each_issued_certificate_what_was_asked(asked, keys, tmp_path):
    """The judges decide, the authority signs, OpenSSH reads back: nothing more, nothing less."""
    chance = random.Random(7)
    texts, expected = [], []
    for number in range(40):
        kind = chance.choice((*PLAIN, *FIDO))
        flags = chance.sample(sorted(option_validators.USER_FLAGS), chance.randint(0, 4))
        critical = [valued("force-command", "echo hop")] * chance.randint(0, 1)
        critical += [valued("source-address", "10.0.0.0/8")] * chance.randint(0, 1)
        critical += [flag("verify-required")] * (kind in FIDO)
        one = replace(
            asked,
            key=keys.public(kind),
            serial=chance.randrange(1, 1 << 63),
            critical_options=tuple(critical),
            extensions=tuple(map(flag, flags)),
        )
        assert refused_by(one) is None
        made = ssh_certificate.sign(one, keys.signer(chance.choice(PLAIN)))
        texts.append(ssh_certificate.to_text(made, str(number)))
        expected.append(one)
    shown = ssh_keygen("-L", "-f", "-", input="\n".join(texts) + "\n").stdout
    parts = shown.split("(stdin):")[1:]
    assert len(parts) == len(expected)
    for part, one in zip(parts, expected, strict=True):
        lines = [line.strip() for line in part.splitlines()[1:]]
        assert lines[0] == f"Type: {one.type} user certificate"
        assert lines[1].endswith(one.key.fingerprint)
        assert lines[3:5] == [f'Key ID: "{one.key_id}"', f"Serial: {one.serial}"]
        assert lines[5] == "Valid: from 2027-01-15T07:59:00 to 2027-01-15T08:02:00"
        critical = [_shown(option) for option in ssh_option.ordered(one.critical_options)]
        extensions = [_shown(option) for option in ssh_option.ordered(one.extensions)]
        assert lines[6:] == [
            "Principals:",
            *one.principals,
            *(["Critical Options:", *critical] if critical else ["Critical Options: (none)"]),
            *(["Extensions:", *extensions] if extensions else ["Extensions: (none)"]),
        ]
    assert one.kind == USER


def _shown(option):
    name, data = option
    return f"{name} {ssh_option.value_of(option)}" if data else name
