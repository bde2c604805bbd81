"""Headless Chromium, driven by the DevTools protocol over a pair of pipes: no driver, no socket, no library.

Source: Chrome DevTools Protocol, domains Target, Page, Runtime; messages end with a zero byte.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",  # root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",  # the CA is the sandbox's own
    "--remote-debugging-pipe",
    "--window-size=1100,800",
)
PATIENCE = 20.0


class Browser:
    """One page. ``program`` is Chromium; everything it keeps is in a folder that goes with it.

    ``within`` says how a command is run elsewhere: ``Namespace.command``.
    """

    def __init__(self, program: str, within: Callable[[list[str]], list[str]] = list) -> None:
        self._profile = tempfile.mkdtemp(prefix="ostiary-browser-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        pipes = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        words = ["bash", "-c", pipes, "bash", program, f"--user-data-dir={self._profile}", *FLAGS]
        self._process = subprocess.Popen(
            within(words),
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._events: list[str] = []
        self._session = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")

    def close(self) -> None:
        self._session = ""
        self._call("Browser.close")
        self._process.wait(timeout=PATIENCE)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> None:
        self._loads(lambda: self._call("Page.navigate", url=url))

    def press(self, selector: str) -> None:
        """Click what leads to another page."""
        self._loads(lambda: self.run(f"document.querySelector({json.dumps(selector)}).click()"))

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.run(f"document.querySelector('input[name={name}]').value = {json.dumps(value)}")

    def text(self, selector: str = "main") -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        every = f"[...document.querySelectorAll({json.dumps(selector)})]"
        found: list[str] = self.run(f"{every}.map(one => one.innerText)")
        return found

    def run(self, script: str) -> object:
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _loads(self, act) -> None:
        self._events.clear()
        act()
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def _call(self, method: str, **params: object) -> dict:
        number = next(self._numbers)
        message: dict = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> dict:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            assert time.monotonic() < deadline, "the browser does not answer"
            chunk = os.read(self._in, 65536)
            assert chunk, "the browser has gone"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        value: dict = json.loads(message)
        self._events.append(value.get("method", ""))
        return value
