"""The built site in a real browser: every page, the search, the links, light and dark, a phone."""

import functools
import http.server
import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import DESKTOP, PHONE, SCREENSHOTS, Watched
from executed import CHAPTERS, RUN, executed
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tools"), str(ROOT / "docs")]

import docs  # noqa: E402
import pages  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]
FILES = [Path(file).stem for part in pages.parts() for file in part["contents"]]
READING = [page for file in FILES for page in ([file, *(f"api/{m}" for m in pages.modules())] if file == "api" else [file])]


@pytest.fixture(scope="session")
def site():
    "Address of the site, built once for all workers by what `make docs` calls, of the chapters that test_chapters.py looks at"
    done = docs.SITE / "built"
    docs.SITE.mkdir(parents=True, exist_ok=True)
    with FileLock(docs.SITE / "lock"):
        if not done.exists() or done.read_text() != RUN:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # from the last on: another worker may be on its way through them; who waits here holds no chapter
                list(pool.map(executed, reversed(CHAPTERS)))
            built = subprocess.run([sys.executable, "tools/docs.py", "--scale", "tiny"], cwd=ROOT, capture_output=True, text=True)
            assert built.returncode == 0 and ": executed" not in built.stdout, built.stdout + built.stderr
            done.write_text(RUN)

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(docs.HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
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
IMAGES = """async () => {
  const images = [...document.querySelectorAll("article img")];
  images.forEach((e) => { e.loading = "eager"; });
  await Promise.all(images.map((e) => e.decode().catch(() => null)));
  return images.filter((e) => !e.alt || !e.naturalWidth).map((e) => e.src);
}"""
LETTERS = """() => [...document.querySelectorAll("figure.plot img")].filter((e) => e.getBoundingClientRect().width)
  .filter((e) => e.getBoundingClientRect().width < parseFloat(getComputedStyle(e.closest("figure")).getPropertyValue("--least")) - 0.5).map((e) => e.src)"""
CUES = """() => [...document.querySelectorAll("figure.plot, .pst-scrollable-table-container")].filter((e) => e.scrollWidth > e.clientWidth + 8 && !getComputedStyle(e, "::after").content.includes("scroll")).length"""
WIDTH = """() => document.documentElement.scrollWidth - document.documentElement.clientWidth"""
PICTURE = """() => Math.min(...[...document.querySelectorAll("article :is(img, .modreg-explore, pre)")]
  .filter(e => (e.tagName != "PRE" || !e.closest(".cell")) && e.getClientRects().length).map(e => e.getBoundingClientRect().top))"""


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
        assert tab.evaluate(LETTERS) == [], "letters below 9 px"
        tab.evaluate("() => document.querySelectorAll('article details').forEach((folded) => folded.open = true)")
        tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # what observes sizes has seen them
        assert tab.evaluate(CUES) == 0, "a figure or a table is wider than the phone, and does not say so"
        tab.evaluate("() => document.querySelectorAll('article details').forEach((folded) => folded.open = false)")
        watched.screenshot(f"{page}-phone")
        tab.set_viewport_size(DESKTOP)
        for summary in tab.locator("article details > summary").all():
            summary.click()
        assert tab.locator("article details:not([open])").count() == 0
        assert tab.evaluate(IMAGES) == [], "a figure is gone after changes of width"


@pytest.mark.parametrize("page", pages.chapters())
def test_chapter_shows_what_a_reader_needs(site, page):
    "No directive and no hidden cell; buttons that lead to this notebook; the notebook itself; every figure twice and described"
    text, html = (docs.HTML / f"{page}.html").read_text(encoding="utf-8"), soup(page)
    assert not any(line.startswith("#|") for code in html.select("article pre") for line in code.text.splitlines())
    links = [a["href"] for a in html.select(".header-article-items a[href]")]
    for host, marks in (("mybinder.org", "lab/tree/"), ("colab.research.google.com", "/blob/"), ("github.com", "/blob/")):
        assert any(urlsplit(link).netloc == host and marks in link and f"nbs/{page}.ipynb" in link for link in links), host
    download = next(link for link in links if link.startswith("_sources/"))
    assert (docs.HTML / download).read_bytes() == (ROOT / "nbs" / f"{page}.ipynb").read_bytes()
    for figure in html.select("figure.plot"):
        assert [image["class"] for image in figure.select("img")] == [["only-light"], ["only-dark"]] and all(image["alt"] for image in figure.select("img"))
    assert str(ROOT) not in text, "a path of this machine"


def test_no_page_shows_what_tiny_networks_found(site):
    "An experiment is shown at the scale that its page names, and at `tiny` without results"
    for page in pages.experiments():
        scale = soup(page).select_one(".scale").text
        assert "at the scale small" in scale or ("are left out" in scale and "sparse network has" not in soup(page).select_one("article").text)


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
            if parts.fragment.startswith("set:"):  # words that set a figure of this page
                figure = parts.fragment.removeprefix("set:").split("?")[0]
                assert soup(page).select(f'.modreg-explore[data-name="{figure}"]'), f"{page} sets {figure}, which is not there"
                continue
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in ids[name], f"{page} links to {address}"


def test_previous_and_next_follow_the_navigation(site):
    "From the home page, `next` leads through all pages in the order of _quarto.yml, and `previous` back"
    for before, after in itertools.pairwise(READING):
        for page, other, kind in ((before, after, "next"), (after, before, "prev")):
            link = soup(page).select_one(f"a.{'right' if kind == 'next' else 'left'}-{kind}")
            assert link and (docs.HTML / f"{page}.html").parent.joinpath(link["href"]).resolve() == docs.HTML / f"{other}.html", page


def test_public_names_are_in_the_reference(site):
    "Each with its parameters, and a link to its source"
    for module in pages.modules():
        html = soup(f"api/{module}")
        for name in pages.exported(module):
            assert html.find(id=f"{pages.module_of(module)}.{name}"), f"{module}.{name}"
    paths = soup("api/navigation").find(id="modreg.tasks.navigation.paths").parent
    assert "number of paths" in paths.text and "modreg/tasks/navigation.py#L" in paths.select_one("a.external")["href"]


def test_works_say_where_they_are_named(site):
    work = next(one for one in soup("bibliography").select(".citation") if "Opening the black box" in one.text)
    assert "Named in" in work.text and work.select_one('a[href="attractors.html"]')


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
        watched.open("regularizer.html")
        word, card = watched.page.locator("a:has(> .std-term)").first, watched.page.locator(".tooltip.card-hover")
        assert card.count() == 0
        word.hover()
        card.wait_for()
        assert len(card.inner_text()) > 40
        watched.screenshot("hover-card")
        watched.page.mouse.move(0, 0)
        card.wait_for(state="detached")
        word.focus()
        card.wait_for()
        assert word.get_attribute("aria-describedby") == card.get_attribute("id")
        watched.page.keyboard.press("Escape")
        card.wait_for(state="detached")
        watched.page.set_viewport_size(PHONE)
        word.blur()
        word.focus()
        card.wait_for()
        assert watched.page.evaluate(WIDTH) == 0
        names = watched.page.locator("a.reference:has(code), a.reference[href*='bibliography.html#']")
        assert names.count() and all(names.nth(k).get_attribute("data-bs-original-title") is not None for k in range(min(3, names.count())))


def test_a_figure_in_the_dark(site, chromium):
    "One of the two pictures is shown, and the dark one is dark"
    with Watched(chromium, site) as watched:
        watched.open("regularizer.html")
        shown = []
        for mode in ("light", "dark"):
            watched.page.evaluate("(mode) => { document.documentElement.dataset.theme = mode; }", mode)
            figure = watched.page.locator("figure.plot").first
            figure.scroll_into_view_if_needed()
            visible = [image.is_visible() for image in figure.locator("img").all()]
            assert visible == [mode == "light", mode == "dark"]
            watched.page.wait_for_function("(k) => document.querySelectorAll('figure.plot img')[k].naturalWidth", arg=int(mode == "dark"))
            shown.append(figure.locator("img").nth(int(mode == "dark")).evaluate("""(image) => {
                const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 40 }), pen = canvas.getContext("2d");
                pen.fillStyle = getComputedStyle(document.body).backgroundColor;
                pen.fillRect(0, 0, 40, 40);
                pen.drawImage(image, 0, 0, 40, 40);
                return pen.getImageData(0, 0, 3, 3).data[0];
            }"""))
            watched.screenshot(f"figure-{mode}")
        assert shown[0] > 230 and shown[1] < 60


def test_slider_and_picture_are_on_one_screen(site, chromium):
    "On a phone, each control of a widget is seen together with its first picture"
    with Watched(chromium, site) as watched:
        watched.page.set_viewport_size(PHONE)
        for page in ("manifolds", "inhibitors", "regularizer"):
            watched.open(f"{page}.html")
            for figure in watched.page.locator(".modreg-explore").all():
                apart = figure.evaluate("""(figure) => {
                    const bottom = (e) => e.getBoundingClientRect().bottom, top = figure.querySelector("canvas").getBoundingClientRect();
                    return Math.max(0, ...[...figure.querySelectorAll("input, select, button")].map((e) => Math.max(bottom(e), top.bottom) - Math.min(e.getBoundingClientRect().top, top.top)));
                }""")
                assert apart < PHONE["height"], (page, figure.get_attribute("data-name"), apart)


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
    assert page.locator("article img.only-light").count() > 2 and page.locator("article img.only-light").first.is_visible()
    assert page.locator("article pre:visible").first.is_visible()
    context.close()
