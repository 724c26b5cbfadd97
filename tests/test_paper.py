"""The paper as data, statistics and verdicts, against what was printed and against other ways to compute the same."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from modreg.lab.paper import METHOD, paper_cell, paper_figures, paper_tables
from modreg.lab.results import collect, find, read_records, records_in
from modreg.lab.settings import decisive
from modreg.lab.experiments import SELECTION
from modreg.lab.statistics import claims, config_of, difference, holm, outcome, verdicts
from modreg.lab.studies import find_task
from modreg.lab.tables import table_markdown

TASKS = {name: find_task(name) for name in ("navigation", "adding", "language")}
PLAIN = [table for table in paper_tables().values() if not table.caption.startswith("sensitivity")]


def ours(cell):
    task = paper_tables()[cell.table].task
    extra = {"corpus": "wikitext-2"} if task == "language" else {}
    return config_of(cell, TASKS[task], "paper", **extra)


@pytest.mark.parametrize("table", PLAIN, ids=lambda table: table.number)
def test_each_cell_is_found_by_the_config_that_makes_it(table):
    """Cells that several tables share have one setting; one of their printed values is found."""
    for cell in table.cells:
        same = {c.mean for t in PLAIN if t.task == table.task for c in t.cells if c.result == cell.result and c.mean is not None and METHOD | c.settings == METHOD | cell.settings}
        if cell.mean is not None:
            assert paper_cell(ours(cell), cell.result).mean in same, cell


@pytest.mark.parametrize("change", [
    {"power": 2.0}, {"sparsifier": "set"}, {"shares": "erk"}, {"manifold": "torus*circle"}, {"inhibitor": "ricker"}, {"sparsity": 0.85}, {"strength": 7.0}, {"lr": 0.2}, {"hidden": 48},
    {"schedule": "one_shot"}, {"heal": 2}, {"penalty": "shuffled", "manifold": "sphere"}, {"penalty": "distance_shuffled"}, {"train_embedding": True, "manifold": "sphere"}, {"ramp": "late"},
], ids=str)
def test_what_was_not_tried_has_no_number(change):
    for task, kind in ((name, task.Config) for name, task in TASKS.items()):
        sparsity = {"sparsity": 0.95 if task == "adding" else 0.9}
        config = kind(**{"scale": "paper", "device": "cpu"} | sparsity | change)
        assert paper_cell(config) is None, task


def test_the_file_is_what_was_printed():
    assert [len(table.cells) for table in paper_tables().values()] == [20, 20, 25, 20, 20, 25, 8, 12, 12, 15, 8, 15, 15, 15, 15, 15]
    assert sum(cell.mean is None for table in paper_tables().values() for cell in table.cells) == 1  # lost in the text
    assert set(paper_figures()) == {str(k) for k in range(1, 9)}
    cells = {(t, r, c): paper_tables()[t].cell(r, c) for t, r, c in (("3", "90% Lottery", "torus6"), ("7", "90% Sparse", "r3 fixed"), ("16", "98% Sparse", "diffusion"), ("10", "95% Lottery", "torus6"))}
    assert [cell.mean for cell in cells.values()] == [93.93, 106.38, 48.75, 0.353]


@pytest.mark.parametrize(("good", "seeds"), [(0, 5), (3, 5), (5, 5), (7, 10)])
def test_rates_have_the_intervals_of_beta_quantiles(good, seeds):
    found = outcome([0.1] * good + [0.4] * (seeds - good - 1) + [None] * (good < seeds), 0.2)
    low = stats.beta.ppf(0.025, good, seeds - good + 1) if good else 0.0
    high = stats.beta.ppf(0.975, good + 1, seeds - good) if good < seeds else 1.0
    assert (found.learned, found.seeds) == (good, seeds)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_intervals_are_those_of_all_resamples():
    """With four pairs there are 256 resamples, and a draw of ten thousand comes near all of them."""
    first, second = [1.0, 2.0, 2.5, 4.0], [1.4, 3.0, 2.2, 5.0]
    apart = np.subtract(first, second)
    means = np.array([np.mean(pick) for pick in itertools.product(apart, repeat=4)])
    found = difference(first, second, chance=9.0)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.05)
    assert found.p == pytest.approx(2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.02)
    assert found.improvement == sum((a < b) + (a == b) / 2 for a in first for b in second) / 16


def test_diverged_networks_count_as_chance():
    assert difference([1.0, None, 1.2], [2.0, 2.1, 2.2], 20.0).mean == pytest.approx((-1 + 17.9 - 1) / 3)


def test_holm_against_its_definition():
    p = np.random.default_rng(0).random(7)
    order = sorted(range(7), key=lambda k: p[k])
    wanted = {k: min(1.0, max(p[j] * (7 - i) for i, j in enumerate(order[:place + 1]))) for place, k in enumerate(order)}
    assert holm(p) == pytest.approx([wanted[k] for k in range(7)])
    assert holm([]) == []


def record(table, row, column, values, **settings):
    cell = paper_tables()[table].cell(row, column)
    config = config_of(cell, TASKS["navigation"], "small", seeds=len(values), **settings)
    return {"run": f"navigation-{column}{row}{settings}", "task": "navigation", "settings": decisive(config), "learned_below": 19.0, "seconds": 1.0, "phases": {cell.result: {"error": values}}}


def test_a_claim_holds_only_if_every_row_says_so():
    good, bad = [5.0, 5.1, 5.2, 5.3, 5.1], [9.0, 9.4, 9.2, 9.1, 40.0]
    rows = [record("1", row, column, values) for row in ("75% Sparse", "90% Sparse") for column, values in (("torus", good), ("none", bad))]
    words = {v.claim.second: v for v in verdicts("1", rows, TASKS["navigation"]) if v.claim.first == "torus" and "75% Sparse" in v.claim.rows}
    assert words["none"].word == "holds" and len(words["none"].runs) == 4
    assert words["l1"].word == "undecided" and "not run" in words["l1"].why
    assert {v.word for v in verdicts("1", rows[:2], TASKS["navigation"])} == {"undecided"}  # one of two rows
    turned = [record("1", "90% Sparse", "torus", bad), record("1", "90% Sparse", "none", good)]
    assert verdicts("1", turned, TASKS["navigation"])[0].word == "fails"


def test_sameness_needs_a_narrow_interval():
    near, far = [5.0, 5.1, 5.2, 5.3, 5.1], [5.0, 25.0, 5.2, 3.0, 5.1]
    for values, word in ((near, "holds"), (far, "undecided"), ([9.0, 9.1, 9.2, 9.3, 9.1], "fails")):
        rows = [record("2", "90% Sparse", "torus trained", values), record("2", "90% Sparse", "torus fixed", near)]
        assert verdicts("2", rows, TASKS["navigation"])[0].word == word


def test_strengths_are_chosen_on_other_seeds_and_tables_show_that_choice():
    rows = [record("1", "90% Sparse", "torus", [5.0] * 5, strength=0.1), record("1", "90% Sparse", "torus", [4.0] * 5, strength=0.2),
            record("1", "90% Sparse", "torus", [6.0], strength=0.1, seed=SELECTION), record("1", "90% Sparse", "torus", [7.0], strength=0.2, seed=SELECTION)]
    text = table_markdown(paper_tables()["1"], rows, TASKS["navigation"])
    assert "**5.0**, 5 of 5 learned" in text and "4.0" not in text.replace("64.44", "").replace("14.0", "")
    assert text.count("learned") == 1 and text.count("*not run: ") == len(paper_tables()["1"].cells) - 1


def test_claims_are_of_the_tables_that_there_are():
    assert {claim.table for claim in claims()} == {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "15", "16"}
    assert len({json.dumps([c.table, c.first, c.second, c.rows]) for c in claims()}) == len(claims())


def test_no_rate_and_no_difference_of_nothing():
    for call in (lambda: outcome([], 1.0), lambda: difference([], [], 1.0), lambda: difference([1.0, 2.0], [1.0], 1.0)):
        with pytest.raises(ValueError, match="seeds"):
            call()


def test_records_survive_a_round_and_name_a_broken_line(tmp_path):
    rows = [record("1", "90% Sparse", "torus", [5.0, None])]
    assert collect(tmp_path / "navigation.jsonl", rows) == 1 and collect(tmp_path / "navigation.jsonl", rows) == 0
    assert read_records(tmp_path / "navigation.jsonl") == rows
    config = config_of(paper_tables()["1"].cell("90% Sparse", "torus"), TASKS["navigation"], "small", seeds=2)
    assert find(rows, config) == rows[0] and find(rows, config, "lottery") is None
    assert records_in(tmp_path, TASKS["navigation"].Config) == []
    (tmp_path / "x.jsonl").write_text("[]\n")
    with pytest.raises(ValueError, match=r"x\.jsonl, line 1"):
        read_records(tmp_path / "x.jsonl")
    assert math.isfinite(rows[0]["seconds"])


def test_a_strength_that_was_chosen_at_the_sparsest_row_holds_for_all_rows():
    rows = [record("1", "75% Sparse", "torus", [4.0] * 5, strength=0.1), record("1", "0% Sparse", "torus", [3.0] * 5, strength=0.1),
            record("1", "90% Sparse", "torus", [6.0], strength=0.1, seed=SELECTION), record("1", "90% Sparse", "torus", [7.0], strength=0.2, seed=SELECTION)]
    text = table_markdown(paper_tables()["1"], rows, TASKS["navigation"])
    assert "**4.0**, 5 of 5 learned" in text and "**3.0**, 5 of 5 learned" in text
