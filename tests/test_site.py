"""The built site in a real browser: every page, the search, the links, light and dark, a phone."""

import fcntl
import functools
import itertools
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import DESKTOP, PHONE, SCREENSHOTS, Watched

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools"))

import docs  # noqa: E402
import pages  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]
FILES = [Path(file).stem for part in pages.parts() for file in part["contents"]]
READING = [page for file in FILES for page in ([file, *(f"api/{m}" for m in pages.modules())] if file == "api" else [file])]


@pytest.fixture(scope="session")
def site():
    "Address of the site, built once for all workers by what `make docs` calls"
    done = docs.SITE / "built"
    docs.SITE.mkdir(parents=True, exist_ok=True)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    with (docs.SITE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != run:
            built = subprocess.run([sys.executable, "tools/docs.py", "build"], cwd=ROOT, capture_output=True, text=True)
            assert built.returncode == 0, built.stdout + built.stderr
            done.write_text(run)
    server = docs.Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.address
    server.shutdown()
    server.server_close()


@functools.cache
def soup(page: str):
    from bs4 import BeautifulSoup

    return BeautifulSoup((docs.HTML / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


# --- every page --------------------------------------------------------------------------------------------------------

RAW = r"""() => {
  const article = document.querySelector("article").cloneNode(true);
  article.querySelectorAll("pre, code, script, style, mjx-container").forEach(e => e.remove());
  return article.textContent.match(/\$\$|\\\(|\\\[|\\begin\{|\{\{|:class:|\]\(\w|\|\s*(?:---|—)/g);
}"""
MATHS = """() => [...document.querySelectorAll(".math")].filter(e => !e.querySelector("mjx-container") || e.querySelector("mjx-merror")).map(e => e.textContent)"""
IMAGES = """() => [...document.querySelectorAll("article img")].filter(e => !e.alt || !e.naturalWidth).map(e => e.src)"""
WIDTH = """() => document.documentElement.scrollWidth - document.documentElement.clientWidth"""
PICTURE = """() => Math.min(...[...document.querySelectorAll("article :is(img, .modreg-explore, pre)")]
  .filter(e => e.tagName != "PRE" || !e.closest(".cell")).map(e => e.getBoundingClientRect().top))"""


@pytest.mark.parametrize("page", READING)
def test_page(site, chromium, page):
    "It opens without a complaint and asks no other host; formulas are set, figures are there and described, nothing is wider than a phone"
    with Watched(chromium, site) as watched:
        watched.open(f"{page}.html")
        tab = watched.page
        assert tab.locator("article h1").count() == 1
        assert tab.evaluate(RAW) is None
        assert tab.evaluate(MATHS) == []
        assert tab.evaluate(IMAGES) == []
        assert tab.evaluate(WIDTH) == 0
        if page in pages.chapters() and page != "exercises":
            assert tab.evaluate(PICTURE) < DESKTOP["height"] - 100, "no picture, or diagram in letters, in the first screen"
        watched.screenshot(f"{page}-desktop")
        tab.set_viewport_size(PHONE)
        assert tab.evaluate(WIDTH) == 0, "wider than a phone"
        watched.screenshot(f"{page}-phone")
        tab.set_viewport_size(DESKTOP)
        for summary in tab.locator("article details > summary").all():
            summary.click()
        assert tab.locator("article details:not([open])").count() == 0


@pytest.mark.parametrize("page", pages.chapters())
def test_chapter_shows_what_a_reader_needs(site, page):
    "No directive and no hidden cell; badges that lead to this notebook; the notebook itself"
    text, html = (docs.HTML / f"{page}.html").read_text(encoding="utf-8"), soup(page)
    assert not any(line.startswith("#|") for code in html.select("article pre") for line in code.text.splitlines())
    links = {a.text: a["href"] for a in html.select(".badges a")}
    assert list(links) == ["Source", "Colab", "Binder", "Download"]
    assert all(f"nbs/{page}.ipynb" in links[name] and urlsplit(links[name]).scheme == "https" for name in ("Source", "Colab", "Binder"))
    assert (docs.HTML / links["Download"]).read_bytes() == (ROOT / "nbs" / f"{page}.ipynb").read_bytes()
    assert str(ROOT) not in text, "a path of this machine"


def test_links(site):
    "Each link inside the site leads to a file, and its anchor to an element there; no page loads anything from elsewhere"
    ids = {page: {tag["id"] for tag in soup(page).select("[id]")} for page in [*READING, "search", "genindex"]}
    for page in READING:
        for tag in soup(page).select("a[href], img[src], script[src], link[href]"):
            address = tag.get("href") or tag["src"]
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert tag.name == "a" or address.startswith("data:") or tag.get("rel") == ["canonical"], f"{page} loads {address}"
                continue
            target = (docs.HTML / f"{page}.html").parent.joinpath(unquote(parts.path)).resolve() if parts.path else docs.HTML / f"{page}.html"
            assert target.exists(), f"{page} links to {address}"
            name = str(target.relative_to(docs.HTML).with_suffix(""))
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in ids[name], f"{page} links to {address}"


def test_previous_and_next_follow_the_navigation(site):
    "From the home page, `next` leads through all pages in the order of _quarto.yml, and `previous` back"
    for before, after in itertools.pairwise(READING):
        for page, other, kind in ((before, after, "next"), (after, before, "prev")):
            link = soup(page).select_one(f"a.{'right' if kind == 'next' else 'left'}-{kind}")
            assert link and (docs.HTML / f"{page}.html").parent.joinpath(link["href"]).resolve() == docs.HTML / f"{other}.html", page


def test_public_names_are_in_the_reference(site):
    "Each with a table of its parameters"
    import api

    for module in pages.modules():
        html = soup(f"api/{module}")
        for name, value in api.members(module):
            assert html.find(id=api.anchor(module, name, value)), f"{module}.{name}"


# --- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [name for name in pages.chapters() if "modreg.book.explore" in (ROOT / "nbs_py" / f"{name}.py").read_text(encoding="utf-8")])
def test_figures_move(site, chromium, page):
    "Every program on a page draws itself and answers to the keyboard, without a kernel"
    with Watched(chromium, site) as watched:
        watched.open(f"{page}.html")
        figures = watched.page.locator(".modreg-explore")
        assert figures.count()
        for figure in figures.all():
            name, state, this = figure.get_attribute("data-name"), figure.get_attribute("data-state"), figure.element_handle()
            target = figure.get_by_role("button", name="20 steps").or_(figure.locator("input[type=range]")).or_(figure.locator("canvas")).first
            target.press("Enter" if target.evaluate("e => e.tagName") == "BUTTON" else "ArrowRight")
            watched.page.wait_for_function("([figure, old]) => figure.dataset.state !== old", arg=[this, state])  # this one, also where the same stands twice
            figure.screenshot(path=SCREENSHOTS / f"figure-{page}-{name}.png")


# --- what moves --------------------------------------------------------------------------------------------------------


def test_search_finds_a_term(site, chromium):
    with Watched(chromium, site) as watched:
        watched.open()
        watched.page.keyboard.press("Control+k")
        watched.page.locator("dialog input[type=search]:visible, .search-button__search-container input:visible").first.fill("geodesic")
        watched.page.keyboard.press("Enter")
        watched.page.wait_for_url("**/search.html?q=geodesic*")
        watched.page.locator("#search-results a", has_text="Manifolds").first.wait_for()  # results come one by one
        assert watched.page.locator("#search-results li a").count() > 2
        watched.screenshot("search")


def test_light_and_dark(site, chromium):
    "The button's menu has both; the choice holds on the next page"
    with Watched(chromium, site) as watched:
        watched.open("regularizer.html")
        colours = {}
        for mode in ("light", "dark"):
            watched.page.locator(".theme-switch-button:visible").click()
            watched.page.locator(".dropdown-menu:visible").get_by_text(mode, exact=False).click()
            assert watched.page.evaluate("() => document.documentElement.dataset.theme") == mode
            colours[mode] = watched.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert colours["light"] != colours["dark"]
        watched.open("manifolds.html")
        assert watched.page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        watched.screenshot("dark")


def test_hover_card(site, chromium):
    "A word of the glossary shows its meaning to the mouse and to the keyboard, and hides it on Escape"
    with Watched(chromium, site) as watched:
        watched.open("index.html")
        word, card = watched.page.locator("a.term").first, watched.page.locator("#hover-card")
        assert card.is_hidden()
        word.hover()
        assert card.is_visible() and len(card.inner_text()) > 40
        watched.screenshot("hover-card")
        watched.page.mouse.move(0, 0)
        assert card.is_hidden()
        word.focus()
        assert card.is_visible() and word.get_attribute("aria-describedby") == "hover-card"
        watched.page.keyboard.press("Escape")
        assert card.is_hidden()
        watched.page.set_viewport_size(PHONE)
        word.focus()
        assert watched.page.evaluate(WIDTH) == 0


def test_contents_open_on_a_phone(site, chromium):
    with Watched(chromium, site) as watched:
        watched.page.set_viewport_size(PHONE)
        watched.open()
        watched.page.locator(".primary-toggle:visible").first.click()
        link = watched.page.get_by_role("link", name="Manifolds").locator("visible=true").first
        link.wait_for(state="visible")
        watched.screenshot("contents-phone")
        link.click()
        watched.page.wait_for_url("**/manifolds.html")


def test_reads_without_javascript(site, chromium):
    "Text, code and pictures are in the page itself"
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}manifolds.html")
    assert page.locator("article img").count() > 2
    assert page.locator("article pre:visible").first.is_visible()
    context.close()


def test_serve_prints_the_address(site):
    process = subprocess.Popen([sys.executable, "tools/docs.py", "serve", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split("at ")[1].split()[0]
        with urllib.request.urlopen(address) as answer:
            assert b"modreg" in answer.read()
    finally:
        process.terminate()
        process.communicate(timeout=30)
