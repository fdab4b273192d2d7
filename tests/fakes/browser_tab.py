"""A tab of a real browser, driven through its DevTools, with the terminal that textual-serve's page shows in it."""

import asyncio
import time

PATIENCE_S = 100
_LEFT = "Inspected target navigated or closed"
# xterm.js keeps its terminal to itself; the page's object shows itself when it is given its first part.
FIND_TERMINAL = """
Object.defineProperty(Object.prototype, "fitAddon", {configurable: true, set(part) {
    Object.defineProperty(this, "fitAddon", {value: part, writable: true, configurable: true});
    window.shown = this.terminal;
}});
"""
READ_TERMINAL = """
(() => {
    if (!window.shown) return "";
    const {buffer, rows, cols} = window.shown;
    const text = (row) => buffer.active.getLine(row)?.translateToString(true, 0, cols) ?? "";
    return Array.from({length: rows}, (_, row) => text(row)).join("\\n");
})()
"""


async def until(look):
    """What `look`, a function or coroutine function, returns once that is not empty."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"waited in vain for {look}"
        await asyncio.sleep(0.05)


class Tab:
    """A page of the browser, driven through its DevTools."""

    def __init__(self, socket):
        self._socket = socket
        self._number = 0
        self.requests = []
        self.complaints = []

    async def do(self, method, **parameters):
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=PATIENCE_S)
            if message.get("id") == self._number:
                if message.get("error", {}).get("message") == _LEFT:
                    # Another page is opened just then: it is asked instead.
                    return await self.do(method, **parameters)
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message):
        parameters = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        elif message["method"] == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])

    async def open(self, address):
        for part in ("Page", "Network", "Log", "Runtime"):
            await self.do(f"{part}.enable")
        await self.do("Page.addScriptToEvaluateOnNewDocument", source=FIND_TERMINAL)
        await self.do("Page.navigate", url=address)

    async def evaluate(self, script):
        answer = await self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def screen(self):
        """The text that the terminal shows."""
        return await self.evaluate(READ_TERMINAL)

    async def shows(self, text):
        async def shown():
            return text in (await self.screen() or "")

        await until(shown)

    async def comes_true(self, script):
        await until(lambda: self.evaluate(script))

    async def press(self, key):
        await self.do("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def close(self):
        await self.do("Page.close")
