"""Signatures over messages: made for ssh-keygen to verify, and those that it made verified."""

import pytest
from ssh_world import FIDO, PLAIN, ssh_keygen

from ostiary.errors import OstiaryError
from ostiary.pki import sshsig

MESSAGE = b"prj_1\n7\nabc\n"
SPACE = "ostiary-test@v1"


def judged_by_openssh(tmp_path, public, signature, *, message=MESSAGE, space=SPACE):
    (tmp_path / "signature").write_text(sshsig.armored(signature))
    (tmp_path / "allowed").write_text(f"authority {public.text()}\n")
    arguments = ("-Y", "verify", "-f", tmp_path / "allowed", "-I", "authority", "-n", space)
    return ssh_keygen(
        *arguments, "-s", tmp_path / "signature", input=message.decode(), check=False
    ).returncode


@pytest.mark.parametrize("kind", PLAIN)
def test_openssh_verifies_ours_and_we_its(tmp_path, keys, kind):
    ours = sshsig.sign(keys.signer(kind), SPACE, MESSAGE)
    assert judged_by_openssh(tmp_path, keys.public(kind), ours) == 0
    assert judged_by_openssh(tmp_path, keys.public(kind), ours, message=b"prj_1\n8\nabc\n") == 255
    assert judged_by_openssh(tmp_path, keys.public(kind), ours, space="another") == 255
    theirs = ssh_keygen(
        "-Y", "sign", "-n", SPACE, "-f", keys.file(kind), input=MESSAGE.decode()
    ).stdout
    assert sshsig.verify(theirs, SPACE, MESSAGE) == keys.public(kind)
    bare = "".join(theirs.splitlines()[1:-1])
    assert sshsig.verify(bare, SPACE, MESSAGE) == keys.public(kind)


@pytest.mark.parametrize("kind", FIDO)
def test_an_authenticator_signs_too(tmp_path, keys, kind):
    ours = sshsig.sign(keys.authenticator(kind), SPACE, MESSAGE)
    assert judged_by_openssh(tmp_path, keys.public(kind), ours) == 0


def test_what_is_not_exactly_the_signature_is_refused(keys):
    good = sshsig.armored(sshsig.sign(keys.signer("ssh-ed25519"), SPACE, MESSAGE))
    for signature, space, message in (
        (good, "another", MESSAGE),
        (good, SPACE, MESSAGE + b"x"),
        (good.replace("U1NIU0lH", "U1NIU0lI"), SPACE, MESSAGE),
        (good.removesuffix("-----END SSH SIGNATURE-----\n"), SPACE, MESSAGE),
        ("", SPACE, MESSAGE),
        ("é", SPACE, MESSAGE),
        (good.replace("\n", "\n!", 1), SPACE, MESSAGE),
    ):
        with pytest.raises(OstiaryError):
            sshsig.verify(signature, space, message)
