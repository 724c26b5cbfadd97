"""The figures' programs: they compute what the package computes, and answer on a page without a kernel."""

import json
import math
import re

import pytest
import torch
from browser import FIGURES, ROOT, Watched

from modreg.book import explore
from modreg.book.explore import _source
from modreg.geometry.inhibitors import INHIBITORS
from modreg.geometry.manifolds import manifold
from modreg.sparsity.penalties import display_name


@pytest.fixture
def page(chromium):
    """A page that fails the test if it logs an error or asks for anything from another host."""
    with Watched(chromium, "") as watched:
        yield watched.page


def show(page, name, tmp_path):
    """Open a page with one figure and return the figure."""
    path = tmp_path / f"{name}.html"
    path.write_text(f"<!doctype html><html><meta charset='utf-8'><body>{getattr(explore, name)().page()}</body></html>", encoding="utf-8")
    page.goto(path.as_uri())
    figure = page.locator(".modreg-explore")
    page.wait_for_function("document.querySelector('.modreg-explore').dataset.state")
    return figure


def pictures(figure):
    """The pixels of the figure's canvases."""
    return figure.evaluate("el => [...el.querySelectorAll('canvas')].map((c) => c.toDataURL())")


def computed(page, expression, argument):
    """The value of a JavaScript expression that sees what all figures share."""
    source = _source("inhibitor_shapes").replace("export default { render };", "")
    return page.evaluate(f"(argument) => {{ {source}; return ({expression})(argument); }}", argument)


@pytest.mark.parametrize("name", ["circle", "sphere", "torus", "klein", "r3"])
def test_distances_are_the_packages(page, name):
    space = manifold(name)
    x, y = (space.sample(200, torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1))
    expected = torch.linalg.vector_norm((x - y), dim=-1) if name == "r3" else space.distance(x, y).diagonal()
    said = computed(page, f"([x, y]) => x.map((p, k) => MANIFOLDS.{name}.distance(p, y[k]))", [x.tolist(), y.tolist()])
    torch.testing.assert_close(torch.tensor(said, dtype=torch.float64), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in INHIBITORS if name != "independent"])
def test_prices_are_the_packages(page, name):
    d = torch.linspace(0, 8, 100, dtype=torch.float64)
    said = computed(page, f"(d) => d.map((x) => INHIBITORS.{name}.value(x, defaults(INHIBITORS.{name})))", d.tolist())
    scale = 50 if name == "constant" else 1  # the figure draws a larger constant
    torch.testing.assert_close(torch.tensor(said, dtype=torch.float64), scale * INHIBITORS[name](d), rtol=1e-9, atol=1e-9)
    assert (computed(page, f"() => collapse(INHIBITORS.{name})", None) == "") == (INHIBITORS[name].trainable[0] or name == "sinusoid")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_answers_to_the_keyboard(page, tmp_path, name):
    """Each control changes what is seen, by keys alone, within 50 ms of computing (the median of several moves)."""
    figure = show(page, name, tmp_path)
    assert figure.locator("canvas").count() >= 2
    for canvas in figure.locator("canvas").all():
        assert canvas.get_attribute("aria-label")
    for box in reversed(figure.locator("input, select").all()):  # a choice made first would bring other sliders
        assert box.get_attribute("aria-label")
        before = pictures(figure), figure.get_attribute("data-state")
        box.focus()
        page.keyboard.press("ArrowRight" if box.evaluate("e => e.tagName") == "INPUT" else "ArrowDown")
        page.wait_for_function("([old]) => document.querySelector('.modreg-explore').dataset.state !== old", arg=[before[1]])
        if name == "embedding_training":  # another inhibitor starts from the same places
            figure.get_by_role("button", name="20 steps").press("Enter")
        assert pictures(figure) != before[0]
    if name in ("glued_square", "covering", "path_integration"):
        before = pictures(figure)
        figure.locator("canvas").first.focus()
        page.keyboard.press("ArrowLeft")
        assert pictures(figure) != before


