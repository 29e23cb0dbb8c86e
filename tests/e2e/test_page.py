"""The status page in a browser: it loads without anything from elsewhere, shows a region filling up,
waits while nobody looks and while the server is away, and is there for everybody.

With MREGION_SCREENSHOT=FILE a picture of it is written there."""
import os
import random
import re
import sys
import threading
import time
import unittest

from case import Case
from chrome import CHROMIUM, Chrome

CONFIG = """
listen: [{{unix: {folder}/s}}]
http: [{{tcp: 127.0.0.1:{port}}}]
regions: [{{name: main}}, {{name: photos}}]
"""
MIB = 1 << 20
SHOWN = "document.querySelector('tr[data-region=main] .{}').textContent"
MAP = "document.querySelector('figure[data-region=main] canvas')"


class Page(Case):
    @classmethod
    def setUpClass(cls):
        cls.chrome = Chrome()
        cls.addClassCleanup(cls.chrome.__exit__)

    def setUp(self):
        self.served = self.server(config=" ")
        self.serve_on(0)
        self.served.start()
        self.port = int(re.search(r"serving HTTP on tcp:127\.0\.0\.1:(\d+)", self.served.log())[1])
        self.serve_on(self.port)  # the next time, too
        self.client = self.connect(self.served)
        self.chrome.events.clear()
        self.page = self.chrome.open(f"http://127.0.0.1:{self.port}/")
        self.addCleanup(lambda: self.page.send("Page.close"))
        self.page.size(1200, 900)

    def serve_on(self, port):
        self.served.write_config(CONFIG.format(folder=self.served.folder, port=port))

    def serving(self):
        self.page.wait("document.querySelector('#state').textContent == 'serving'")

    def asked(self):
        return [event["request"]["url"] for event in self.page.events("Network.requestWillBeSent")]

    def test_a_region_fills_up(self):
        self.serving()
        self.assertEqual(self.page.value(SHOWN.format("used")), "0 B")
        self.page.wait(f"{MAP}.getAttribute('aria-label')?.includes('nothing')")
        blocks = [self.client.call("addBlob", "main", bytes(MIB)) for _ in range(8)]
        self.page.wait(SHOWN.format("used") + " == '8.0 MiB'")
        self.page.wait("parseFloat(document.querySelector('#rate').textContent) >= 0")
        self.page.wait(f"{MAP}.getAttribute('aria-label')?.includes('100 % of 8.0 MiB')")
        for address in blocks[::2]:
            self.client.call("deallocate", "main", address, MIB)
        self.page.wait(SHOWN.format("used") + " == '4.0 MiB'")
        self.page.wait(SHOWN.format("split") + " == '75 %'")
        self.page.wait(f"{MAP}.getAttribute('aria-label')?.includes('50 % of 8.0 MiB')")
        dark = self.page.value(f"[...{MAP}.getContext('2d').getImageData(0, 0, 64, 8).data]"
                               ".filter((alpha, i) => i % 4 == 3 && alpha > 200).length")
        self.assertEqual(dark, 256)  # of the 512 parts half
        self.page.wait("document.querySelector('#method').options.length > 2")
        self.page.wait("document.querySelector('#rate-chart polyline').getAttribute('points').length > 10")

    def test_nothing_comes_from_elsewhere(self):
        self.serving()
        self.page.wait(f"{MAP}.getAttribute('aria-label')")
        paths = {url.removeprefix(f"http://127.0.0.1:{self.port}") for url in self.asked()}
        for path in paths - {"/favicon.ico"}:
            self.assertRegex(path, r"^/(status(/\w+/map\?cells=512)?)?$")
        faults = [entry["entry"] for entry in self.page.events("Log.entryAdded")
                  if "favicon" not in entry["entry"].get("url", "")]
        self.assertEqual(faults + self.page.events("Runtime.exceptionThrown"), [])

    def test_it_waits_while_nobody_looks(self):
        self.serving()
        hide = ("Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});"
                "document.dispatchEvent(new Event('visibilitychange'))")
        self.page.value(hide.format("true"))
        time.sleep(1.5)  # what is under way ends
        count = len(self.asked())
        self.client.call("addBlob", "main", bytes(MIB))
        time.sleep(2.5)
        self.assertEqual(len(self.asked()), count)
        # An hour away: the last answer is long ago.
        self.page.value("before.time_us -= 3600e6")
        self.page.value(hide.format("false"))
        self.page.wait(SHOWN.format("used") + " == '1.0 MiB'")
        self.page.wait("document.querySelector('#state').textContent == 'serving'")

    def test_it_waits_for_the_server(self):
        self.serving()
        self.served.kill()
        self.page.wait("document.querySelector('#state').textContent == 'the server does not answer'")
        self.assertTrue(self.page.value("document.querySelector('#state').classList.contains('bad')"))
        self.served.start()
        self.serving()

    def test_regions_that_come_and_go_and_are_looked_for(self):
        self.serving()
        for name in ("alpha", "beta"):
            self.client.call("createRegion", name)
        self.page.wait("document.querySelectorAll('#regions tr').length == 4")
        self.client.call("dropRegion", "alpha")
        self.page.wait("document.querySelectorAll('#regions tr').length == 3")
        self.assertEqual(self.page.value("[...document.querySelectorAll('#maps figure')].map(f => f.dataset.region).join()"),
                         "beta,main,photos")
        self.page.value("document.querySelector('#filter').value = 'PHO';"
                        "document.querySelector('#filter').dispatchEvent(new Event('input'))")
        self.page.wait("document.querySelectorAll('#regions tr').length == 1")
        self.assertIn("1 of 3", self.page.value("document.querySelector('#shown').textContent"))

    def test_light_and_dark(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        self.serving()
        for scheme, is_dark in (("light", False), ("dark", True)):
            self.page.scheme(scheme)
            color = [int(part) for part in re.findall(r"\d+", self.page.value(ground))]
            self.assertEqual(sum(color[:3]) < 384, is_dark, scheme)
            for one, other in (("--text", "--ground"), ("--soft", "--panel"), ("--one", "--panel"),
                               ("--two", "--panel"), ("--good", "--ground"), ("--bad", "--ground")):
                self.assertGreaterEqual(self.contrast(one, other), 4.5, (scheme, one))

    def contrast(self, one, other):
        """As WCAG 2 counts it."""
        lights = []
        for name in (one, other):
            text = self.page.value(f"getComputedStyle(document.documentElement).getPropertyValue('{name}')")
            parts = [int(text.strip()[i:i + 2], 16) / 255 for i in (1, 3, 5)]
            red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055)**2.4
                                for part in parts]
            lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
        return (max(lights) + 0.05) / (min(lights) + 0.05)

    def test_narrow(self):
        self.page.size(320, 600)
        self.serving()
        self.assertLessEqual(self.page.value("document.documentElement.scrollWidth"), 320)

    def test_keyboard(self):
        self.serving()
        seen = []
        for _ in range(5):
            self.page.press("Tab", 9)
            seen.append(self.page.value("document.activeElement.id || document.activeElement.className"))
        self.assertEqual(seen, ["skip", "method", "filter", "scroll", seen[4]])
        self.page.value("document.querySelector('#filter').focus()")
        self.client.call("createRegion", "another")
        self.page.wait("document.querySelectorAll('#regions tr').length == 3")
        self.assertEqual(self.page.value("document.activeElement.id"), "filter")

    def test_for_screen_readers(self):
        self.serving()
        self.page.wait("[...document.querySelectorAll('figure canvas')].filter(map => map.ariaLabel).length == 2")
        nodes = self.page.send("Accessibility.getFullAXTree")["nodes"]
        roles = {}
        for node in nodes:
            if not node.get("ignored"):
                roles.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
        for role in ("banner", "main", "table", "columnheader", "rowheader", "status", "heading"):
            self.assertIn(role, roles)
        self.assertEqual(len(roles["columnheader"]), 11)
        self.assertEqual(sorted(roles["rowheader"]), ["main", "photos"])
        pictures = roles.get("image", []) + roles.get("img", [])
        self.assertEqual(len(pictures), 5)
        for role in ("image", "img", "textbox", "searchbox", "combobox", "region", "columnheader"):
            for name in roles.get(role, []):
                self.assertTrue(name, role)

    @unittest.skipUnless(os.environ.get("MREGION_SCREENSHOT"), "MREGION_SCREENSHOT is not set")
    def test_picture(self):
        self.page.size(1200, 780)
        self.serving()
        at_work = threading.Event()
        worker = threading.Thread(target=self.keep_busy, args=(at_work,))
        worker.start()
        time.sleep(75)
        self.page.screenshot(os.environ["MREGION_SCREENSHOT"])
        at_work.set()
        worker.join()

    def keep_busy(self, enough):
        chance = random.Random(1)
        blocks = {"main": [], "photos": []}
        while not enough.wait(0.02):
            name = chance.choice(("main", "photos", "photos"))
            mine = blocks[name]
            for _ in range(chance.randrange(10, 30)):
                size = int(chance.lognormvariate(9 if name == "photos" else 7, 1.3)) + 1
                mine.append((self.client.call("addBlob", name, bytes(size)), size))
                for _ in range(3):
                    self.client.call("loadBlob", name, *chance.choice(mine))
            begin = chance.randrange(len(mine))
            for _ in range(chance.randrange(40 if name == "main" else 26)):  # neighbors, mostly
                if begin < len(mine):
                    self.client.call("deallocate", name, *mine.pop(begin))


if __name__ == "__main__":
    if CHROMIUM is None:
        print("skipped: Chromium is not installed (Debian: chromium)")
        sys.exit(77)
    unittest.main()
