"""What tests look at behind the server door: certificates that somebody kept, and rows of the audit."""

from __future__ import annotations

import json

ISSUE = """
import subprocess, sys
from pathlib import Path
from subprocess import PIPE
from ostiary.doors.servers.client.credentials import signed_in
from ostiary.doors.servers.wire.person import CertificateRequest, Issued
server, purpose, forward_to, to = sys.argv[1:]
subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", to], check=True)
with signed_in() as control:
    public = " ".join(Path(to + ".pub").read_text().split()[:2])
    asked = CertificateRequest(server, public, purpose, forward_to)
    issued = control.call("POST", "/v1/certificates", asked, Issued)
Path(to + "-cert.pub").write_text(issued.certificate + "\\n")
"""


class Kept:
    """A certificate that its person kept, against the rules of the client: what a thief would have."""

    def __init__(self, person, file, server, purpose="login", forward_to=""):
        self.person, self.file = person, file
        person.python(ISSUE, server, purpose, forward_to, str(file))

    def ssh(self, host, *words):
        options = {
            "IdentityFile": self.file,
            "CertificateFile": f"{self.file}-cert.pub",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
        }
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        command = ["ssh", "-F", "none", *flags, f"{self.person.name}@{host.address}", *words]
        return self.person.door.fleet.control.run(command, check=False)


ROWS = """
import json, sys
from ostiary.doors.servers.client.credentials import signed_in
from ostiary.doors.servers.wire.admin import AuditRows
with signed_in() as control:
    found, after = [], 0
    while more := control.call("GET", f"/v1/projects/{sys.argv[1]}/audit?after={after}", kind=AuditRows).rows:
        found += more
        after = more[-1].number
print(json.dumps([{**json.loads(one.body), "event": one.event} for one in found]))
"""


def rows(door, **wanted):
    """Audit rows, of certificates unless told, as an administrator reads them, those with these values."""
    found = []
    for project in door.site.rules:
        found += json.loads(door.people["ada"].python(ROWS, project))
    wanted = {"event": "certificate.issued", **wanted}
    return [one for one in found if wanted.items() <= one.items()]
