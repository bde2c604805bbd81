"""Making SSH certificates in process beside asyncssh: encoding and signing; verifying, which asyncssh leaves out, apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from measure import TOP, Bar, peer_program, timed

from ostiary.doors.servers.control.second_library import verify
from ostiary.pki import ssh_certificate, ssh_key, ssh_option
from ostiary.pki.signer import LocalSigner, Private
from ostiary.pki.ssh_certificate import Certificate

KINDS: dict[str, Callable[[], Private]] = {
    "ssh-ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa-sha2-nistp256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ssh-rsa": lambda: rsa.generate_private_key(65537, 3072),
}
AT_LEAST = 0.9  # of the peer's rate
SECONDS = 0.5  # CPU of one measurement; the best of three each, in turn
ROUNDS = 3
PEER = TOP / "bench/peers/asyncssh_mint.py"


def bars() -> Iterator[Bar]:
    python = peer_program("asyncssh", "python")
    for kind, generate in KINDS.items():
        signer = LocalSigner(generate())
        unsigned = _unsigned()

        def mint(unsigned: Certificate = unsigned, signer: LocalSigner = signer) -> object:
            prepared = ssh_certificate.prepare(unsigned, signer.public_key)
            signed = ssh_certificate.to_be_signed(prepared)
            return signed, signer.sign(signed)

        done = ssh_certificate.sign(unsigned, signer)
        ours, theirs = 0.0, 0.0
        for _ in range(ROUNDS):
            ours = max(ours, _rate(mint))
            theirs = max(theirs, float(timed([python, PEER, kind, str(SECONDS)]).stdout))
        what = done.authority, done.signature, ssh_certificate.to_be_signed(done)
        verified = _rate(lambda what=what: verify(*what))
        whole = _rate(lambda given=(unsigned, signer, verify): ssh_certificate.sign(*given))
        yield Bar(
            f"mint, {kind} authority",
            f"{ours:,.0f} a CPU-second (verify {verified:,.0f}, both as issued {whole:,.0f})",
            f"asyncssh {theirs:,.0f}",
            f">= {AT_LEAST} x asyncssh",
            ok=ours >= AT_LEAST * theirs,
        )


def _unsigned() -> Certificate:
    return Certificate(
        ssh_key.of(ed25519.Ed25519PrivateKey.generate().public_key()),
        "ada@acme.example",
        ("ada@srv_k3x9",),
        serial=7,
        valid_after=1_800_000_000,
        valid_before=1_800_000_180,
        extensions=tuple(map(ssh_option.flag, ssh_option.PERMITS)),
    )


def _rate(work: Callable[[], object]) -> float:
    """Calls per CPU second."""
    work()
    made, started = 0, time.process_time()
    while time.process_time() - started < SECONDS:
        work()
        made += 1
    return made / (time.process_time() - started)
