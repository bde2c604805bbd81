"""What a person does after the deployment, with the values filled in. Data; the command renders it.

Sources (Okta Access Gateway documentation): "Amazon Web Services post deploy tasks" for reset, network test, hostname, DNS,
admin UI and identity provider; "Overview of High Availability Configuration Workflow"; "About backup and restore"; "Configure
Auto-Update". Unverified: that the Downloads page shows a SHA-256, names on the pages of API, backups and sample applications.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ostiary.doors.gateway.deploy.work import Deployed, Node

USER = "oag-mgmt"


@dataclass(frozen=True, slots=True)
class Item:
    """``commands`` are typed or chosen in that order; ``done_when`` says how one sees that it worked."""

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
    several = len(deployed.nodes) > 1
    return (
        *_console(deployed),
        *_names(deployed, domain),
        *_screens(domain),
        *(_cluster(deployed) if several else ()),
        *_proof(deployed, domain),
        *_later(deployed),
    )


def _host(node: Node) -> str:
    return node.public_ip or node.private_ip


def _admin_host(deployed: Deployed) -> str:
    return _host(deployed.nodes[0]) if deployed.nodes else deployed.address


def _logins(deployed: Deployed) -> tuple[str, ...]:
    hosts = [_host(one) for one in deployed.nodes] or [deployed.address]
    return tuple(f"ssh {USER}@{one}" for one in hosts)


def _console(deployed: Deployed) -> Iterator[Item]:
    yield Item(
        "file",
        "Compare the appliance with Okta's digest",
        "the file came from Admin Console > Settings > Downloads; what that page says of it is its only proof",
        ("ostiary gateway inspect FILE.ova --expect-digest SHA256",),
        "the verdict is ok or warn, and the digest is the page's",
    )
    yield Item(
        "first-login",
        "Log in to the management console and change the first password",
        f"every appliance starts with the same password of {USER}; until it is changed anybody in the admin range knows it",
        _logins(deployed),
        "the console has asked for a new password and shows its menu",
    )
    yield Item(
        "reset",
        "Initialize the appliance",
        "after its first start an appliance has no configuration of its own; this takes 1 to 2 minutes",
        ("menu: 5 System > 7 Reset, then Y to clear and Y to initialize",),
        "it asks for any key and shows the menu again",
    )
    yield Item(
        "hostname",
        "Name the appliance",
        "nodes find each other by it; admin is reserved, and it must not be the gateway's own name",
        tuple(f"{one.name}: 5 System > 1 Change Hostname > {one.name}" for one in deployed.nodes),
        "the console shows the name",
    )
    yield Item(
        "network",
        "Test the network from the node",
        "it needs TCP 443 to the Okta org and to Okta's updates, DNS (53) and time (UDP 123); the group lets all of it out",
        (
            "menu: 1 Network > 2 Test network configuration",
            "menu: 1 Network > 7 Connectivity test > www.okta.com, 443",
        ),
        "www.okta.com is reached; do the same for your org and for an application",
    )


def _names(deployed: Deployed, domain: str) -> Iterator[Item]:
    first, parent = _admin_host(deployed), domain.partition(".")[2]
    record = "CNAME" if deployed.balanced else "A"
    yield Item(
        "dns",
        "Make the names",
        "your machine finds the admin UI by admin, people the gateway and each application by DNS",
        (
            f"/etc/hosts of your machine:  {first}  admin",
            f"gw-admin.{parent}.  A  {first}",
            f"{domain}.  {record}  {deployed.address}",
            f"APPLICATION.{parent}.  {record}  {deployed.address}   (each application)",
        ),
        f"dig +short {domain} prints {deployed.address}",
    )
    if deployed.balanced:
        zone = "an alias record does the same in Route 53, and is the only way at the top of a zone"
        yield Item(
            "load-balancer",
            "Look at the load balancer",
            f"it sends to nodes that answer, and a session stays with its node; {zone}",
            (
                f"aws elbv2 describe-target-groups --names {deployed.name} --region {deployed.region}",
            ),
            "each node is healthy; before it is configured a node answers 400, which counts",
        )


def _screens(domain: str) -> Iterator[Item]:
    parent = domain.partition(".")[2]
    yield Item(
        "admin-ui",
        "Initialize the admin UI",
        "it has a first password of its own; its certificate is self-signed until you install another",
        (
            "https://admin/",
            f"SSO Cookie domain: {parent}",
            f"Access Gateway Hostname: {domain}",
        ),
        f"it asks for a login at https://gw-admin.{parent}/ and shows the Topology page",
    )
    yield Item(
        "idp",
        "Make the Okta org the identity provider",
        "the gateway makes applications and groups in the org with an API token; of an account that belongs to no person",
        (
            "Admin Console > Directory > People > Add person",
            "Admin Console > Security > Administrators: Application Administrator and Organization Administrator, no more",
            "as that person: Admin Console > Security > API > Create token",
            "admin UI: Settings > Identity Providers > + > OKTA, then Not Validated",
        ),
        "the label says Validated, and the status in Settings is Valid",
    )


def _cluster(deployed: Deployed) -> Iterator[Item]:
    admin, *workers = deployed.nodes
    yield Item(
        "high-availability",
        f"Make {admin.name} the admin node and the others its workers",
        "configuration is copied by SSH (22), a worker joins by HTTPS (443): open between nodes only",
        (
            "each node: 5 System > 8 High Availability > 1 Reset Key, once",
            f"{admin.name} ({admin.private_ip}): 5 System > 8 High Availability > 2 Prepare Admin, and leave it open",
            *(
                f"{one.name} ({one.private_ip}): 5 System > 8 High Availability > 3 Prepare Worker > the token of {admin.name}"
                for one in workers
            ),
        ),
        f"{admin.name} lists every worker: 5 System > 8 High Availability > 4 List Nodes",
    )


def _proof(deployed: Deployed, domain: str) -> Iterator[Item]:
    del deployed
    yield Item(
        "api",
        "Turn its API on, if you want to configure it by API",
        "from version 2025.10.0 on; callers must have a private address; the key is shown once",
        ("admin UI: Settings > Access Gateway > API: choose all scopes first, then Enabled",),
        "ostiary gateway deploy, run again, says of /api/v2: alive",
    )
    yield Item(
        "validate",
        "Prove it with the sample application",
        "header application: what arrives there is what your applications will get",
        (
            "admin UI: Applications > Add > Sample header app",
            f"https://header.{domain.partition('.')[2]}/",
        ),
        "the sample shows the login of an assigned person, and turns an unassigned one away",
    )


def _later(deployed: Deployed) -> Iterator[Item]:
    several = len(deployed.nodes) > 1
    only = f" --only-node {deployed.nodes[-1].name}" if several else ""
    yield Item(
        "backup",
        "Keep a backup outside of the node",
        "made each night at 00:00 UTC-5 and kept 30 days, on the node itself; a node that is replaced starts empty",
        ("admin UI: Settings > Backup > download, with a password of yours",),
        "the file lies elsewhere, and you have restored it once",
    )
    yield Item(
        "update",
        "Know how it is updated",
        "Auto-Update (on since 2025.5.4) updates nodes in place and keeps them; a new appliance replaces them",
        (
            "admin UI: Settings > Auto-Update, an hour away from the backup",
            f"new appliance: ostiary gateway deploy NEW.ova --name {deployed.name} (the other flags as before){only}",
            *(("the admin node last, when another has taken its place",) if several else ()),
        ),
        "5 System shows the version on every node",
    )
