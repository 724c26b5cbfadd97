"""Speech: what its loaders accept and refuse, seeds in company, and whole runs as papermill makes them."""

import os
from dataclasses import replace

import pytest
import torch
from headless import break_off, run
from papermill.exceptions import PapermillExecutionError

from modreg.tasks.sound import Utterance, digits, librispeech, split, tones
from modreg.tasks.speech import BLANK, Speech, SpeechConfig, dropout, error_rates, frames_of, too_short
from modreg.lab.training import Phase, fit

needs_data = pytest.mark.skipif("MODREG_DATA" not in os.environ, reason="the recordings are not here: MODREG_DATA names no folder")


def config(out, **options):
    return SpeechConfig(scale="tiny", device="cpu", out=str(out), **options)


@pytest.mark.parametrize("parameters", [{"manifold": "klein", "penalty": "shuffled", "seeds": 1}, {"train_embedding": True, "lottery": False, "seeds": 1}], ids=str)
def test_papermill_runs_other_settings(tmp_path, parameters):
    run("speech", tmp_path, **parameters)
    (table,) = (tmp_path / "runs").glob("*/table.md")
    assert "mean nothing" in table.read_text()  # tiny networks have no table
    assert (table.parent / "lottery.safetensors").exists() == parameters.get("lottery", True)


@pytest.mark.parametrize(("parameters", "message"), [({"data": "music"}, "'digits', 'librispeech', 'tones'"), ({"manifod": "torus"}, "no such parameter")])
def test_wrong_parameters_fail_at_once(tmp_path, parameters, message):
    with pytest.raises(PapermillExecutionError, match=message):
        run("speech", tmp_path, **parameters)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("root", [None, "nowhere", "."])
def test_missing_data_are_told(tmp_path, monkeypatch, root):
    """Whether the variable is not set, or names no folder, or one without the data."""
    monkeypatch.delenv("MODREG_DATA", raising=False)
    if root:
        monkeypatch.setenv("MODREG_DATA", str(tmp_path / root))
    for load in (digits, librispeech):
        with pytest.raises(FileNotFoundError, match=r"MODREG_DATA|holds no"):
            load()


@needs_data
def test_digits_are_all_there():
    found = digits()
    assert len(found) == 3000 and len({u.speaker for u in found}) == 6
    assert {u.text for u in found if u.name.startswith("7_")} == {"seven"}
    train, test = split(found)
    assert len(train) == 2000 and not {u.speaker for u in train} & {u.speaker for u in test}


@needs_data
def test_librispeech_is_read_in_its_own_layout():
    found = librispeech()
    assert len(found) == 1313 and len({u.speaker for u in found}) == 20
    samples, rate = found[0].sound()
    assert rate == 16000 and abs(len(samples) / rate - found[0].seconds()) < 0.1


def test_transcripts_that_do_not_fit_are_found():
    """A tone lasts 80 ms a letter, so all fit; a long text on a short sound does not."""
    assert too_short(tones()) == []

    class Short(Utterance):
        def seconds(self):
            return 0.1

    long = Short("long", "a long sentence", "ann")
    assert frames_of(long) < len(long.text) and too_short([*tones(), long]) == [long]


def test_a_seed_is_the_same_alone_as_in_company(tmp_path):
    both, alone = (Speech(config(tmp_path, seeds=n, seed=s, speed=0.1, pitch=0.1, masked=0.1)) for n, s in ((2, 4), (1, 5)))
    phases = [Phase(task, "train") for task in (both, alone)]
    losses = [task.loss(phase.model, next(task.batches(task.generators("data")))) for task, phase in zip((both, alone), phases, strict=True)]
    torch.testing.assert_close(losses[0][1:], losses[1], rtol=1e-4, atol=1e-4)


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path):
    whole = fit(Speech(config(tmp_path / "whole", seeds=2)), progress=False)
    parts = replace(whole.config, out=str(tmp_path / "parts"))
    break_off(Speech, parts, 1)
    resumed = fit(Speech(parts), progress=False)
    assert resumed.history == whole.history


def test_dropout_draws_from_each_seeds_own_stream(tmp_path):
    "Of the inputs of the last layer the share `dropout` is zero, in training alone; a seed draws the same alone as in company"
    whole = dropout(torch.ones(2, 300, 5, 40), 0.3, [4, 5])
    assert abs((whole == 0).float().mean() - 0.3) < 0.01 and torch.equal(whole.unique(), torch.tensor([0, 1 / 0.7]))
    torch.testing.assert_close(dropout(torch.ones(1, 300, 5, 40), 0.3, [5]), whole[1:])
    both, alone = (Speech(config(tmp_path, seeds=n, seed=s, dropout=0.4)) for n, s in ((2, 4), (1, 5)))
    models = [task.model(task.generators("weights", "train")) for task in (both, alone)]
    batches = [next(task.batches(task.generators("data"))) for task in (both, alone)]
    losses = [task.loss(model, batch) for task, model, batch in zip((both, alone), models, batches, strict=True)]
    torch.testing.assert_close(losses[0][1:], losses[1], rtol=1e-4, atol=1e-4)
    assert not torch.equal(losses[1], alone.loss(models[1], (*batches[1][:-1], None)))
    torch.testing.assert_close(alone.evaluate(models[1]), alone.evaluate(models[1]))


def test_blank_is_the_last_class_and_silence_is_all_wrong():
    assert BLANK == 28
    assert error_rates(["zero", "one"], ["", ""])["cer"] == 100


@pytest.mark.slow
def test_paper_scale_starts_and_steps(tmp_path):
    """Full width, on made-up tones, gradients summed over two batches and products in half precision: the loss is finite, and falls on one batch."""
    task = Speech(SpeechConfig(scale="paper", device="cpu", data="tones", seeds=1, batch=4, batches=2, epochs=1, sum_batches=2, precision="bfloat16",
                               sparsity=0.0, lottery=False, out=str(tmp_path)))
    assert task.config.hidden == 512 and task.accumulate == 2
    assert torch.tensor(fit(task, progress=False).result["phases"]["train"]["loss"]).isfinite().all()
    phase = Phase(task, "train")
    batch, losses = next(task.batches(task.generators("data"))), []
    for _ in range(6):
        losses.append(task.loss(phase.model, batch).sum())
        phase.optimizer.zero_grad()
        losses[-1].backward()
        phase.optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.slow
@needs_data
def test_the_loss_falls_on_real_utterances(tmp_path):
    settings = SpeechConfig(scale="small", device="cpu", data="librispeech", penalty="none", strength=0.0, sparsity=0.0, lottery=False, seeds=1,
                            batch=8, batches=15, epochs=3, lr=1e-3, tested=5, out=str(tmp_path))
    history = fit(Speech(settings), progress=False).history
    assert history[-1]["loss"][0] < history[0]["loss"][0]
