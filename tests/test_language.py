"""Language run whole, as papermill runs it, and its parts against independent computations."""

import http.server
import math
import os
import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from headless import run
from papermill.exceptions import PapermillExecutionError
from torch import nn

from modreg.tasks import language
from modreg.tasks.language import (
    SPLITS,
    AnnealOnPlateau,
    Corpus,
    Language,
    LanguageConfig,
    LanguageModel,
    SeedSGD,
    bigram,
    batchify,
    cross_entropy,
    download_wikitext,
    find_wikitext,
    load_corpus,
    perplexity,
    read_words,
    surprisal,
    unigram,
    generate,
    write_generated,
)
from modreg.lab.settings import decisive
from modreg.lab.trainer import clip_
from modreg.lab.training import Phase, fit

REAL = os.environ.get("MODREG_DATA")
real = pytest.mark.skipif(not (REAL and (Path(REAL) / "wikitext-2").is_dir()), reason="MODREG_DATA has no wikitext-2")


@pytest.fixture
def generated(tmp_path, monkeypatch):
    """Text of the toy grammar, and no other data."""
    monkeypatch.delenv("MODREG_DATA", raising=False)
    return partial(LanguageConfig, scale="tiny", device="cpu", out=str(tmp_path / "runs"))


def task(config, seeds):
    return Language(replace(config(), seeds=seeds))


# --- data --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["wikitext-2/{}.txt", "wikitext-2/wiki.{}.tokens", "wikitext-2-v1/wiki.{}.tokens"])
def test_publishers_layouts_are_read_alike(tmp_path, monkeypatch, layout):
    text = " \n = Title = \n \n the rat <unk> . \n" * 8
    for split in SPLITS:
        path = tmp_path / layout.format(split)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("MODREG_DATA", str(tmp_path))
    corpus = load_corpus(LanguageConfig(scale="tiny", device="cpu"))
    assert [corpus.words[k] for k in corpus.test] == "<eos> = Title = <eos> <eos> the rat <unk> . <eos>".split() * 8


@real
def test_real_counts_are_the_published_ones():
    texts = {split: read_words(path) for split, path in find_wikitext(REAL).items()}
    assert [len(texts[split]) for split in SPLITS] == [2_088_628, 217_646, 245_569]
    assert len(set(texts["train"])) == 33_278 == LanguageConfig(scale="paper", device="cpu").vocabulary
    assert len(Corpus(texts, 33_278).words) == 33_278
    assert {split: sha256(path.read_bytes()).hexdigest() for split, path in find_wikitext(REAL).items()} == language.SHA256


def test_a_cut_vocabulary_keeps_the_most_frequent_words():
    texts = dict(train="a a a b b c <unk> d".split(), valid=["d"], test=["c", "zebra", "a"])
    corpus = Corpus(texts, 3)
    assert corpus.words[:2] == ["a", "b"]
    assert [corpus.words[k] for k in corpus.test] == ["<unk>", "<unk>", "a"]
    assert Corpus(dict(texts, train=["a", "b"]), 10).words == ["a", "b", "<unk>"]  # there is always a word for what is unknown


def test_missing_data_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MODREG_DATA", str(tmp_path))
    for scale in ("tiny", "small", "paper"):
        with pytest.raises(FileNotFoundError, match=r"wikitext-2/\{train,valid,test\}\.txt.*unset it"):
            load_corpus(LanguageConfig(scale=scale, device="cpu"))


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A publisher on this machine, and an empty cache."""
    pytest.importorskip("pooch")
    write_generated(tmp_path / "site")
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *args: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("MODREG_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(language, "PUBLISHED", f"http://127.0.0.1:{server.server_port}/wikitext-2/")
    yield tmp_path / "site" / "wikitext-2"
    server.shutdown()
    server.server_close()


def test_download_is_checked_and_kept(published, monkeypatch):
    with pytest.raises(ValueError, match="hash"):
        download_wikitext()
    hashes = {split: sha256((published / f"{split}.txt").read_bytes()).hexdigest() for split in SPLITS}
    monkeypatch.setattr(language, "SHA256", hashes)
    paths = download_wikitext()
    for split in SPLITS:
        assert paths[split].read_bytes() == (published / f"{split}.txt").read_bytes()
        (published / f"{split}.txt").unlink()
    assert download_wikitext() == paths


def test_no_data_and_no_network_say_what_to_do(published):
    (published / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match="set the environment variable MODREG_DATA"):
        download_wikitext()


def test_generated_text_is_for_the_tiny_scale_alone(generated):
    assert generated().corpus == "generated"
    assert LanguageConfig(scale="small", device="cpu").corpus == "wikitext-2"
    with pytest.raises(ValueError, match="tiny"):
        LanguageConfig(scale="small", device="cpu", corpus="generated")


def test_real_and_generated_text_are_not_the_same_run(generated, monkeypatch):
    without = decisive(generated())
    monkeypatch.setenv("MODREG_DATA", "somewhere")
    assert decisive(generated()) != without


# --- perplexity --------------------------------------------------------------------------------------------------------


class Unread(nn.Module):
    """The same scores whatever is read."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def forward(self, words, state):
        return self.scores.expand(*words.shape, -1), state


