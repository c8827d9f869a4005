"""Pictures of every page of the runs, in a real browser: ``make screenshots``.

Each page at the width of a desk and of a telephone, light and dark, as PNG files in ``runs/screenshots``. One that
scrolls sideways is reported, and the exit code is then 1. The browser is Chromium (``apt-get install chromium``).
"""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDTHS = (1280, 390)  # pixels
SCHEMES = ("light", "dark")
_MAX_HEIGHT = 12_000  # of a picture, in pixels
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser:
    """A page of a headless Chromium, driven over its DevTools protocol on a pair of pipes."""

    def __init__(self, reader: int, writer: int):
        self._answers = os.fdopen(reader, "rb")
        self._orders = os.fdopen(writer, "wb")
        self._number = itertools.count(1)
        self._session = ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")

    def open(self, page: Path, width: int, scheme: str) -> None:
        """Show a page in a window of this width, and wait until it is loaded."""
        self._resize(width, 900)
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._ask("Page.navigate", url=page.resolve().as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def scrolls_sideways(self, width: int) -> bool:
        """Whether the page is wider than its window."""
        found = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        return bool(found["width"] > width)

    def picture(self, width: int) -> bytes:
        """The whole page, as PNG."""
        height = min(int(self._ask("Page.getLayoutMetrics")["cssContentSize"]["height"]), _MAX_HEIGHT)
        self._resize(width, height)
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])

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


def main(root: Path, target: Path) -> int:
    """Make the pictures; 1 when a page scrolls sideways, 2 when there is no browser or no page."""
    command = next(filter(None, map(shutil.which, _NAMES)), None)
    if command is None:
        print("make screenshots needs Chromium; on Debian: apt-get install chromium", file=sys.stderr)
        return 2
    pages = sorted([*root.glob("*.html"), *root.glob("*/*.html"), *root.glob("*/reports/*.html")])
    if not pages:
        print(f"there is no page in '{root}'; run 'make demo' first", file=sys.stderr)
        return 2
    target.mkdir(parents=True, exist_ok=True)
    wide = set()
    with browser(command) as window:
        for page, width, scheme in itertools.product(pages, WIDTHS, SCHEMES):
            window.open(page, width, scheme)
            if window.scrolls_sideways(width):
                wide.add((str(page), width))
            name = "-".join(page.relative_to(root).with_suffix("").parts)
            (target / f"{name}-{width}-{scheme}.png").write_bytes(window.picture(width))
    for name, width in sorted(wide):
        print(f"{name} scrolls sideways at {width} pixels", file=sys.stderr)
    print(f"{len(pages)} pages in {target}")
    return int(bool(wide))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
