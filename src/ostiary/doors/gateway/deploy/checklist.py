"""What a person does after the deployment, with the values filled in. Data; the command renders it.

Sources: Okta, "Deploy Access Gateway into AWS", "AWS specific post installation", "Command Line Management Console",
"Configure your Okta tenant as an Identity Provider", "Prerequisites: firewall rules". Menus differ between versions:
names of menu entries are unverified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ostiary.doors.gateway.deploy.work import Deployed

USER = "oag-mgmt"


@dataclass(frozen=True, slots=True)
class Item:
    """``commands`` are to be typed as they stand; ``done_when`` says how one sees that it worked."""

    id: str
    title: str
    why: str
    commands: tuple[str, ...]
    done_when: str

    def as_json(self) -> Mapping[str, object]:
        return {
            "id": self.id,
            "title": self.title,
            "why": self.why,
            "commands": list(self.commands),
            "done_when": self.done_when,
        }


def checklist(deployed: Deployed) -> tuple[Item, ...]:
    """The steps in order; those of high availability only where there are several nodes."""
    domain = (deployed.settings.domain if deployed.settings else "") or "gw.example.com"
    first = deployed.nodes[0] if deployed.nodes else None
    host = (first.public_ip or first.private_ip) if first else deployed.address
    record = "CNAME" if deployed.balanced else "A"
    items = [
        Item(
            "file",
            "Compare the appliance with Okta's digest",
            "the file came from Admin Console > Settings > Downloads, whose page shows its SHA-256",
            ("ostiary gateway inspect FILE.ova --expect-digest SHA256",),
            "the verdict is ok or warn and the digest is the page's",
        ),
        Item(
            "first-login",
            "Log in to the management console and change the first password",
            f"every appliance starts with the same password of {USER}; until it is changed anybody in the admin range knows it",
            (f"ssh {USER}@{host}",),
            "the console asked for a new password and shows its menu",
        ),
        Item(
            "network",
            "Test the network from the node",
            "it needs TCP 443 to the Okta org and to Okta's updates, DNS (53) and time (123)",
            ("menu: Services > Network test, or: Monitoring > Network",),
            "the Okta org resolves and answers on 443",
        ),
        Item(
            "hostname",
            "Set the host name and the cookie domain",
            "applications are reached below it, and the browser sends the session cookie to it",
            (f"menu: Change hostname > {domain}",),
            f"the console shows {domain}",
        ),
        Item(
            "dns",
            "Make the DNS records",
            "people and the Okta org find the gateway by name",
            (
                f"{domain}.  {record}  {deployed.address}",
                f"*.{domain.partition('.')[2]}.  {record}  {deployed.address}   (one for each application)",
            ),
            f"this prints {deployed.address}: dig +short {domain}",
        ),
        Item(
            "admin-ui",
            "Open the admin UI",
            "its certificate is self-signed until you install another",
            (f"https://{domain}/", "menu: Settings > Certificates"),
            "the admin UI asks for a login",
        ),
        Item(
            "idp",
            "Make the Okta org the identity provider",
            "the gateway makes applications and groups in the org with an API token of a super admin who belongs to no person",
            (
                "Admin Console > Security > API > Tokens > Create",
                "admin UI: Settings > Identity Providers > OKTA > Add",
            ),
            "the provider's status is Valid",
        ),
        Item(
            "api",
            "Turn its API on, if you want to configure it by API",
            "from version 2025.10.0 on; callers must have a private address; the key is shown once",
            ("admin UI: Settings > Access Gateway > API: choose all scopes first, then Enabled",),
            "ostiary gateway deploy, run again, says of /api/v2: alive",
        ),
        Item(
            "validate",
            "Prove it with the sample application",
            "header application: what arrives there is what your applications will get",
            (
                "admin UI: Applications > Add > Sample header app",
                f"https://header.{domain.partition('.')[2]}/",
            ),
            "the sample shows the login of an assigned person, and turns an unassigned one away",
        ),
    ]
    if len(deployed.nodes) > 1:
        others = ", ".join(one.private_ip for one in deployed.nodes[1:])
        items.insert(
            4,
            Item(
                "high-availability",
                f"Make {deployed.nodes[0].name} the admin node and the others its workers",
                "configuration is copied from the admin node by SSH, which the security group allows between nodes only",
                (
                    f"on {deployed.nodes[0].name}, menu: High availability > Prepare admin",
                    f"add workers: {others}",
                ),
                "the console of the admin node lists every worker as ready",
            ),
        )
    items.append(
        Item(
            "backup",
            "Keep a backup, and know how it is updated",
            "the AMI holds no configuration; a node that is replaced starts empty",
            (
                "admin UI: Settings > Backup",
                f"new version: ostiary gateway deploy NEW.ova --name {deployed.name} (replaces nodes one at a time)",
            ),
            "a backup file lies outside of the node",
        )
    )
    return tuple(items)
