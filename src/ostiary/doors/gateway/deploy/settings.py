"""What a deployment is asked to be, and what is wrong with it before anything is asked of AWS. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ostiary.doors.gateway.deploy.sizes import SIZES
from ostiary.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,23}[a-z0-9]")
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_CERTIFICATE = re.compile(
    r"arn:aws[a-z-]*:(acm:(?P<region>[a-z0-9-]+):[0-9]{12}:certificate|iam::[0-9]{12}:server-certificate)/.+"
)
MOST_NODES = 8
_NARROWEST = {4: 8, 6: 32}  # an administrator's range wider than this is a whole provider


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """Flags of ``gateway deploy``. ``subnets`` () and ``vpc`` "" are looked for; ``size`` may be an instance type.

    ``admin_ui`` lets the admin ranges reach port 443 of nodes behind a load balancer, where the admin UI is.
    """

    name: str
    admin_ranges: tuple[str, ...]
    from_ranges: tuple[str, ...] = ("0.0.0.0/0",)
    size: str = "medium"
    nodes: int = 1
    certificate: str = ""
    internal: bool = False
    domain: str = ""
    vpc: str = ""
    subnets: tuple[str, ...] = ()
    admin_ui: bool = False

    @property
    def estate(self) -> str:
        """The mark of everything that belongs to this gateway."""
        return f"gateway-{self.name}"

    @property
    def instance_type(self) -> str:
        return SIZES.get(self.size, self.size)

    @property
    def balanced(self) -> bool:
        return self.nodes > 1


def check(settings: DeploySettings) -> None:
    """UsageError with everything that is wrong, before anything is asked of AWS."""
    problems = []
    if not _NAME.fullmatch(settings.name):
        problems.append(f"--name {settings.name!r} is not 2 to 25 of a-z, 0-9 and -")
    if settings.size not in SIZES and "." not in settings.size:
        problems.append(
            f"--size {settings.size} is none of {', '.join(SIZES)} and no instance type"
        )
    if not 1 <= settings.nodes <= MOST_NODES:
        problems.append(f"--nodes {settings.nodes} is not 1 to {MOST_NODES}")
    if not settings.admin_ranges:
        problems.append("--admin-range is missing: from where may administrators use SSH?")
    problems += [line for one in settings.admin_ranges for line in _admin_problem(one)]
    problems += [line for one in settings.from_ranges for line in _range_problem("--from", one)]
    if settings.domain and not _DOMAIN.fullmatch(settings.domain):
        problems.append(f"--domain {settings.domain!r} is no host name")
    if settings.balanced and not settings.certificate:
        problems.append("several nodes stand behind a load balancer, which needs --certificate ARN")
    if settings.certificate and not _CERTIFICATE.fullmatch(settings.certificate):
        problems.append(
            f"--certificate {settings.certificate} is no ARN of a certificate of ACM or IAM"
        )
    if settings.certificate and not settings.balanced:
        problems.append("--certificate is for a load balancer, which comes with --nodes 2 or more")
    if problems:
        raise UsageError(
            f"cannot deploy gateway {settings.name}",
            why="\n".join(problems),
            fix="see: ostiary gateway deploy --help",
        )


def check_region(settings: DeploySettings, region: str) -> None:
    """UsageError for a certificate that no load balancer of the region can have."""
    match = _CERTIFICATE.fullmatch(settings.certificate)
    elsewhere = (match["region"] or "") if match else ""
    if elsewhere not in ("", region):
        raise UsageError(
            f"cannot deploy gateway {settings.name}",
            why=f"--certificate is of {elsewhere}, the load balancer would be in {region}",
            fix=f"name a certificate of {region}: aws acm list-certificates --region {region}",
        )


def ranges(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, written and sorted as EC2 writes them; what is no range stays, for ``check`` to name."""
    found = set()
    for text in texts:
        try:
            found.add(str(ipaddress.ip_network(text)))
        except ValueError:
            found.add(text)
    return tuple(sorted(found))


def _admin_problem(text: str) -> list[str]:
    """SSH is for administrators: never open to everybody, or to a whole provider."""
    if problems := _range_problem("--admin-range", text):
        return problems
    network = ipaddress.ip_network(text)
    if network.prefixlen < _NARROWEST[network.version]:
        return [f"--admin-range {text} lets half the world try SSH: name your office or VPN"]
    return []


def _range_problem(flag: str, text: str) -> list[str]:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        return [f"{flag} {text}: {error}"]
    return []