@pytest.fixture(params=[pytest.param(None, id="generated"), pytest.param(REAL, id="real", marks=real)])
def texts(request, tmp_path):
    """Words by split."""
    if request.param is None:
        write_generated(tmp_path)
    return {split: read_words(path) for split, path in find_wikitext(request.param or tmp_path).items()}


def test_unigram_perplexity_is_that_of_counted_words(texts):
    """Counted with a dictionary, in Python's own floats, over the whole test text."""
    corpus = Corpus(texts, 500)
    kept = {word for word, _ in Counter(texts["train"]).most_common(500)}
    train, test = ([word if word in kept else "<unk>" for word in texts[split]] for split in ("train", "test"))
    counts = Counter(train)
    known = math.exp(-math.fsum(math.log(counts[word] / len(train)) for word in test[1:]) / (len(test) - 1))
    ours = perplexity(Unread(unigram(corpus).float()), batchify(corpus.test, 1), 1, steps=1000)
    assert ours.item() == pytest.approx(known, rel=1e-4)


def test_limits_are_those_of_a_network_with_unigram_scores(generated):
    """A decoder without weights whose bias is log p is the unigram model: `evaluate` must find the perplexity that `limits` names."""
    one = task(generated, 2)
    model = one.model(one.generators("weights"))
    with torch.no_grad():
        model.decoder.weight.zero_()
        model.decoder.bias.copy_(unigram(one.corpus))
    torch.testing.assert_close(one.evaluate(model)["perplexity"], torch.full((2,), one.limits()["unigram"]), rtol=1e-5, atol=0)


def test_bigram_is_a_distribution_and_counts_pairs():
    corpus = Corpus(dict(train="a b a b a a <unk>".split(), valid=[], test="a b".split()), 3)
    after = torch.tensor([bigram(corpus, torch.tensor([[corpus.number["a"]], [k]])).exp().item() for k in range(3)])
    assert after.sum().item() == pytest.approx(1)
    assert bigram(corpus, corpus.test[:, None]).exp().item() == pytest.approx(0.75 * 2 / 4 + 0.25 * 2 / 7)


def test_perplexity_does_not_hang_on_the_window(generated):
    one = task(generated, 2)
    model, text = one.model(one.generators("weights")), one.held_out("valid")
    whole = perplexity(model, text, 2, steps=10**6)
    for steps in (1, 3, 8):
        torch.testing.assert_close(perplexity(model, text, 2, steps=steps), whole)
    scores, _ = model(text[:-1].expand(2, -1, -1))
    torch.testing.assert_close(cross_entropy(scores, text[1:].expand(2, -1, -1)).exp(), whole)


def test_surprise_is_the_log_of_perplexity(generated):
    one = task(generated, 2)
    model, text = one.model(one.generators("weights")), one.corpus.test[:50]
    torch.testing.assert_close(2 ** surprisal(model, text).mean(1), perplexity(model, text[:, None], 2))


# --- training ----------------------------------------------------------------------------------------------------------


def test_state_is_carried_from_window_to_window(generated):
    """The losses of an epoch's windows are those of one long pass."""
    one = task(generated, 2)
    model = one.model(one.generators("weights"))
    windows = list(one.batches(one.generators("data")))
    losses = torch.stack([one.loss(model, batch) for batch in windows])
    whole = torch.cat([words[:, :-1] for words, _ in windows], 1)
    scores, last = model(whole)
    torch.testing.assert_close(windows[0][1].state, last)
    torch.testing.assert_close(losses.mean(0), cross_entropy(scores, torch.cat([words[:, 1:] for words, _ in windows], 1)))


def test_the_error_does_not_leave_its_window(generated):
    one = task(generated, 1)
    model = one.model(one.generators("weights"))
    windows = one.batches(one.generators("data"))
    for _ in range(2):
        words, carried = next(windows)
        one.loss(model, (words, carried))
        assert not carried.state.requires_grad


def test_epochs_begin_with_a_state_of_zeros_at_other_words(generated):
    one = task(generated, 1)
    first, second = (next(one.batches(one.generators("data", epoch))) for epoch in (0, 1))
    assert first[1].state is second[1].state is None
    assert not torch.equal(first[0], second[0])


