"""How a dashboard in a browser reads and writes."""

from __future__ import annotations

from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp


class ServedDriver(WebDriver):
    """As Textual's, but the dashboard ends when its server is gone, however that ended."""

    def run_input_thread(self) -> None:
        """Read until the server closes its end of the pipe, which a killed one does too."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.post_message(ExitApp())
