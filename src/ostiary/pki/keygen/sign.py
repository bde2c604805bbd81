"""``-s``: sign public key files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_certificate, ssh_composite
from ostiary.pki.keygen import files, options, show, talk, validity
from ostiary.pki.keygen.agent import AgentSigner
from ostiary.pki.keygen.arguments import Asked
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_certificate import FOREVER, HOST, MOST_PRINCIPALS, USER, Certificate
from ostiary.pki.ssh_key import CERTIFICATE_TYPES, SK_ECDSA, SK_ED25519, PublicKey
from ostiary.pki.ssh_signature import RSA_HASHES

_SHORT = {
    "rsa": ("ssh-rsa",),
    "ecdsa": tuple(kind for kind in CERTIFICATE_TYPES if kind.startswith("ecdsa-")),
    "ed25519": ("ssh-ed25519",),
    "ecdsa-sk": (SK_ECDSA,),
    "ed25519-sk": (SK_ED25519,),
    "mldsa44-ed25519": (ssh_composite.TYPE,),
}


def sign_files(asked: Asked) -> None:
    """Write ``FILE-cert.pub`` for each file. Raises OstiaryError in ssh-keygen's words; what was written before stays."""
    if asked.key_id is None:
        raise OstiaryError("Must specify key id (-I) when certifying")
    if asked.principals is None:
        talk.say("Warning: certificate will contain no principals (-n)")
    critical, extensions = options.collect(asked.options, host=asked.host)
    signer = _agent_signer(asked) if asked.agent else _local_signer(asked)
    via = " via agent" if asked.agent else ""
    for number, name in enumerate(map(files.expanded, asked.files)):
        subject, comment = _subject(name)
        certificate = Certificate(
            subject,
            asked.key_id,
            _principals(asked.principals),
            kind=HOST if asked.host else USER,
            serial=(asked.serial + number * asked.count_up) & FOREVER,
            valid_after=asked.valid_after,
            valid_before=asked.valid_before,
            critical_options=critical,
            extensions=extensions,
        )
        try:
            signed = ssh_certificate.sign(certificate, signer)
        except OstiaryError as error:
            word = "" if asked.agent else "key "
            raise OstiaryError(f"Couldn't certify {word}{name}{via}", why=error.code) from error
        place = name.removesuffix(".pub") + "-cert.pub"
        files.write(place, ssh_certificate.to_text(signed, comment) + "\n")
        if not asked.quiet:
            talk.say(_done(asked, signed, place))


def _local_signer(asked: Asked) -> LocalSigner:
    key = files.private_key(files.expanded(asked.authority), asked.passphrase)
    _check_type(asked, LocalSigner(key).public_key)
    with _certifying(asked):
        return LocalSigner(key, asked.algorithm)


def _agent_signer(asked: Asked) -> AgentSigner:
    name = files.expanded(asked.authority)
    found = files.public_key(name)
    if found is None or isinstance(found[0], Certificate):
        why = "invalid certificate signing key" if found else "No such file or directory"
        raise OstiaryError(f"Cannot load CA public key {name}", why=why)
    try:
        known = AgentSigner(found[0]).knows_key()
    except OstiaryError as error:
        raise OstiaryError("Cannot use public key for CA signature", why=error.code) from error
    if not known:
        raise OstiaryError(f"CA key {name} not found in agent")
    _check_type(asked, found[0])
    with _certifying(asked):
        return AgentSigner(found[0], asked.algorithm)


@contextlib.contextmanager
def _certifying(asked: Asked) -> Iterator[None]:
    """ssh-keygen notices an algorithm that is not the key's only when it signs."""
    try:
        yield
    except OstiaryError as error:
        raise OstiaryError(f"Couldn't certify key {asked.files[0]}", why=error.code) from error


def _check_type(asked: Asked, key: PublicKey) -> None:
    if asked.algorithm is not None and not _names(asked.algorithm, key.type):
        raise OstiaryError(f"CA key type {key.type} doesn't match specified {asked.algorithm}")


def _names(word: str, kind: str) -> bool:
    """Whether ``-t`` names a type or an algorithm of keys of that type."""
    if word == kind or kind in _SHORT.get(word.lower(), ()):
        return True
    return kind == "ssh-rsa" and word in RSA_HASHES


def _principals(listed: str | None) -> tuple[str, ...]:
    names = () if listed is None else tuple(listed.split(","))
    if "" in names:
        raise OstiaryError("Empty principal name")
    if len(names) > MOST_PRINCIPALS:
        raise OstiaryError("Too many certificate principals specified")
    return names


def _subject(name: str) -> tuple[PublicKey, str]:
    found = files.public_key(name)
    if found is None:
        raise OstiaryError(f'load pubkey "{name}"', why="No such file or directory")
    key, comment = found
    if isinstance(key, Certificate):
        kind = show.short_type(key.key)
        raise OstiaryError(f'do_ca_sign: key "{name}" type {kind}-CERT cannot be certified')
    return key, comment


def _done(asked: Asked, signed: Certificate, place: str) -> str:
    kind = "host" if signed.kind == HOST else "user"
    whom = f" for {asked.principals}" if asked.principals is not None else ""
    return (
        f'Signed {kind} key {place}: id "{signed.key_id}" serial {signed.serial}{whom}'
        f" valid {validity.words(signed)}"
    )