def test_a_seed_reads_the_same_alone_and_in_company(generated):
    both, alone = Language(replace(generated(), seeds=2, seed=5)), Language(replace(generated(), seeds=1, seed=6))
    for (many, _), (one, _) in zip(both.batches(both.generators("data")), alone.batches(alone.generators("data")), strict=True):
        assert torch.equal(many[1], one[0])


def test_columns_lie_side_by_side():
    assert batchify(torch.arange(11), 3).tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_rates_and_clipping_are_those_of_a_seed_alone():
    """Three steps of the stack against torch's own SGD and clipping, one seed at a time, annealed at other times."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(2, *shape, generator=generator) for shape in ((4, 3), (3,))]
    gradients = [[torch.randn(2, *p.shape[1:], generator=generator) * 10 ** (k - 1) for p in start] for k in range(3)]
    valid = [[5.0, 5.0], [4.0, 6.0], [None, 4.5]]
    stack = [nn.Parameter(p.clone()) for p in start]
    optimizer = SeedSGD(stack, torch.full((2,), 2.0))
    anneal = AnnealOnPlateau(optimizer)
    for grads, line in zip(gradients, valid, strict=True):
        for p, g in zip(stack, grads, strict=True):
            p.grad = g.clone()
        clip_(stack, 0.25)
        optimizer.step()
        anneal.observe({"valid": line})
    for s in range(2):
        alone = [nn.Parameter(p[s].clone()) for p in start]
        theirs, best = torch.optim.SGD(alone, lr=2.0), math.inf
        for grads, line in zip(gradients, valid, strict=True):
            for p, g in zip(alone, grads, strict=True):
                p.grad = g[s].clone()
            nn.utils.clip_grad_norm_(alone, 0.25)
            theirs.step()
            if line[s] is not None and line[s] < best:
                best = line[s]
            else:
                theirs.param_groups[0]["lr"] /= 4
        assert optimizer.param_groups[0]["rates"][s].item() == theirs.param_groups[0]["lr"]
        for p, q in zip(stack, alone, strict=True):
            torch.testing.assert_close(p[s], q)


def test_a_seed_trains_alike_alone_and_in_company(generated):
    """Through the whole loop, clipped, and annealed where the deep cuts make the validation text worse."""
    config = generated(lr=4.0, sparsity=0.98, epochs=4, lottery=False)
    many, one = (fit(Language(c), progress=False) for c in (config, replace(config, seeds=1, seed=1)))
    for ours, alone in zip(many.history, one.history, strict=True):
        assert ours["valid"][1] == pytest.approx(alone["valid"][0], rel=1e-3)
    assert any(after["valid"][1] > before["valid"][1] for before, after in zip(many.history, many.history[1:], strict=False))


def test_a_killed_run_ends_as_if_nothing_had_happened(generated, tmp_path):
    """Rates and the best validation perplexity of each seed are part of the checkpoint."""
    config = generated(lr=20.0, epochs=4)

    class Dies(Language):
        left = 3 * config.batches + 4

        def loss(self, model, batch):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return super().loss(model, batch)

    whole = fit(Language(config), progress=False)
    elsewhere = replace(config, out=str(tmp_path / "elsewhere"))
    with pytest.raises(KeyboardInterrupt):
        fit(Dies(elsewhere), progress=False)
    again = fit(Language(elsewhere), progress=False)
    assert again.history == whole.history
    assert all(torch.equal(value, whole.weights("lottery")[name]) for name, value in again.weights("lottery").items())


def test_the_rate_of_a_stalled_seed_falls_within_a_run(generated):
    one = task(generated, 2)
    phase = Phase(one, "train")
    for valid in ([9.0, 9.0], [8.0, 9.1]):
        phase.schedule.observe({"valid": valid})
    state = phase.state_dict()
    other = Phase(one, "train")
    other.load_state_dict(state)
    rate = one.config.lr
    assert other.optimizer.param_groups[0]["rates"].tolist() == [rate, rate / 4]
    other.schedule.observe({"valid": [8.5, 8.9]})
    assert other.optimizer.param_groups[0]["rates"].tolist() == [rate / 4, rate / 4]


def test_a_dense_network_learns(generated):
    """The toy grammar: far below its unigram model, near its bigram model."""
    config = generated(hidden=32, seeds=2, batches=100, epochs=3, sparsity=0.0, lottery=False, penalty="none", strength=0.0)
    one = Language(config)
    found, limits = fit(one, progress=False).result["phases"]["train"]["perplexity"], one.limits()
    assert limits["bigram"] < limits["unigram"] / 2
    assert all(value < limits["unigram"] / 2 for value in found)


def test_float64_and_float32_agree(generated):
    one = task(generated, 2)
    model = one.model(one.generators("weights"))
    single = one.evaluate(model)["perplexity"]
    torch.testing.assert_close(one.evaluate(model.double())["perplexity"].float(), single, rtol=1e-4, atol=0)


# --- writing -----------------------------------------------------------------------------------------------------------


def test_writing_is_drawn_from_the_generator(generated):
    one = task(generated, 2)
    model = one.model(one.generators("weights"))
    texts = [generate(model, one.corpus, "the rat", 12, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    for text in texts[0]:
        assert text.startswith("the rat ") and len(text.split()) == 14 and "<unk>" not in text


def test_cold_writing_takes_the_likeliest_word(generated):
    one = task(generated, 1)
    model = one.model(one.generators("weights"))
    text = one.corpus.encode(generate(model, one.corpus, "the", 6, torch.Generator(), temperature=1e-6)[0].split())
    scores, _ = model(text[:-1].view(1, -1, 1))
    scores[..., one.corpus.number["<unk>"]] = -math.inf
    assert scores[0, :, 0].argmax(-1).tolist() == text[1:].tolist()
    with pytest.raises(ValueError, match="temperature"):
        generate(model, one.corpus, "the", 1, temperature=0)


# --- the chapter -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [
    {"manifold": "klein", "penalty": "shuffled", "sparsity": 0.98},
    {"train_embedding": True, "seeds": 1},
    {"lottery": False, "hidden": 12, "vocabulary": 40},
], ids=lambda parameters: "-".join(map(str, parameters.values())))
def test_papermill_runs_other_settings(tmp_path, monkeypatch, parameters):
    monkeypatch.delenv("MODREG_DATA", raising=False)
    results = run("language", tmp_path, **parameters)
    assert len(results) == 3  # dense without a penalty, dense with it, and pruned
    folder, pruned = max(results.items(), key=lambda item: item[1]["phases"]["train"]["sparsity"][0])
    assert set(pruned["phases"]) == ({"train", "lottery"} if parameters.get("lottery", True) else {"train"})
    for last in pruned["phases"].values():
        assert len(last["perplexity"]) == len(last["valid"]) == parameters.get("seeds", 3)
        assert all(abs(zeros - parameters.get("sparsity", 0.9)) < 1e-3 for zeros in last["sparsity"])
    assert {"table.md", "sample.md", "learning.png", "surprisal.png", "wiring.png", "sparsity.png"} <= {path.name for path in folder.iterdir()}
    weights = Language(LanguageConfig(scale="tiny", device="cpu", out=str(tmp_path / "runs"), **parameters)).run.weights()
    assert len({tuple(weights[f"regularizer.{k}.embedding"].flatten().tolist()) for k in range(3)}) == 3  # each layer has its own places


@pytest.mark.parametrize(("parameters", "message"), [
    ({"vocabulary": 3}, "at least 10"),
    ({"words": 100}, "no such parameter: words"),
    ({"scale": "small"}, "no WikiText-2 in MODREG_DATA"),
])
def test_what_cannot_run_fails_at_once(tmp_path, monkeypatch, parameters, message):
    monkeypatch.setenv("MODREG_DATA", str(tmp_path))
    with pytest.raises(PapermillExecutionError, match=message):
        run("language", tmp_path, **parameters)
    assert not (tmp_path / "runs").exists()


def test_paper_scale_is_the_papers():
    config = LanguageConfig(scale="paper", device="cpu")
    assert (config.hidden, config.batch, config.steps, config.lr, config.strength, Language.clip) == (650, 20, 35, 20.0, 0.1, 0.25)
    assert config.batches == (2_088_628 // config.batch - 1) // config.steps  # an epoch is the whole text


@pytest.mark.slow
@real
def test_paper_scale_starts_and_steps(tmp_path):
    """Two steps at full width and vocabulary, with all three penalties and the recipe's clipping, from the perplexity of a guess."""
    config = LanguageConfig(scale="paper", device="cpu", seeds=1, batches=3, epochs=1, held_out=2000, sparsity=0.9, lottery=False, out=str(tmp_path))
    last = fit(Language(config), progress=False).result["phases"]["train"]
    assert last["loss"][0] == pytest.approx(math.log(33_278), rel=0.25)
    assert abs(last["sparsity"][0] - 0.9) < 1e-4


def test_model_holds_seeds_apart(generated):
    """A word vector, a layer or a decoder of one seed reaches no other seed."""
    one = task(generated, 2)
    model = one.model(one.generators("weights"))
    words = one.held_out("valid")[:6].expand(2, -1, -1)
    model(words)[0][0].sum().backward()
    for p in model.parameters():
        assert p.grad[1].eq(0).all() and p.grad[0].ne(0).any()
    assert isinstance(model, LanguageModel)
