"""Okta apps: ``amazon_aws`` (SAML sign-in to AWS) and the native ``oidc_client`` of the device flow.

Natural key the exact label (Okta allows several apps of one label: then it is an error), mark a line in
``settings.notes.admin``. An app is changed by GET, change, PUT, so keys that we do not know stay. Source: Okta
API, "Applications"; the names in ``settings.app`` of ``amazon_aws`` are as recorded from a real org.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.errors import Conflict, NotFound
from ostiary.okta.app_shape import (
    CUTOVER_SETTINGS,
    NATIVE,
    SIGN_ON_MODES,
    attributes_of,
    before_image,
    body_for,
    changed,
    entity_id_of,
    note_of,
    with_note,
)
from ostiary.okta.client import Object, OktaClient, segment
from ostiary.okta.mark import Mark
from ostiary.okta.policies import Policies, PolicyReport, policy_id_of, report
from ostiary.okta.reading import by_name, only_one, read_whole, refuse_foreign, stale
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

PAGE = 200


class AppKind:
    """``wanted``: ``{"name": "amazon_aws", "settings": {…}, "policy": name or None}`` or, for the native app,
    ``{"name": "oidc_client", "grant_types": […], "policy": …}``; policy None leaves the policy alone.

    ``ids``: ``id``; of SAML apps ``metadata`` (XML text) and ``entity_id``; of the native app ``client_id``. As
    read there are also ``status`` and ``sign_on_mode``, which differ when they are not what the app needs.
    """

    name = "okta-app"

    def __init__(self, client: OktaClient, org: str, estate: str) -> None:
        self._client = client
        self._org = org
        self._mark = Mark(estate)
        self._policies = Policies(client)
        self._ids: dict[str, str] = {}
        self._metadata: dict[tuple[str, str], str] = {}  # by app and signing key

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        return read_whole(self.name, scope, lambda: self._produce(wanted))

    def _produce(self, wanted: Mapping[str, Resource]) -> Iterator[Found]:
        for label, apps in by_name(list_apps(self._client), label_of).items():
            if label in wanted or any(self._is_ours(app) for app in apps):
                only_one("app", label, apps)
                yield self._found(apps[0])

    def _is_ours(self, app: Object) -> bool:
        return self._mark.owner(note_of(app))[0] is Owner.OURS

    def look(self, key: Key) -> Found | None:
        app = self._app(key.name)
        return None if app is None else self._found(app)

    def _app(self, label: str) -> Object | None:
        known = self._ids.get(label)
        if known is not None:
            app = self._by_id(known)
            if app is not None and label_of(app) == label:
                return app
        answered = self._client.paginate(
            "/apps", {"q": label, "limit": PAGE}, what=f"cannot look for app {label}"
        )
        return only_one("app", label, [app for app in answered if label_of(app) == label])

    def _by_id(self, app_id: str) -> Object | None:
        try:
            app: Object = self._client.get(f"/apps/{segment(app_id)}")
        except NotFound:
            return None
        return app

    def _found(self, app: Object) -> Found:
        owner, owned_by = self._mark.owner(note_of(app))
        label, policy = label_of(app), self._policies.name_of(policy_id_of(app))
        self._ids[label] = app["id"]
        return Found(
            Key(self.name, self._org, label),
            attributes_of(app, policy),
            owner,
            self._ids_of(app),
            owned_by,
            raw=before_image(app, policy),
        )

    def _ids_of(self, app: Object) -> dict[str, str]:
        ids = {"id": str(app["id"])}
        if app["signOnMode"] == "SAML_2_0":
            kid = str(app["credentials"].get("signing", {}).get("kid"))
            text = self._metadata.get((app["id"], kid))
            if text is None:
                text = self._client.get_text(
                    f"/apps/{segment(app['id'])}/sso/saml/metadata",
                    accept="application/xml",
                    what=f"cannot read SAML metadata of app {label_of(app)}",
                )
                self._metadata[app["id"], kid] = text
            ids |= {"metadata": text, "entity_id": entity_id_of(text, label_of(app))}
        client_id = app["credentials"].get("oauthClient", {}).get("client_id")
        return ids | ({"client_id": client_id} if client_id else {})

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        names = changed(found.attributes, wanted)
        if found.attributes["status"] != "ACTIVE":
            names.append("status")
        if found.attributes["sign_on_mode"] != SIGN_ON_MODES.get(str(wanted["name"])):
            names.append("sign_on_mode")
        return tuple(names)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        """Changing which groups give which roles moves everybody of the app at once."""
        if action in ("delete", "replace"):
            return Risk.DETACH
        have, want = (
            (found.attributes if found else {}).get("settings"),
            (wanted or {}).get("settings"),
        )
        if action == "update" and isinstance(have, dict) and isinstance(want, dict):
            moved = [
                name for name in CUTOVER_SETTINGS if name in want and want[name] != have.get(name)
            ]
            return Risk.CUTOVER if moved else Risk.NONE
        return Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        del found, wanted
        return 1 if action in ("delete", "replace") else 0

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        """Look first: Okta would make a second app of the same label without a word."""
        existing = self.look(key)
        if existing is not None:
            refuse_foreign(existing)
            return self.update(existing, wanted) if self.differences(existing, wanted) else existing
        app = self._client.post(
            "/apps",
            with_note(body_for(key.name, wanted), self._mark.text),
            {"activate": "true"},
            what=f"cannot create app {key.name}",
        )
        self._check_mode(app, str(wanted["name"]))
        return self._with_policy(app, wanted)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        app = self._current(found, wanted)
        self._check_mode(app, str(wanted["name"]))
        body = copy.deepcopy(app)
        settings = wanted.get("settings")
        if isinstance(settings, dict):
            body["settings"]["app"] = {**body["settings"].get("app", {}), **settings}
        if wanted["name"] == NATIVE:
            body["settings"]["oauthClient"]["grant_types"] = wanted["grant_types"]
        with_note(body, self._mark.added_to(note_of(app)))
        if body != app:
            app = self._put(app, body)
        if app["status"] != "ACTIVE":
            self._client.post(
                f"/apps/{segment(app['id'])}/lifecycle/activate",
                what=f"cannot activate app {found.key.name}",
            )
        return self._with_policy(app, wanted)

    def _current(self, found: Found, wanted: Mapping[str, Json] | None = None) -> Object:
        """The app as it is now; StalePlan when something that we are about to overwrite has changed."""
        app = self._by_id(found.ids["id"])
        if app is None:
            raise stale(found.key, "it was deleted since the plan was made")
        now = self._found(app)
        names = changed(now.attributes, wanted or found.attributes, found.attributes)
        if now.owner is not found.owner or now.key != found.key:
            names.append("label or ownership mark")
        if names:
            raise stale(found.key, f"changed since the plan was made: {', '.join(names)}")
        return app

    def _put(self, app: Object, body: Mapping[str, Any]) -> Object:
        sent = {name: value for name, value in body.items() if name not in ("_links", "_embedded")}
        answer: Object = self._client.put(
            f"/apps/{segment(app['id'])}", sent, what=f"cannot update app {label_of(app)}"
        )
        return answer

    def _with_policy(self, app: Object, wanted: Mapping[str, Any]) -> Found:
        """Give the app its authentication policy; the app as it is then."""
        name = wanted.get("policy")
        path = f"/apps/{segment(app['id'])}"
        if isinstance(name, str):
            policy = self._policies.id_of(name)
            if policy_id_of(app) != policy:
                self._client.put(
                    f"{path}/policies/{segment(policy)}",
                    what=f"cannot give app {label_of(app)} the policy {name}",
                )
        return self._found(self._client.get(path))

    def _check_mode(self, app: Object, name: str) -> None:
        mode = SIGN_ON_MODES.get(name)
        if app["name"] != name or app["signOnMode"] != mode:
            raise Conflict(
                f"cannot use app {label_of(app)}",
                why=f"it is {app['name']} with sign-on mode {app['signOnMode']}, not {name} with {mode}, "
                "and Okta never changes either",
                fix="rename or delete that app in Okta, then run: ostiary apply",
            )

    def delete(self, found: Found) -> None:
        app = self._by_id(found.ids["id"])
        if app is None:
            return
        path = f"/apps/{segment(app['id'])}"
        self._current(found)
        if app["status"] == "ACTIVE":
            self._client.post(
                f"{path}/lifecycle/deactivate", what=f"cannot deactivate app {found.key.name}"
            )
        try:
            self._client.delete(path, what=f"cannot delete app {found.key.name}")
        except NotFound:
            return

    def release(self, found: Found) -> None:
        app = self._current(found)
        self._put(app, with_note(copy.deepcopy(app), self._mark.taken_from(note_of(app)) or None))

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        app = self._app(key.name)
        if before is None:
            if app is not None and self._is_ours(app):
                self.delete(self._found(app))
            return
        image: dict[str, Any] = {name: value for name, value in before.items() if name != "policy"}
        if app is None:
            for assigned_by_okta in ("id", "credentials"):
                image.pop(assigned_by_okta, None)
            app = self._client.post("/apps", image, what=f"cannot restore app {key.name}")
        else:
            settings = {**app["settings"], **image["settings"]}
            settings["app"] = {**app["settings"].get("app", {}), **settings.get("app", {})}
            app = self._put(app, {**app, **image, "settings": settings, "id": app["id"]})
        self._with_policy(app, before)

    def policy_report(self) -> PolicyReport:
        """Which authentication policy each app of this estate has, and what is wrong with that."""
        ours = [app for app in list_apps(self._client) if self._is_ours(app)]
        return report(self._policies, ours)


def list_apps(client: OktaClient) -> list[Object]:
    """Every app of the org, active or not."""
    return list(client.paginate("/apps", {"limit": PAGE}, what="cannot list apps"))


def label_of(app: Object) -> str:
    return str(app["label"])
