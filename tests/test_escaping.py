"""What comes from parameters and data stands in HTML and Markdown as text, whatever it holds."""

import base64
import html
import json
import re
from html.parser import HTMLParser

import pytest

from modreg.book.explore import Explorer
from modreg.lab.experiments import condition_table, escaped, setting_name
from modreg.lab.sweeps import Choice, report
from modreg.lab.training import Remember, RememberConfig
from modreg.lab.workers import Job, Outcome

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><script>alert(1)</script>", "<!--<script>", "a & b < c", "'single' \"double\"", "x | y\nz", "[a](javascript:alert(1))"]


class Tags(HTMLParser):
    "Which elements a page has, with their attributes, and its text"

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_report_of_a_sweep(tmp_path, hostile):
    "Folders, errors, titles and strengths come from outside"
    job = Job(Remember, RememberConfig(scale="tiny", device="cpu", out=str(tmp_path / hostile.replace("/", "_"))))
    failed = Outcome(job, folder=str(tmp_path / hostile.replace("/", "_")), error=hostile, details=hostile)
    page = report([failed], [Choice(hostile, {0.1: [1.0]}, hostile)], title=hostile)
    plain = report([Outcome(job, folder="f", error="e", details="d")], [Choice("c", {0.1: [1.0]}, "m")], title="t")
    found = Tags(page)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in Tags(plain).tags], "an element came from a parameter"
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert hostile.split("\n")[0] in "".join(found.text)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_figure_that_is_a_program(hostile):
    "Its question is an attribute, its data stand in a script"
    page = Explorer("covering", hostile, lambda figure: None, {"a": hostile, hostile: 1}).page()
    assert page.count("<script") == page.count("</script") == 1 and "<!--" not in page
    image = next(attributes for tag, attributes in Tags(page).tags if tag == "img")
    assert image["alt"] == hostile and set(image) == {"alt", "src", "style"}
    data = re.search(r"const values = \{ data: (.*), state: \{\} \};", page)
    assert json.loads(data[1]) == {"a": hostile, hostile: 1}
    assert base64.b64decode(image["src"].partition(",")[2]).startswith(b"\x89PNG")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_tables_in_markdown(hostile):
    "A setting's value stands in one column, and makes no element and no link"
    rows = [{"setting": {"out": hostile}, "condition": "torus", "strength": 0.1, "sparse": [1.0, 2.0], "dense": [1.0]}]
    lines = condition_table(rows).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert not {"<", "["} & set("".join(lines))
    assert html.unescape(escaped(setting_name({"out": hostile}))) == f"out={hostile}".replace("\n", " ")
