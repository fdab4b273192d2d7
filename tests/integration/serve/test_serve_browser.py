"""The dashboard in a real browser."""

import signal

import pytest
from aiohttp import web
from fakes.browser_tab import until

ENDED = "getComputedStyle(document.querySelector('.ended')).display == 'block'"
STRANGE = """
new Promise(resolve => {
    const socket = new WebSocket(ADDRESS);
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("refused");
})
"""


@pytest.fixture
async def other_site():
    """Another account's web server on this machine: its address, and the headers that browsers showed it."""
    seen = []

    async def page(request):
        seen.append(dict(request.headers))
        return web.Response(text="<p>hello", content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


async def test_a_tab_shows_the_dashboard_and_takes_keys(serve, browser):
    served = serve()
    tab = await browser(served.address)
    await tab.shows("birch01")
    assert "SIMULATED" in await tab.screen()
    await tab.press("?")
    await tab.shows("Next row")


async def test_a_dashboard_that_was_quit_can_be_started_again(serve, browser):
    served = serve()
    tab = await browser(served.address)
    await tab.shows("birch01")
    await tab.press("q")
    await until(lambda: not served.children())
    await tab.comes_true(ENDED)
    await tab.evaluate("document.getElementById('again').click()")
    await tab.shows("birch01")


async def test_the_page_needs_nothing_from_outside_and_breaks_no_policy(serve, browser):
    served = serve()
    tab = await browser(served.address)
    await tab.shows("birch01")
    assert [url for url in tab.requests if url.split("/")[2] != served.origin.split("/")[2]] == []
    assert tab.complaints == []
    assert await tab.evaluate("document.fonts.check('16px \"Roboto Mono\"')")


async def test_the_secrets_stay_out_of_reach_of_the_page(serve, browser):
    served = serve()
    tab = await browser(served.address)
    await tab.shows("birch01")
    assert await tab.evaluate("document.cookie") == ""
    assert served.ticket not in await tab.evaluate("location.href")
    assert await tab.evaluate("document.referrer") == ""


async def test_the_dashboard_fills_the_window(serve, browser):
    served = serve()
    tab = await browser(served.address)
    await tab.shows("birch01")
    wide = await tab.evaluate("shown.cols")
    await tab.do("Emulation.setDeviceMetricsOverride", width=800, height=600, deviceScaleFactor=1, mobile=False)
    await tab.comes_true(f"shown.cols == {wide * 800 // 1200}")

    async def redrawn():
        lines = (await tab.screen()).splitlines()
        return "q quit" in lines[-1] and len(lines[0]) <= wide * 800 // 1200

    await until(redrawn)


async def test_a_closed_tab_ends_its_dashboard_and_no_other(serve, browser):
    served = serve()
    first = await browser(served.address)
    await first.shows("birch01")
    [one] = served.children()
    second = await browser(served.next_address())
    await second.shows("birch01")
    await first.close()
    await until(lambda: one not in served.children())
    await second.press("?")
    await second.shows("Next row")


async def test_the_end_of_the_server_is_shown_and_leaves_nothing_behind(serve, browser):
    served = serve()
    tab = await browser(served.address)
    await tab.shows("birch01")
    [dashboard] = served.children()
    assert served.end(signal.SIGTERM) == 0
    await tab.comes_true(ENDED)
    await until(lambda: not alive(dashboard))


async def test_another_server_on_this_machine_gets_neither_the_cookie_nor_a_terminal(serve, browser, other_site):
    served = serve()
    tab = await browser(served.address)
    await tab.shows("birch01")
    terminal = next(url for url in tab.requests if url.startswith("ws:"))
    address, seen = other_site
    # Even where the other server knows the path, which nobody told it.
    other = await browser(f"{address}/{terminal.split('/')[3]}/")
    assert await until(lambda: other.evaluate("document.body && document.body.textContent")) == "hello"
    assert await other.evaluate(STRANGE.replace("ADDRESS", repr(terminal))) == "refused"
    elsewhere = await browser(f"{address}/")
    assert await until(lambda: elsewhere.evaluate("document.body && document.body.textContent")) == "hello"
    assert [headers for headers in seen[1:] if "gpualloc" in headers.get("Cookie", "")] == []
    assert len(served.children()) == 1


def alive(pid):
    """Whether the process runs still."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
