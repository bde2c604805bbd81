"""The tutorial of the server door, as it is written: its own commands against the sandbox that it speaks of."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from free_port import free_port

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs/tutorial/servers.md").read_text()


def block(after, language="sh"):
    """The block of code that follows a text of the page."""
    assert after in PAGE
    return PAGE.partition(after)[2].partition(f"```{language}\n")[2].partition("```")[0]


class Terminal:
    """A shell in the sandbox's environment; addresses of the page are those of this test."""

    def __init__(self, sandbox, folder):
        port = free_port()
        self.known = {"127.0.0.1:8443": f"127.0.0.1:{port}", "/tmp/acme": str(folder / "acme")}
        run = folder / "run"
        run.mkdir(mode=0o700)
        self.env = {
            **sandbox.described["env"],
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_RUNTIME_DIR": str(run),
        }

    def text(self, text):
        for name, here in self.known.items():
            text = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", here, text)
        return text

    def run(self, lines, *, code=0):
        done = subprocess.run(
            ["bash", "-ec", self.text(lines)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self, line):
        process = subprocess.Popen(
            ["bash", "-ec", f"exec {self.text(line)}"],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


def test_the_tutorial_works_as_it_is_written(own_sandbox, tmp_path):
    own_sandbox.up()
    terminal = Terminal(own_sandbox, tmp_path)
    assigned, _, app = terminal.run(f'{block("by the org")}echo; echo "$APP"').rpartition("}\n")
    assert json.loads(assigned + "}")["id"]
    terminal.env["APP"] = app.strip()
    make, serve = block("Start the control plane;").splitlines()
    terminal.run(make)
    listen = terminal.known["127.0.0.1:8443"]
    with terminal.running(f"{serve} --listen {listen} --url http://{listen}") as serving:
        assert any("serving" in line for line in iter(serving.stderr.readline, ""))
        login(terminal, own_sandbox)
        (tmp_path / "acme/servers.yaml").write_text(terminal.text(block("servers.yaml`", "yaml")))
        apply, plan, show = block("restart-web], servers").splitlines()
        said = terminal.run(f"{apply} --yes 2>&1")
        assert "1 done" in said
        assert "proof" not in said, "without accounts there is nobody who could enter one"
        assert terminal.run(plan).endswith("plan: 1 as wanted\n")
        assert "group developers: login on role=web" in terminal.run(show)
        estate = tmp_path / "acme/servers.yaml"
        kept = estate.read_text()
        estate.write_text("".join(one for one in kept.splitlines(True) if "admin: true" not in one))
        terminal.run(f"{apply} --yes", code=9)
        estate.write_text(kept)
        why, who = block("Ask who gets in").splitlines()
        assert "not in group platform-engineering" in terminal.run(why)
        assert "ada@acme.example" in terminal.run(who)
        terminal.run("ostiary logout")


def login(terminal, sandbox):
    """What the page says: open the address, sign in, allow."""
    ada = sandbox.people["ada"]
    *_, line = block("In another terminal").splitlines()
    ends = time.monotonic() + 30
    while True:  # the control plane says that it serves a moment before it does
        with terminal.running(line) as signing_in:
            said = signing_in.stderr.readline()
            if "sign in at:" in said:
                with ada.browser() as browser:
                    ada.allow_device(browser, said.partition("sign in at:")[2].strip())
                assert "ada@acme.example is signed in" in signing_in.stdout.readline()
                signing_in.wait(20)
                return
        assert time.monotonic() < ends, said
        time.sleep(0.2)