@pytest.mark.parametrize("name", FIGURES)
def test_a_move_takes_less_than_50_ms(page, tmp_path, name):
    """The median time of a move's own computing and drawing; a frame on a busy machine is not counted."""
    figure = show(page, name, tmp_path)
    times = figure.evaluate("""async (el) => {
        const times = [], input = el.querySelector('input'), canvas = el.querySelector('canvas'), button = [...el.querySelectorAll('button')].find((b) => b.textContent === '20 steps');
        for (let k = 0; k < 15; k++) {
            const start = performance.now();
            if (button) button.click();
            else if (input) { input.value = Number(input.value) + Number(input.step || 1); input.dispatchEvent(new Event('input')); }
            else canvas.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' }));
            times.push((performance.now() - start) / (button ? 10 : 1));
            await new Promise((r) => setTimeout(r, 5));
        }
        return times.sort((a, b) => a - b);
    }""")
    assert times[len(times) // 2] < 50, times


def test_the_page_integrates_a_path_as_torch_does(page, tmp_path):
    figure = show(page, "path_integration", tmp_path)
    figure.get_by_role("button", name="Draw a loop").click()
    state = json.loads(figure.get_attribute("data-state"))
    path = computed(page, """() => {
        const stride = %r, path = [[-0.35, 0]];
        for (let k = 1; k <= 120; k++) {
            const spot = [-0.35 * Math.cos(k * Math.PI / 60), 0.35 * Math.sin(k * Math.PI / 60)], from = path.at(-1);
            const way = [spot[0] - from[0], spot[1] - from[1]], far = Math.hypot(...way);
            for (let s = 1; s <= Math.floor(far / stride); s++) path.push([path.at(-1)[0] + way[0] / far * stride, path.at(-1)[1] + way[1] / far * stride]);
        }
        return path;
    }""" % (1.25 * explore.load_results("explore")["dense"]["speed"] * explore.load_results("explore")["dense"]["dt"]), None)
    path = torch.tensor(path)
    assert state["steps"] == len(path) - 1 > 20
    error = 100 * (explore.follow(path)[-1] - path[-1]).norm()
    assert state["error"] == pytest.approx(error.item(), abs=0.5)


@pytest.mark.parametrize(("base", "rounds"), [("circle", 1), ("torus", 1), ("klein", 2)])
def test_rounds_until_a_walk_is_back(page, tmp_path, base, rounds):
    figure = show(page, "covering", tmp_path)
    figure.get_by_role("combobox").select_option(base)
    state = json.loads(figure.get_attribute("data-state"))
    begin = state["below"]
    for counted in range(1, rounds + 1):
        figure.get_by_role("button", name="Once round").press("Enter")
        state = json.loads(figure.get_attribute("data-state"))
        space = manifold("torus" if base == "circle" else base)
        below = space.project(torch.tensor([state["at"]], dtype=torch.float64))
        assert space.distance(below, torch.tensor([state["below"]], dtype=torch.float64)).item() < 1e-6
        assert (math.dist(state["below"], begin) < 1e-6 and not state["over"]) == (counted == rounds)


def test_bars_of_the_page_are_those_of_ripser(page, tmp_path):
    from ripser import ripser

    figure = show(page, "growing_balls", tmp_path)
    for shape in ("ring", "eight", "pieces", "square"):
        figure.get_by_role("combobox").select_option(shape)
        state = json.loads(figure.get_attribute("data-state"))
        for degree, bars in enumerate(ripser(torch.tensor(state["points"]).double().numpy())["dgms"]):
            expected = sorted(bars[bars[:, 1] < 1e9].tolist() if degree else bars[:-1].tolist())
            said = sorted([2 * bar["birth"], 2 * bar["death"]] for bar in state["bars"] if bar["degree"] == degree and bar["death"] < 1e9)
            torch.testing.assert_close(torch.tensor(said), torch.tensor(expected), rtol=0, atol=1e-5)


def test_neurons_are_placed_as_they_were_wired(page, tmp_path):
    figure = show(page, "placed_neurons", tmp_path)
    fits = {}
    for wired in ("circle", "nothing"):
        figure.get_by_role("combobox").select_option(wired)
        for label, value in (("share of strangers", "0"), ("on the way", "1")):
            figure.get_by_label(label).fill(value)
        state = json.loads(figure.get_attribute("data-state"))
        joined, angles = torch.tensor(state["wiring"], dtype=torch.float64), torch.tensor(state["angles"], dtype=torch.float64)
        apart = (angles[:, None] - angles + math.pi).remainder(2 * math.pi).sub(math.pi).abs()
        lower = torch.ones(60, 60).tril(-1).bool()
        fits[wired] = torch.corrcoef(torch.stack([torch.maximum(joined, joined.mT)[lower], apart[lower]]))[0, 1].item() ** 2
        assert abs(fits[wired] - state["fit"]) < 1e-9
    assert fits["circle"] > 2 * fits["nothing"]
    figure.get_by_role("combobox").select_option("circle")
    state = json.loads(figure.get_attribute("data-state"))
    ranks = torch.tensor(state["angles"]).argsort().argsort()
    steps = (ranks[:, None] - ranks).abs()
    near = torch.minimum(steps, 60 - steps)[torch.tensor(state["wiring"]).bool()]
    assert near.double().mean() < 6  # places away: 15 by lot, 2 if partners were the nearest in places too


TAUGHT = {"glued_square": "manifolds", "in_space": "manifolds", "inhibitor_shapes": "inhibitors", "embedding_training": "inhibitors", "neighbourhoods": "regularizer",
          "pruning_steps": "pruning", "path_integration": "navigation", "covering": "coverings", "growing_balls": "topology", "placed_neurons": "which_manifold"}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_stands_where_its_idea_is_taught(name):
    """And in `explore`, from one source: a chapter calls the function that makes it."""
    for chapter in (TAUGHT[name], "explore"):
        text = (ROOT / "nbs_py" / f"{chapter}.py").read_text(encoding="utf-8")
        assert re.search(rf"^{name}\(\)$", text, re.MULTILINE), f"{chapter} does not show {name}"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_stands_on_a_page_twice(page, tmp_path, name):
    """Each of the two is drawn, and moves alone."""
    path, text = tmp_path / "twice.html", getattr(explore, name)().page()
    path.write_text(f"<!doctype html><html><meta charset='utf-8'><body>{text}<p>between</p>{text}</body></html>", encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_function("[...document.querySelectorAll('.modreg-explore')].every((figure) => figure.dataset.state)")
    first, second = page.locator(".modreg-explore").all()
    still = pictures(first)
    before = pictures(second)
    target = second.get_by_role("button", name="20 steps").or_(second.locator("input[type=range]")).or_(second.locator("canvas")).first
    target.press("Enter" if target.evaluate("e => e.tagName") == "BUTTON" else "ArrowRight")
    page.wait_for_timeout(300)
    assert pictures(second) != before and pictures(first) == still


def test_without_javascript_a_picture_stands_there(chromium, tmp_path):
    context = chromium.new_context(java_script_enabled=False)
    path = tmp_path / "still.html"
    path.write_text(f"<!doctype html><body>{explore.inhibitor_shapes().page()}</body>", encoding="utf-8")
    page = context.new_page()
    page.goto(path.as_uri())
    picture = page.locator(".modreg-explore img")
    assert picture.bounding_box()["width"] > 300 and "may the neurons move" in picture.get_attribute("alt")
    context.close()


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_gets_widget_and_page(name):
    bundle = getattr(explore, name)()._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} <= set(bundle)
    assert bundle["text/html"].count("<script") == bundle["text/html"].count("</script") == 1


# --- words that set a figure, and a reset ------------------------------------------------------------------------------

WORDS = sorted({(path.stem, *match) for path in (ROOT / "nbs_py").glob("*.py") for match in re.findall(r'href="#set:(\w+)\?([^"]+)"', path.read_text(encoding="utf-8"))})
SHOWS = """(figure) => ({ state: figure.dataset.state, controls: Object.fromEntries([...figure.querySelectorAll('input, select')].map((c) => [c.ariaLabel, c.value])) })"""


@pytest.mark.parametrize("name", FIGURES)
def test_words_set_a_figure_and_a_reset_brings_it_back(page, tmp_path, name):
    """Every link of the chapters does to its figure what it says, from wherever the figure was left; then the reset shows it as it was."""
    wanted = [(chapter, said) for chapter, figure, said in WORDS if figure == name and (name, chapter) != ("pruning_steps", "idea")]
    links = "".join(f'<p><a href="#set:{name}?{said}">{chapter}</a></p>' for chapter, said in wanted)
    path = tmp_path / "words.html"
    path.write_text(f"<!doctype html><html><meta charset='utf-8'><body>{links}{getattr(explore, name)().page()}</body></html>", encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelector('.modreg-explore').dataset.state")
    figure = page.locator(".modreg-explore")
    first = figure.evaluate(SHOWS)
    assert wanted or name == "in_space", f"no chapter has words for {name}"
    for k, (chapter, said) in enumerate(wanted):
        page.locator("p > a").nth(k).press("Enter")
        now = figure.evaluate(SHOWS)
        for control, value in (pair.split("=") for pair in said.split("&")):
            if control in now["controls"]:
                close = float(now["controls"][control]) == pytest.approx(float(value), abs=0.11) if value.replace(".", "").isdigit() else now["controls"][control] == value
                assert close, f"{chapter}: {said} leaves {control} at {now['controls'][control]}"
            else:
                assert figure.get_by_role("button", name=control, exact=True).count() == 1, f"{chapter}: {name} has no control {control}"
    figure.locator("input[type=range], canvas").first.press("ArrowRight")
    figure.get_by_role("button", name="Reset").press("Enter")
    assert figure.evaluate(SHOWS) == first


def test_three_networks_stand_under_one_cursor(page, tmp_path):
    """A click in any of the squares picks one neuron in all, and each says how many partners are left."""
    figure = show(page, "pruning_steps", tmp_path)
    assert all(one["partners"] for one in json.loads(figure.get_attribute("data-state"))["partners"]), "it opens on a neuron without partners"
    squares = figure.locator("canvas")
    for k in range(3):
        squares.nth(k).click(position={"x": 20 + 30 * k, "y": 40})
        state = json.loads(figure.get_attribute("data-state"))
        data = explore.load_results("explore")["pruned"]
        assert [one["name"] for one in state["partners"]] == [*map(display_name, data["networks"])] == ["moduli", "shuffled prices", "no penalty"]
        for one, network in zip(state["partners"], data["networks"].values(), strict=True):
            survived = explore._tensor(network["survived"], torch.uint8, data["neurons"], data["neurons"])[state["neuron"]]
            survived[state["neuron"]] = 0
            assert one["partners"] == (survived > state["level"]).sum()


def test_distances_in_space_are_the_packages(page, tmp_path):
    """The farthest point of each surface is about as far as the package says, and prices replace distances."""
    figure = show(page, "in_space", tmp_path)
    said = json.loads(figure.get_attribute("data-state"))["farthest"]
    along, across = 2 * math.pi * 0.85, math.pi * 0.3
    stars = {"sphere": [5 * math.cos(along) * math.sin(across), 5 * math.sin(along) * math.sin(across), 5 * math.cos(across)], "torus": [8.5, 3.0], "klein": [8.5, 3.0]}
    for name, star in stars.items():
        space = manifold(name)
        farthest = space.distance(torch.tensor([star]), space.sample(20_000, torch.Generator().manual_seed(0))).max().item()
        assert said[name] == pytest.approx(farthest, rel=0.04)
    figure.get_by_role("combobox").select_option("price")
    assert json.loads(figure.get_attribute("data-state"))["colour"] == "price"
