"""The adding problem: its data by brute force, and the chapter run whole, as papermill runs it."""

import pytest
import torch
from headless import run
from papermill.exceptions import PapermillExecutionError

from modreg.tasks.adding import Adder, Adding, AddingConfig, samples, target
from modreg.lab.paper import paper_cell


def stream(seed):
    """A random stream."""
    return torch.Generator().manual_seed(seed)


def tiny(**settings):
    """Settings of the tiny scale."""
    return AddingConfig(scale="tiny", device="cpu", **settings)


@pytest.mark.parametrize("steps", [2, 3, 50])
def test_two_different_steps_are_marked(steps):
    numbers, marks = samples(2000, steps, stream(0)).unbind(-1)
    assert ((marks == 0) | (marks == 1)).all()
    assert (marks.sum(0) == 2).all()
    assert ((numbers >= 0) & (numbers < 1)).all()


def test_marks_and_numbers_are_uniform():
    numbers, marks = samples(100_000, 5, stream(1)).unbind(-1)
    first, last = marks.argmax(0), 4 - marks.flip(0).argmax(0)
    counts = torch.bincount(5 * first + last, minlength=25).view(5, 5)
    pairs = counts[torch.triu(torch.ones(5, 5), 1).bool()]
    assert counts.sum() == pairs.sum() == 100_000  # the first mark comes before the last
    assert ((pairs - 10_000).abs() < 500).all()  # five standard deviations
    assert numbers.mean().item() == pytest.approx(0.5, abs=3e-3)
    assert numbers.var().item() == pytest.approx(1 / 12, abs=1e-3)
    assert torch.corrcoef(torch.stack([numbers.flatten(), marks.flatten()]))[0, 1].abs() < 0.01


def test_target_is_the_sum_of_the_marked_numbers():
    sample = samples(100, 7, stream(2))
    for k in range(100):
        by_hand = sum(number for number, mark in sample[:, k].tolist() if mark == 1)
        assert target(sample)[k].item() == pytest.approx(by_hand, abs=1e-6)


def test_limits_by_brute_force():
    """The errors of always saying 1, and of knowing one number, over many samples."""
    sample = samples(200_000, 3, stream(3))
    sums = target(sample)
    first = torch.where(sample[0, :, 1] == 1, sample[0, :, 0], sample[1, :, 0])  # the number at the first mark
    limits = Adding(tiny()).limits()
    assert (sums - 1).square().mean().sqrt().item() == pytest.approx(limits["always 1"], abs=2e-3)
    assert (sums - first - 0.5).square().mean().sqrt().item() == pytest.approx(limits["one number and ½"], abs=2e-3)
    assert limits["always 1"] == pytest.approx((1 / 6) ** 0.5)
    for guess in (0.9, 1.1):  # no other constant does better
        assert (sums - guess).square().mean() > (sums - 1).square().mean()


def test_metric_is_that_of_torch_modules_with_the_same_weights():
    """A stack of seeds evaluated at once, against one torch.nn.RNN after another."""
    task = Adding(tiny())
    model = task.model(task.generators("weights"))
    ours = task.evaluate(model)["rmse"]
    for k, sample in enumerate(task.test_samples()):
        rnn, readout = torch.nn.RNN(2, 32, nonlinearity="relu"), torch.nn.Linear(32, 1)
        rnn.load_state_dict({name: value[k] for name, value in model.rnn.state_dict().items()})
        readout.load_state_dict({name: value[k] for name, value in model.readout.state_dict().items()})
        said = readout(rnn(sample)[0][-1])[:, 0]
        assert ours[k].item() == pytest.approx((said - target(sample)).square().mean().sqrt().item(), rel=1e-5)


def test_seeds_are_independent():
    """Data and weights of a seed are the same alone as in company, and differ from another seed's."""
    company, alone = Adding(tiny(seeds=3, seed=4)), Adding(tiny(seeds=1, seed=5))
    batches = [next(task.batches(task.generators("data"))) for task in (company, alone)]
    models = [task.model(task.generators("weights")) for task in (company, alone)]
    assert torch.equal(batches[0][1], batches[1][0])
    assert not torch.equal(batches[0][0], batches[0][1])
    for many, one in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(many[1], one[0])
        assert not torch.equal(many[0], many[1])


def test_initializations():
    """From the identity a state outlasts its step; the paper's is torch's own."""
    near = Adder(tiny(init="identity", hidden=64), [stream(k) for k in range(3)]).rnn.weight_hh_l0
    own = Adder(tiny(init="paper", hidden=64), [stream(k) for k in range(3)]).rnn.weight_hh_l0
    assert torch.allclose(near, torch.eye(64) + 0.1 * own)
    assert own.abs().max() <= 1 / 8


@pytest.mark.parametrize("parameters", [
    {"manifold": "klein", "penalty": "shuffled"},
    {"train_embedding": True, "steps": 9},
    {"lottery": False, "seeds": 1},
    {"init": "paper", "hidden": 24, "sparsity": 0.9, "manifold": "r3"},
], ids=lambda parameters: "-".join(map(str, parameters.values())))
def test_papermill_runs_other_settings(tmp_path, parameters):
    results = run("adding", tmp_path, **parameters)
    assert len(results) == 3  # dense without a penalty, dense with it, and pruned
    folder, pruned = max(results.items(), key=lambda item: item[1]["phases"]["train"]["sparsity"][0])
    assert set(pruned["phases"]) == ({"train", "lottery"} if parameters.get("lottery", True) else {"train"})
    for last in pruned["phases"].values():
        assert len(last["rmse"]) == parameters.get("seeds", 3)
        assert all(abs(zeros - parameters.get("sparsity", 0.95)) < 2e-3 for zeros in last["sparsity"])
    assert {"table.md", "learning.png", "answers.png", "wiring.png"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("parameters", "message"), [
    ({"stepps": 50}, "no such parameter: stepps"),
    ({"steps": 1}, "at least 2 steps"),
    ({"steps": 50.5}, "must be int"),
    ({"init": "orthogonal"}, "'paper', 'identity'"),
    ({"manifold": "pretzel"}, "torus"),
])
def test_wrong_parameter_fails_at_once_and_computes_nothing(tmp_path, parameters, message):
    with pytest.raises(PapermillExecutionError, match=message):
        run("adding", tmp_path, **parameters)
    assert not (tmp_path / "runs").exists()


def test_paper_scale_is_the_papers():
    config = AddingConfig(scale="paper", device="cpu")
    assert (config.hidden, config.batch, config.steps, config.sparsity) == (128, 32, 50, 0.95)
    assert config.epochs * config.batches == 500_000
    assert (config.lr, config.strength, config.init, Adding(config).clip) == (1e-4, 1e-3, "paper", 0.5)


@pytest.mark.parametrize(("options", "mean"), [
    ({}, 0.111), ({"penalty": "l1"}, 0.265), ({"manifold": "klein"}, 0.214), ({"train_embedding": True}, 0.055),
])
def test_paper_cells_are_found(options, mean):
    """Four values read off tables 8, 9 and 10 by eye."""
    assert paper_cell(AddingConfig(scale="small", device="cpu", **options)).mean == mean
