"""A headless Chromium, driven over its DevTools protocol: ``apt-get install chromium`` on Debian."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MAX_HEIGHT = 12_000  # of a picture, in pixels
_KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Space": (" ", 32, " ")}  # key, code, what it writes
_SHIFT = 8
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def installed() -> str | None:
    """Path of the browser; None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """A page of a headless Chromium, driven over its DevTools protocol on a pair of pipes."""

    def __init__(self, reader: int, writer: int):
        self._answers = os.fdopen(reader, "rb")
        self._orders = os.fdopen(writer, "wb")
        self._number = itertools.count(1)
        self._session = ""
        self._world: int | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")

    def open(self, page: Path, width: int, scheme: str, height: int = 900) -> None:
        """Show a page in a window of this size, and wait until it is loaded."""
        self._resize(width, height)
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._ask("Page.navigate", url=page.resolve().as_uri())
        self.loaded()

    def loaded(self) -> None:
        """Wait until the page that was asked for is loaded."""
        while self._message().get("method") != "Page.loadEventFired":
            pass
        self._world = None

    def scrolls_sideways(self, width: int) -> bool:
        """Whether the page is wider than its window."""
        found = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        return bool(found["width"] > width)

    def picture(self, width: int) -> bytes:
        """The whole page, as PNG."""
        height = min(int(self._ask("Page.getLayoutMetrics")["cssContentSize"]["height"]), _MAX_HEIGHT)
        self._resize(width, height)
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])

    def top(self) -> bytes:
        """What of the page is seen in the window without scrolling, as PNG."""
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])

    def printed(self) -> bytes:
        """The page as it is printed, as PDF."""
        return base64.b64decode(self._ask("Page.printToPDF", preferCSSPageSize=True)["data"])

    def evaluate(self, *scripts: str) -> Any:
        """The value of the last of these scripts, for which it may be waited.

        They see the page from a world of their own, so that a policy of the page that forbids scripts forbids them not,
        and keep it until another page is opened.
        """
        if self._world is None:
            frame = self._ask("Page.getFrameTree")["frameTree"]["frame"]["id"]
            self._world = self._ask("Page.createIsolatedWorld", frameId=frame)["executionContextId"]
        for script in scripts:
            given = {"expression": script, "contextId": self._world, "awaitPromise": True, "returnByValue": True}
            found = self._ask("Runtime.evaluate", **given)
            if "exceptionDetails" in found:
                raise RuntimeError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def press(self, name: str, shift: bool = False) -> None:
        """A key: Tab, Enter or Space."""
        key, code, text = _KEYS[name]
        given = {"key": key, "code": name, "windowsVirtualKeyCode": code, "modifiers": _SHIFT if shift else 0}
        self._ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **given)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **given)

    def write(self, text: str) -> None:
        """Words into what has the focus."""
        self._ask("Input.insertText", text=text)

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """What a screen reader gets of the page, node by node."""
        return list(self._ask("Accessibility.getFullAXTree")["nodes"])

    def outer_html(self, node: int) -> str:
        """Of an element, by the number that the tree of accessibility names."""
        return str(self._ask("DOM.getOuterHTML", backendNodeId=node)["outerHTML"])

    def _resize(self, width: int, height: int) -> None:
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def _ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._number)
        order = {"id": number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        self._orders.write(json.dumps(order).encode() + b"\0")
        self._orders.flush()
        while (message := self._message()).get("id") != number:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _message(self) -> dict[str, Any]:
        text = bytearray()
        while (letter := self._answers.read(1)) != b"\0":
            if not letter:
                raise RuntimeError("the browser has ended")
            text += letter
        return dict(json.loads(text))


@contextmanager
def browser(command: str) -> Iterator[Browser]:
    """A headless browser, which ends with the block."""
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    high_in, high_out = (fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (theirs_in, theirs_out))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--remote-debugging-pipe", "--hide-scrollbars", f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium refuses to run as root otherwise
        hand_over = f'exec "$0" "$@" 3<&{high_in} 4>&{high_out}'  # the numbers that the protocol wants
        process = subprocess.Popen(  # noqa: S603 (the browser)
            ["/bin/bash", "-c", hand_over, command, *options],
            pass_fds=(high_in, high_out),
            stderr=subprocess.DEVNULL,
        )
        for one in (theirs_in, theirs_out, high_in, high_out):
            os.close(one)
        try:
            yield Browser(ours_in, ours_out)
        finally:
            process.kill()
            process.wait()
