"""The manifest of an OVA and its certificate: which digests are promised, and whether they hold.

Lines are ``SHA256(name)= hex`` (SHA1 and SHA512 too); the ``.cert`` holds such a line with the manifest's signature and the
certificate that made it. Source: DMTF DSP0243, 5.1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ostiary.doors.gateway.image.archive import Member
from ostiary.doors.gateway.image.problems import Problem, problem

MOST_BYTES = 1024 * 1024
_LINE = re.compile(r"\s*(SHA-?1|SHA-?256|SHA-?512)\s*\((.{1,1024})\)\s*=\s*([0-9A-Fa-f]+)\s*")
_LENGTHS = {"sha1": 40, "sha256": 64, "sha512": 128}


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed the manifest. Anybody can make such a certificate: it is told, never trusted by itself."""

    subject: str
    not_before: str
    not_after: str
    fingerprint: str  # SHA-256 of the certificate
    verified: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """``digests`` by file name: (algorithm, hex). ``status`` by file name: verified, failed, not_checked."""

    file: str
    digests: Mapping[str, tuple[str, str]]
    status: Mapping[str, str]
    signer: Signer | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def algorithm(self) -> str:
        """The one algorithm of all lines, ``mixed``, or "" without a line."""
        found = {algorithm for algorithm, _ in self.digests.values()}
        return found.pop() if len(found) == 1 else "mixed" if found else ""


def parse_manifest(file: str, data: bytes) -> Manifest:
    """The promises that a manifest makes. Lines that are none are problems."""
    problems: list[Problem] = []
    digests: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        algorithm = match[1].lower().replace("-", "") if match else ""
        if match is None or len(match[3]) != _LENGTHS[algorithm]:
            problems.append(problem("manifest-line", f"line {number} of {file} is no digest", file))
            break
        if match[2] in digests:
            problems.append(problem("manifest-line", f"{file} names {match[2]!r} twice", file))
        digests[match[2]] = (algorithm, match[3].lower())
    status = dict.fromkeys(digests, "not_checked")
    found = Manifest(file, digests, status, problems=tuple(problems))
    if found.algorithm == "mixed":
        problems.append(problem("manifest-mixed", f"{file} mixes digest algorithms", file))
    elif found.algorithm == "sha1":
        problems.append(problem("manifest-sha1", f"{file} promises SHA-1 digests", file))
    return replace(found, problems=tuple(problems))


def compared(manifest: Manifest, members: Sequence[Member]) -> tuple[Problem, ...]:
    """Where manifest and archive do not name the same files."""
    names = {one.name for one in members if not one.name.lower().endswith((".mf", ".cert"))}
    left_out = [
        problem("manifest-missing", f"{manifest.file} has no digest of {name}", name)
        for name in sorted(names - set(manifest.digests))
    ]
    absent = [
        problem("manifest-absent", f"{manifest.file} names {name!r}, which is not in it", name)
        for name in sorted(set(manifest.digests) - names)
    ]
    return (*left_out, *absent)


def read_certificate(
    file: str, data: bytes, manifest: bytes
) -> tuple[Signer | None, list[Problem]]:
    """Who signed the manifest, and whether the signature holds."""
    from cryptography import x509  # noqa: PLC0415 - only few appliances are signed, and it costs 40 ms

    match = next(filter(None, (_LINE_OF_SIGNATURE.match(line) for line in data.splitlines())), None)
    begin = data.find(b"-----BEGIN CERTIFICATE-----")
    if match is None or begin < 0:
        return None, [problem("certificate-form", f"{file} has no signature or certificate", file)]
    try:
        certificate = x509.load_pem_x509_certificate(data[begin:])
        signer = Signer(
            certificate.subject.rfc4514_string(),
            certificate.not_valid_before_utc.isoformat(),
            certificate.not_valid_after_utc.isoformat(),
            certificate.fingerprint(_hash("sha256")).hex(),
            _signature_holds(certificate, match, manifest),
        )
    except Exception as error:  # noqa: BLE001 - a certificate is of whoever wrote the file, and parsers raise many things
        why = f"{file} cannot be read: {type(error).__name__}"
        return None, [problem("certificate-form", why, file)]
    problems = []
    if not signer.verified:
        what = f"the signature in {file} is not of this manifest"
        problems.append(problem("certificate-signature", what, file))
    if _expired(certificate):
        what = f"the certificate in {file} was valid until {signer.not_after}"
        problems.append(problem("certificate-expired", what, file))
    return signer, problems


_LINE_OF_SIGNATURE = re.compile(
    rb"\s*(SHA1|SHA256|SHA512)\s*\(.{1,1024}\)\s*=\s*([0-9A-Fa-f]{2,8192})\s*$"
)


def _hash(name: str) -> Any:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - see above

    kinds: Mapping[str, Any] = {
        "sha1": hashes.SHA1,
        "sha256": hashes.SHA256,
        "sha512": hashes.SHA512,
    }
    return kinds[name]()


def _signature_holds(certificate: Any, match: re.Match[bytes], manifest: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: PLC0415

    algorithm = _hash(match[1].decode().lower())
    signature = bytes.fromhex(match[2].decode())
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, manifest, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, manifest, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _expired(certificate: Any) -> bool:
    from datetime import UTC, datetime  # noqa: PLC0415 - as cryptography above

    return bool(certificate.not_valid_after_utc < datetime.now(UTC))


@dataclass(slots=True)
class Digests:
    """Digests of all that goes by, in one pass from the first byte to the last: the file's own and each member's."""

    members: Sequence[Member]
    manifest: Manifest | None
    position: int = 0
    whole: Any = field(default_factory=hashlib.sha256)
    _open: dict[str, Any] = field(default_factory=dict)

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes of the file."""
        self.whole.update(data)
        begin, end = self.position, self.position + len(data)
        view = memoryview(data)
        promised = self.manifest.digests if self.manifest else {}
        for one in self.members:
            if one.name in promised and one.offset < end and one.offset + one.size > begin:
                if one.name not in self._open:
                    self._open[one.name] = hashlib.new(promised[one.name][0])
                low, high = max(one.offset, begin), min(one.offset + one.size, end)
                self._open[one.name].update(view[low - begin : high - begin])
        self.position = end

    def digest(self) -> str:
        """SHA-256 of everything so far, in hex."""
        found: str = self.whole.hexdigest()
        return found

    def checked(self) -> tuple[Manifest | None, tuple[Problem, ...]]:
        """The manifest with what became of each promise, and a problem for each broken one."""
        if self.manifest is None:
            return None, ()
        status, problems = {}, []
        for name, (algorithm, promised) in self.manifest.digests.items():
            found = self._open.get(name) or hashlib.new(algorithm)
            holds = found.hexdigest() == promised and any(one.name == name for one in self.members)
            status[name] = "verified" if holds else "failed"
            if not holds:
                what = (
                    f"the {algorithm.upper()} of {name} is not what {self.manifest.file} promises"
                )
                problems.append(problem("manifest-digest", what, name))
        return replace(self.manifest, status=status), tuple(problems)
