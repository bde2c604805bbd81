"""A small Okta org, and a client that reaches it in process; time passes only when somebody waits."""

import contextlib
import copy

from ostiary.okta.auth import Ssws
from ostiary.okta.client import OktaClient
from ostiary.sandbox.adapters import OktaTransport
from ostiary.sandbox.okta.state import OktaOrg
from ostiary.sandbox.world import World

START = 1_800_000_000.0
ORG = "main"
ESTATE = "acme"
MARK = f"ostiary estate={ESTATE}"


def make_world() -> World:
    """Acme: ann, ben and cara; ann and ben in platform, cara in sre; one strict policy."""
    world = World()
    world.clock.freeze(START)
    org = OktaOrg(world)
    world.okta = org
    for name, groups in (("ann", ["platform"]), ("ben", ["platform"]), ("cara", ["sre"])):
        org.add_user(
            f"{name}@acme.example",
            f"{name}-password-1",
            first=name.title(),
            last="Ace",
            totp_secret="JBSWY3DPEHPK3PXP",
            groups=groups,
        )
    org.add_policy("Strong")
    return world


def make_client(world: World, *, skew: float = 0.0, auth=None, **settings) -> OktaClient:
    """``skew`` is how many seconds the caller's clock is ahead of Okta's."""
    return OktaClient(
        world.okta.url,
        auth or Ssws(world.okta.api_token),
        transport=OktaTransport(world),
        clock=lambda: world.clock.now() + skew,
        sleep=world.clock.advance,
        **settings,
    )


def user_id(world: World, name: str) -> str:
    return world.okta.user(f"{name}@acme.example").id


def rules(world: World):
    return {
        rule.name: (rule.expression, sorted(rule.targets), sorted(rule.excluded), rule.status)
        for rule in world.okta.rules.values()
    }


def groups(world: World):
    org = world.okta
    return {
        group.name: (group.description, group.kind, sorted(org.members(group)))
        for group in org.groups.values()
    }


def apps(world: World):
    return copy.deepcopy(
        {
            app.label: (
                app.key,
                app.status,
                app.settings,
                app.policy_id,
                {known: (one.priority, one.profile) for known, one in app.groups.items()},
                {known: one.profile for known, one in app.users.items()},
            )
            for app in world.okta.apps.values()
        }
    )


def dump(world: World):
    """All that a kind could change."""
    return {"groups": groups(world), "rules": rules(world), "apps": apps(world)}


@contextlib.contextmanager
def cut_off(world: World):
    """The API token is gone: nothing can be read."""
    tokens = dict(world.okta.api_tokens)
    world.okta.api_tokens.clear()
    try:
        yield
    finally:
        world.okta.api_tokens.update(tokens)
