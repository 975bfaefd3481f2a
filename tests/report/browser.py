"""A real browser, driven over a pipe: what a page logs, what it asks the network for, how wide it is."""

import base64
import fcntl
import json
import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking "
    "--disable-component-update --disable-extensions --disable-sync --remote-debugging-pipe"
).split()


def find_browser():
    """The path of Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A headless Chromium of its own, to be used in a ``with``; ``profile`` is an empty folder for its data."""

    def __init__(self, program, profile):
        # Chromium reads commands from 3 and answers on 4, each message ended by a zero byte
        ours, theirs = zip(*(_pipe(reading) for reading in (False, True)))

        def as_3_and_4():
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=as_3_and_4,
            pass_fds=(3, 4),
        )
        for number in theirs:
            os.close(number)
        self._commands, self._answers = os.fdopen(ours[0], "wb", 0), ours[1]
        self._received = [b""]
        self._number, self._session, self.events = 0, None, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.send("Browser.close", of_page=False)
        self._process.wait(20)
        self._commands.close()
        os.close(self._answers)

    def open(self, url, width):
        """A new page of that width; ``events`` are those up to the end of its loading."""
        target = self.send("Target.createTarget", {"url": "about:blank"}, of_page=False)["targetId"]
        attached = self.send("Target.attachToTarget", {"targetId": target, "flatten": True}, of_page=False)
        self._session, self.events = attached["sessionId"], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", size)
        self.send("Page.navigate", {"url": url})
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive()

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        return self.send("Runtime.evaluate", {"expression": expression, "returnByValue": True})["result"]["value"]

    def screenshot(self, file):
        """The whole page as a PNG."""
        answer = self.send("Page.captureScreenshot", {"captureBeyondViewport": True})
        file.write_bytes(base64.b64decode(answer["data"]))

    def send(self, method, parameters=None, of_page=True):
        """The answer to a command of the DevTools protocol."""
        self._number += 1
        session = {"sessionId": self._session} if of_page else {}
        message = {"id": self._number, "method": method, "params": parameters or {}, **session}
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self):
        while b"\0" not in self._received[-1]:
            self._received.append(os.read(self._answers, 1 << 20))
            assert self._received[-1], "the browser has ended"
        end, _, rest = self._received.pop().partition(b"\0")
        message = json.loads(b"".join([*self._received, end]))
        self._received = [rest]
        if "method" in message and message.get("sessionId") == self._session:
            self.events.append(message)
        return message


def _pipe(reading):
    """(our end, the browser's end), with numbers that 3 and 4 cannot run into."""
    ends = []
    for number in os.pipe():
        ends.append(fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(number)
    return ends if reading else ends[::-1]
