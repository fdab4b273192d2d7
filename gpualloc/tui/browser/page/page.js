// The address of the websocket is next to this page, by whichever name the browser reached it.
document.getElementById("terminal").dataset.sessionWebsocketUrl = new URL("ws", location.href).href.replace(/^http/, "ws");
document.getElementById("again").addEventListener("click", () => location.reload());
// textual-serve's script makes the terminal when the page is loaded, and leaves it to the first click to reach it.
window.addEventListener("load", () => document.querySelector(".xterm-helper-textarea").focus());
