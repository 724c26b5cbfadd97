"""Any penalty with any sparsifier on any task: each trains, keeps its sparsity, and goes on bit for bit; and a trainer for networks that know nothing of tasks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from headless import break_off
from safetensors.torch import load_file
from torch import nn

from modreg import ModuliRegularizer, MagnitudePruner
from modreg.lab.experiments import train_three
from modreg.lab.settings import Config, decisive
from modreg.lab.trainer import Callback, Checkpoint, Clip, Penalize, Sparsify, SparseProducts, Trainer
from modreg.lab.training import Phase, Task, fit
from modreg.layers.recurrent import RNN, Linear
from modreg.sparsity.penalties import PENALTIES
from modreg.sparsity.pruning import SPARSIFIERS
from modreg.tasks.adding import Adding, AddingConfig
from modreg.tasks.head_direction import HeadDirection, HeadDirectionConfig
from modreg.tasks.language import Language, LanguageConfig
from modreg.tasks.navigation import Navigation, NavigationConfig
from modreg.tasks.speech import Speech, SpeechConfig

SMALL = dict(scale="tiny", device="cpu", seeds=2, hidden=12, batches=3, epochs=3, strength=1e-3, sparsity=0.8, penalty="moduli")
TASKS = {"navigation": (Navigation, NavigationConfig, dict(place_cells=16, steps=3, batch=4)), "adding": (Adding, AddingConfig, dict(batch=4)),
         "language": (Language, LanguageConfig, dict(corpus="generated", vocabulary=20, steps=3, held_out=100)),
         "speech": (Speech, SpeechConfig, dict(data="tones", tested=4)), "head_direction": (HeadDirection, HeadDirectionConfig, dict(batch=4, steps=3))}
METHODS = [name for name in SPARSIFIERS if name != "fixed"]
PAIRS = [(penalty, sparsifier) for penalty in PENALTIES for sparsifier in METHODS]


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("MODREG_DATA", raising=False)


def task(name, out, **options):
    kind, config, own = TASKS[name]
    return kind(config(out=str(out), **SMALL | own | options))


def assert_same(a, b):
    assert a.history == b.history
    for phase in a.result["phases"]:
        ours, theirs = a.weights(phase), b.weights(phase)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def kept(run, phase, sparsity):
    "Each seed has the masks' share of weights, and every weight outside of them is zero"
    tensors = run.weights(phase)
    masks = {name.removeprefix("mask."): mask for name, mask in tensors.items() if name.startswith("mask.")}
    assert all((tensors[name][~mask] == 0).all() for name, mask in masks.items())
    there, total = sum(mask.flatten(1).sum(1) for mask in masks.values()), sum(mask[0].numel() for mask in masks.values())
    assert (there - (1 - sparsity) * total).abs().max() <= len(masks), there / total


@pytest.mark.parametrize(("penalty", "sparsifier"), PAIRS)
def test_any_penalty_goes_with_any_sparsifier(tmp_path, penalty, sparsifier):
    name = list(TASKS)[PAIRS.index((penalty, sparsifier)) % len(TASKS)]
    one = task(name, tmp_path, penalty=penalty, sparsifier=sparsifier, lottery=False)
    run = fit(one, progress=False)
    kept(run, "train", 0.8)
    first = Phase(one).model.state_dict()
    assert any(not torch.equal(first[key], run.weights()[key]) for key in first)  # it has learned something


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("sparsifier", METHODS)
def test_any_sparsifier_on_any_task_goes_on_bit_for_bit(tmp_path, name, sparsifier):
    whole = fit(task(name, tmp_path / "whole", sparsifier=sparsifier), progress=False)
    parts = task(name, tmp_path / "parts", sparsifier=sparsifier)
    break_off(type(parts), parts.config, 2)
    assert_same(fit(parts, progress=False), whole)
    for phase in ("train", "lottery"):
        kept(whole, phase, 0.8)
        assert whole.result["phases"][phase]["inference"] < whole.result["phases"][phase]["dense_inference"]


@pytest.mark.parametrize("options", [
    {"power": 2}, {"ramp": "late"}, {"train_embedding": True, "embedding_lr": 0.1}, {"manifold": "torus*circle"}, {"manifold": "sphere(radius=2)"},
    {"block": 4}, {"block": 4, "sparsifier": "set"}, {"block": 4, "sparsifier": "rigl", "order": "random"}, {"schedule": "one_shot", "heal": 1}, {"shares": "erk"}, {"shares": "layer"},
    {"ticket": "original", "sparsifier": "regrow"}, {"ticket": "rescaled", "shares": "erk"}, {"sparsifier": "random(scale=left)", "ticket": "rescaled"}, {"sparse_products": "on"},
], ids=str)
def test_settings_train_and_go_on(tmp_path, options):
    whole = fit(task("navigation", tmp_path / "whole", **options), progress=False)
    parts = task("navigation", tmp_path / "parts", **options)
    break_off(Navigation, parts.config, 1)
    if options.get("sparse_products") != "on":  # by the clock
        assert_same(fit(parts, progress=False), whole)
    kept(whole, "lottery", 0.8)


def test_a_space_for_each_layer(tmp_path):
    run = fit(task("language", tmp_path, manifold="torus, sphere, klein", train_embedding=True, embedding_lr=0.5), progress=False)
    assert [run.weights()[f"regularizer.{k}.embedding"].shape[-1] for k in range(3)] == [2, 3, 2]
    with pytest.raises(ValueError, match="2 spaces for 3 weights"):
        fit(task("language", tmp_path, manifold="torus,sphere"), progress=False)


def test_an_embedding_has_a_learning_rate_of_its_own(tmp_path):
    start = torch.stack([p.embedding for p in Phase(task("navigation", tmp_path)).penalties])
    moved = {}
    for lr in (None, 1e-6, 0.3):
        run = fit(task("navigation", tmp_path, train_embedding=True, embedding_lr=lr, lottery=False, strength=10.0), progress=False)
        moved[lr] = (run.weights()["regularizer.0.embedding"] - start[0]).abs().median().item()
    assert moved[1e-6] < 1e-4 < moved[None] < moved[0.3]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_gives_embeddings_their_learning_rate(tmp_path, name):
    weights, points = Phase(task(name, tmp_path, train_embedding=True, embedding_lr=0.25)).optimizer.param_groups
    given = [group.get("max_lr", group["rates"][0].item() if "rates" in group else group["lr"]) for group in (weights, points)]
    assert given == [pytest.approx(task(name, tmp_path).config.lr), 0.25]


def test_shares_of_another_run(tmp_path):
    other = fit(task("navigation", tmp_path, shares="erk", lottery=False), progress=False)
    run = fit(task("navigation", tmp_path, shares=str(other.path), lottery=False, penalty="none"), progress=False)
    masks = [load_file(r.path / "train.safetensors") for r in (other, run)]
    for name in (name for name in masks[0] if name.startswith("mask.")):
        shares = [(~m[name]).double().mean().item() for m in masks]
        assert shares[0] == pytest.approx(shares[1], abs=0.01)
    with pytest.raises(ValueError, match="did you mean 'layer'"):
        task("navigation", tmp_path, shares="layers")


def test_redrawn_weights_have_the_size_that_suits_what_is_left(tmp_path):
    run = fit(task("navigation", tmp_path), progress=False)
    dense, left = (Phase(task("navigation", tmp_path, ticket=ticket), "lottery", run.weights()) for ticket in ("redraw", "rescaled"))
    weight, mask = (part["rnn.weight_hh_l0"].detach() for part in (dict(dense.model.named_parameters()), dense.sparsifier.masks))
    drawn, rows = (model.rnn.weight_hh_l0.detach() for model in (left.task.model(left.task.generators("weights", "lottery")), left.model))
    torch.testing.assert_close(rows.norm(dim=-1), torch.where(mask.any(-1), drawn.norm(dim=-1), 0.0))
    torch.testing.assert_close(rows * weight.norm(dim=-1, keepdim=True), weight * rows.norm(dim=-1, keepdim=True))


def test_dense_runs_are_found_again_whatever_makes_the_third_sparse(tmp_path):
    first = train_three(Navigation, task("navigation", tmp_path).config, progress=False)
    again = train_three(Navigation, task("navigation", tmp_path, sparsifier="rigl", heal=1, ticket="rescaled").config, progress=False)
    assert [first[name].path == again[name].path for name in ("plain", "dense", "sparse")] == [True, True, False]


@pytest.mark.parametrize(("options", "message"), [
    ({"sparsifier": "rigel"}, "did you mean 'rigl'"), ({"penalty": "distance_shufled"}, "did you mean 'distance_shuffled'"),
    ({"penalty": "l1", "train_embedding": True}, "only ModuliRegularizer trains"), ({"penalty": "sernn", "power": 2}, "power 1"), ({"power": 0.5}, "at least 1"),
    ({"embedding_lr": 0.1}, "train_embedding=False"), ({"heal": 3}, "heal"),
    ({"sparsifier": "rigl", "sparse_products": "on"}, "sparse_products='on'"), ({"manifold": "torus,pretzel"}, "pretzel"),
])
def test_what_does_not_go_together_is_refused_by_name(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        task("navigation", tmp_path, **options)
    assert not any(tmp_path.iterdir())


# --- identity ----------------------------------------------------------------------------------------------------------


def test_two_tasks_with_one_config_do_not_share_a_folder(tmp_path):
    class Backwards(Navigation):
        pass

    config = task("navigation", tmp_path).config
    assert Navigation(config).run.path != Backwards(config).run.path


def test_other_data_is_another_run(tmp_path, monkeypatch):
    paths = []
    for k, text in enumerate(("the rat runs . \n", "the rat sleeps . \n", "the rat runs . \n")):
        folder = tmp_path / str(k) / "wikitext-2"
        folder.mkdir(parents=True)
        for split in ("train", "valid", "test"):
            (folder / f"{split}.txt").write_text(200 * text)
        monkeypatch.setenv("MODREG_DATA", str(folder.parent))
        paths.append(task("language", tmp_path, corpus="wikitext-2").run.path)
    assert paths[0] == paths[2] != paths[1]


def test_a_later_setting_with_a_default_that_changes_nothing_renames_no_folder():
    @dataclass(frozen=True, kw_only=True)
    class Later(NavigationConfig):
        patience: int = 0
        mood: str = "calm"

    now, later = NavigationConfig(scale="tiny"), Later(scale="tiny")
    assert decisive(now) == decisive(later) != decisive(replace(later, mood="tense"))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    runs = [task("navigation", tmp_path, seed=seed, lottery=False) for seed in (0, 5)]
    for one in runs:
        break_off(Navigation, one.config, 1)
    (runs[0].run.path / "state.pt").replace(runs[1].run.path / "state.pt")
    with pytest.raises(ValueError, match="is a checkpoint of navigation-"):
        fit(runs[1], progress=False)


# --- a trainer for everybody ---------------------------------------------------------------------------------------------


def build(path=None, **options):
    torch.manual_seed(0)
    model = nn.ModuleDict({"rnn": nn.LSTM(1, 8, batch_first=True), "out": nn.Linear(8, 1)})
    penalty = ModuliRegularizer(model["rnn"], "torus", strength=1e-2, train_embedding=True, generator=torch.Generator().manual_seed(0))
    pruner = MagnitudePruner(model, 0.7, 4)
    callbacks = [Penalize(penalty, kind="linear", epochs=4), Clip(1.0), Sparsify(pruner), SparseProducts(pruner, 16), *([Checkpoint(path)] if path else [])]
    trainer = Trainer(model, lambda model, x: (model["out"](model["rnn"](x)[0][:, -1]) - x[:, 0]).square().mean(),
                      torch.optim.Adam([*model.parameters(), *penalty.parameters()], lr=1e-2), callbacks, **options)
    if path:
        callbacks[-1].resume(trainer)
    return trainer, pruner


def numbers(epoch, count=5):
    generator = torch.Generator().manual_seed(epoch)
    return (torch.rand(16, 3, 1, generator=generator) for _ in range(count))


def test_a_network_of_torchs_own_is_trained_pruned_and_resumed(tmp_path):
    whole, pruner = build()
    losses = [whole.epoch(numbers(epoch)).item() for epoch in range(4)]
    assert losses[-1] < losses[0] and pruner.sparsity() == pytest.approx(0.7, abs=0.01)
    for epochs in (2, 4):  # another process each time
        parts, _ = build(tmp_path / "state.pt")
        while parts.epochs < epochs:
            parts.epoch(numbers(parts.epochs))
    assert all(torch.equal(p, q) for p, q in zip(whole.model.parameters(), parts.model.parameters(), strict=True))


def test_the_loop_is_the_one_that_everybody_writes():
    trainer, _ = build()
    trainer.callbacks.clear()
    (plain, _), batches = build(), list(numbers(0))
    for batch in batches:
        plain.optimizer.zero_grad()
        plain.loss(plain.model, batch).backward()
        plain.optimizer.step()
    trainer.epoch(batches)
    assert all(torch.equal(p, q) for p, q in zip(plain.model.parameters(), trainer.model.parameters(), strict=True))


def test_callbacks_are_called_in_their_order():
    calls = []

    class Speaks(Callback):
        def __init__(self, name):
            for moment in ("before_epoch", "before_step", "after_backward", "after_step", "after_epoch"):
                setattr(self, moment, lambda trainer, moment=moment: calls.append((name, moment, trainer.epochs)))

    trainer, _ = build(accumulate=2)
    trainer.callbacks = [Speaks("a"), Speaks("b")]
    trainer.epoch(numbers(0, 3))
    step = [(name, moment, 0) for moment in ("before_step", "after_backward", "after_step") for name in "ab"]
    assert calls == [("a", "before_epoch", 0), ("b", "before_epoch", 0), *step, *step, ("a", "after_epoch", 1), ("b", "after_epoch", 1)]


@pytest.mark.parametrize(("loss", "error", "message"), [
    (lambda model, x: model(x), ValueError, r"returned shape \(4, 2\)"), (lambda model, x: model(x).mean().item(), TypeError, "returned float"),
    (lambda model, x: model(x).mean().detach(), ValueError, "no gradient"), (lambda model, x: model(x).mean().long(), TypeError, "int64"),
])
def test_a_loss_that_is_none_is_told_at_the_first_step(loss, error, message):
    model = nn.Linear(3, 2)
    trainer = Trainer(model, loss, torch.optim.SGD(model.parameters(), 0.1))
    with pytest.raises(error, match=message):
        trainer.step(torch.rand(4, 3))


# --- a task of one's own -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EchoConfig(Config):
    task: ClassVar[str] = "echo"
    scales: ClassVar = {"tiny": dict(hidden=16, batch=8, batches=4, epochs=3, lr=1e-2, strength=1e-4)}


class Echo(Task):
    Config, metric, extra = EchoConfig, "loss", 0

    def model(self, generators):
        sizes = dict(replicas=self.config.seeds, generator=generators)
        return nn.ModuleDict({"rnn": RNN(1, self.config.hidden, **sizes), "out": Linear(self.config.hidden, 1, **sizes)})

    def recurrent(self, model):
        return [(model["rnn"], "weight_hh_l0")]

    def batches(self, generators) -> Iterator[torch.Tensor]:
        for _ in range(self.config.batches + self.extra):
            yield torch.stack([torch.rand(4, self.config.batch, 1, generator=g) for g in generators])

    def loss(self, model, x):
        return (model["out"](model["rnn"](x)[0][:, -1]) - x[:, 0]).square().mean((1, 2))

    def evaluate(self, model):
        return {"loss": self.loss(model, next(self.batches(self.generators("test"))))}


@pytest.mark.parametrize("sparsifier", ["magnitude", "rigl"])
def test_a_new_task_is_two_small_classes(tmp_path, sparsifier):
    runs = train_three(Echo, EchoConfig(scale="tiny", device="cpu", sparsifier=sparsifier, out=str(tmp_path)), progress=False)
    kept(runs["sparse"], "lottery", 0.9)


@pytest.mark.parametrize(("extra", "message"), [(-1, "ended after 3"), (1, "yields more")])
def test_a_task_that_miscounts_its_batches_is_told_so(tmp_path, extra, message):
    class Miscounts(Echo):
        pass

    Miscounts.extra = extra
    with pytest.raises(ValueError, match=message):
        fit(Miscounts(EchoConfig(scale="tiny", device="cpu", out=str(tmp_path))), progress=False)


def test_a_task_whose_loss_has_a_wrong_shape_is_told_so(tmp_path):
    class Wide(Echo):
        def loss(self, model, x):
            return (model["out"](model["rnn"](x)[0][:, -1]) - x[:, 0]).square().mean(2)

    with pytest.raises(ValueError, match=r"one number for each of the 3 models, of shape \(3,\)"):
        fit(Wide(EchoConfig(scale="tiny", device="cpu", out=str(tmp_path))), progress=False)


def test_products_are_timed_again_only_once_many_more_weights_are_gone(monkeypatch):
    "What won stays, what lost waits, and a run that goes on knows both"
    from modreg.lab import trainer

    calls, left = [], iter([0.9, 0.7, 0.65, 0.6, 0.5, 0.49, 0.4])

    class Kind(SPARSIFIERS["random"]):
        masks, needs_gradient = {"a": torch.ones(4, 4, dtype=torch.bool)}, False

        def __init__(self):
            pass

        def sparsity(self):
            return torch.tensor([1 - next(left)])

    kind, trainer_of_nothing = Kind(), Trainer.__new__(Trainer)
    trainer_of_nothing.model = None

    def use(model, masks, batch, chosen):
        calls.append(dict(chosen))
        return {"a": chosen.get("a", len(calls) > 3)}

    monkeypatch.setattr(trainer, "use_sparse_products", use)
    products = SparseProducts(kind, 16, 1)
    for epoch in range(7):
        if epoch == 4:
            state, products = products.state_dict(), SparseProducts(kind, 16, 1)
            products.load_state_dict(state)
        products.before_epoch(trainer_of_nothing)
    assert calls == [{}, {"a": False}, {"a": False}, {}, {"a": True}, {"a": True}]
