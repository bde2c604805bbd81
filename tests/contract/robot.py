"""A machine that signs in by a key of its own (private_key_jwt, RFC 7523)."""

import json
import time

from joserfc import jwk, jwt

from ostiary.doors.servers.wire.admin import Machine
from ostiary.doors.servers.wire.person import MachineSignIn, Session


class Robot:
    """``machine`` is what a project is told of it."""

    def __init__(self, name, owner):
        self.key = jwk.ECKey.generate_key("P-256", {"kid": "own"})
        self.name = name
        public = json.dumps({"keys": [self.key.as_dict(private=False)]})
        self.machine = Machine(
            name, "private-key-jwt", owner, time.time() + 3600, public_keys=public
        )

    def sign_in(self, world):
        now, me = int(time.time()), f"machine:{self.name}"
        said = {"iss": me, "sub": me, "aud": world.settings.url, "iat": now, "exp": now + 60}
        proof = jwt.encode({"alg": "ES256", "kid": "own"}, {**said, "jti": f"{now}"}, self.key)
        client = world.client()
        asked = MachineSignIn(self.name, "private-key-jwt", proof)
        client.hold(client.call("POST", "/v1/machines/sign-in", asked, Session))
        return client
