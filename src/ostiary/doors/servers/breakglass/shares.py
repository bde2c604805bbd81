"""Shares of a break-glass authority: its private half split M-of-N, each share a text that one person keeps.

Split by SLIP-39 (SatoshiLabs, "Shamir's Secret-Sharing for Mnemonic Codes") with the reference implementation: words
with a checksum, so that a share copied by hand is judged by itself. Fewer than M shares say nothing about the key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from shamir_mnemonic.shamir import combine_mnemonics, generate_mnemonics  # type: ignore[import-untyped]
from shamir_mnemonic.share import Share as Words  # type: ignore[import-untyped]
from shamir_mnemonic.utils import MnemonicError  # type: ignore[import-untyped]

from ostiary.errors import OstiaryError, UsageError
from ostiary.pki import ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_key import PublicKey

FEWEST, MOST = 2, 16  # one share alone must never sign; SLIP-39 knows no more than 16
IN_A_LINE = 6  # words of a share as it is written
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")  # as projects are named; files are named after it
_HEAD = """\
# Share {number} of {of} of the break-glass authority of project {project}.
# Any {threshold} of them together sign a way into every server of the project, without Okta and the control plane.
# Keep it apart from the others, offline, and show it to nobody.
"""


@dataclass(frozen=True, slots=True)
class Share:
    """One share. ``authority`` is the public key that it is a part of, ``place`` where it was read, for errors."""

    project: str
    authority: PublicKey
    number: int
    of: int
    threshold: int
    words: str = field(repr=False)
    place: str = ""

    def text(self) -> str:
        head = _HEAD.format(
            number=self.number, of=self.of, threshold=self.threshold, project=self.project
        )
        return (
            f"{head}project: {self.project}\n"
            f"share: {self.number} of {self.of}, {self.threshold} needed\n"
            f"authority: {self.authority.text()}\n"
            f"words: {_in_lines(self.words)}\n"
        )


def make(project: str, threshold: int, count: int) -> tuple[Share, ...]:
    """A new authority, in shares alone: when this returns, its private half is nowhere else.

    UsageError for numbers that make no quorum.
    """
    if not _PROJECT.fullmatch(project):
        raise UsageError(
            f"cannot make a break-glass authority for {project[:80]!r}",
            why="no project can have that name",
            fix="see them with: ostiary servers project list",
        )
    if not FEWEST <= threshold <= count <= MOST:
        raise UsageError(
            f"cannot split a key into {count} shares of which {threshold} sign",
            why=f"from {FEWEST} to all of them can be needed, and there can be {MOST} at most",
            fix="run it with --shares 5 --threshold 3",
        )
    key = Ed25519PrivateKey.generate()
    authority = ssh_key.of(key.public_key())
    (words,) = generate_mnemonics(1, [(threshold, count)], key.private_bytes_raw())
    shares = tuple(
        Share(project, authority, number, count, threshold, one)
        for number, one in enumerate(words, 1)
    )
    for few in (shares[:threshold], shares[-threshold:]):  # before anybody relies on them
        join(few)
    return shares


def parse(text: str, place: str) -> Share:
    """A share as ``Share.text`` writes it, or as somebody copied it. UsageError says what is wrong, never the words."""
    found = _fields(text)
    if missing := [name for name in ("project", "authority", "words") if not found.get(name)]:
        raise _unusable(place, f"it has no line '{missing[0]}: …'")
    if not _PROJECT.fullmatch(found["project"]):
        raise _unusable(place, "its project is no name of a project")
    words = " ".join(found["words"].lower().split())
    try:
        read = Words.from_mnemonic(words)
        authority = ssh_key.parse(found["authority"])
    except MnemonicError:
        why = "its words are not right: one is missing, or not as it was written"
        raise _unusable(place, why) from None  # the library's text repeats words
    except OstiaryError as wrong:
        raise _unusable(place, f"its authority is no public key: {wrong.why}") from wrong
    of = found.get("share", "").partition(" of ")[2].partition(",")[0]
    return Share(
        found["project"],
        authority,
        read.index + 1,
        int(of) if of.isascii() and of.isdigit() else 0,
        read.member_threshold,
        words,
        place,
    )


def _in_lines(words: str) -> str:
    """Few enough for a line of any terminal and for who copies them by hand."""
    listed = words.split()
    lines = (listed[at : at + IN_A_LINE] for at in range(0, len(listed), IN_A_LINE))
    return "\n       ".join(" ".join(line) for line in lines)


def _fields(text: str) -> dict[str, str]:
    """``name: value`` lines; a line without a colon goes on with the one above."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        before, colon, value = line.partition(":")
        if colon:
            name = before.strip().lower()
            found[name] = value.strip()
        elif name and before.strip():
            found[name] += f" {before.strip()}"
    return found


def join(shares: Sequence[Share]) -> LocalSigner:
    """The authority, in memory, for as long as somebody holds it. UsageError for too few, mixed or wrong shares."""
    first = shares[0]
    numbers: dict[int, Share] = {}
    for one in shares:
        if one.authority != first.authority:
            why = f"{one.place} is a share of {one.authority.fingerprint} of project {one.project}"
            raise _together(f"{why}, {first.place} of {first.authority.fingerprint}")
        twin = numbers.setdefault(one.number, one)
        if twin.words != one.words:
            raise _together(f"{twin.place} and {one.place} are both share {one.number}, and differ")
    if len(numbers) < first.threshold:
        raise UsageError(
            f"cannot sign with {len(numbers)} of {first.of or 'the'} shares",
            why=f"{first.threshold} different ones are needed",
            fix="add each with --share FILE",
            code="too-few-shares",
        )
    enough = list(numbers.values())[: first.threshold]
    try:
        seed = combine_mnemonics([one.words for one in enough])
        key = Ed25519PrivateKey.from_private_bytes(seed)
    except (MnemonicError, ValueError):
        raise _together("they are of different splittings, or words of one were changed") from None
    if ssh_key.of(key.public_key()) != first.authority:
        raise _together(f"they do not make the key {first.authority.fingerprint} that they name")
    return LocalSigner(key)


def _unusable(place: str, why: str) -> UsageError:
    fix = "compare it with what was written down"
    return UsageError(f"cannot read the share {place}", why=why, fix=fix, code="bad-share")


def _together(why: str) -> UsageError:
    return UsageError(
        "cannot sign with these shares together",
        why=why,
        fix="name shares of one authority, made at one time",
        code="mixed-shares",
    )
