"""One bad recording, line or path among good ones: refused where it is read, with the file, what it held and what is allowed; and no score from nothing."""

import re

import numpy as np
import pytest
import soundfile
import torch

from modreg.lab.runs import fingerprint
from modreg.lab.training import Phase, Remember, RememberConfig, fit
from modreg.tasks.language import Language, LanguageConfig, perplexity, read_words, write_generated
from modreg.tasks.rats import Recording, load_recording
from modreg.tasks.sound import Utterance, digits, librispeech, split
from modreg.tasks.speech import Speech, SpeechConfig, error_rates, load_utterances

TIME = np.arange(200) / 50
POSITION = 0.5 + 0.3 * np.stack([np.cos(TIME / 2), np.sin(TIME / 2)], -1)


def changed(values, at, value):
    values = values.astype(np.result_type(values.dtype, type(value)))
    values[at] = value
    return values


# --- rats --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("time", "position", "message"), [
    (TIME, changed(POSITION, (7, 1), np.nan), r"pos\[7\]=\[.*nan\]"), (TIME, changed(POSITION, 7, -np.inf), r"pos\[7\]=\[-inf, -inf\]"),
    (changed(TIME, 9, np.nan), POSITION, r"t\[9\]=nan"), (changed(TIME, 199, np.inf), POSITION, r"t\[199\]=inf"), (changed(TIME, 9, 0.0), POSITION, r"t\[8\]=0.16 and t\[9\]=0"),
    (TIME[::-1], POSITION, "growing times"), (1000 * TIME, POSITION, "every 20 s.* and not in ms"), (TIME / 1000, POSITION, "every 2e-05 s"), (50 * TIME, POSITION, "in frames"),
    (TIME, 100 * POSITION, "from the centre of a box with sides of 1 and 1 m.*positions in m"), (TIME, POSITION + 0.5, "are its sides these"), (TIME, 0 * POSITION + 0.5, "never leaves a spot"),
    (TIME, 1e-4 * POSITION + 0.5, "never leaves a spot"), (TIME / 10, changed(POSITION, slice(None, None, 2), 0.1), "m/s on average"), (TIME, POSITION.astype(complex), "pos of complex128"),
    (TIME.astype(str), POSITION, "holds t of <U"), (TIME, np.array([[{}, {}]] * 200), "is no recording"), (TIME > 0, POSITION, "holds t of bool"), (TIME[:-1], POSITION, r"t \(199,\) and pos \(200, 2\)"),
    (TIME, POSITION.T, r"pos \(2, 200\)"), (TIME, POSITION[:, 0], r"pos \(200,\)"), (TIME[:1], POSITION[:1], "at least two"), (TIME[:0], POSITION[:0], "at least two"), (np.array(3.0), POSITION, "growing times"),
], ids=str)
def test_a_recording_that_is_no_rats(tmp_path, time, position, message):
    (tmp_path / "rat-trajectories").mkdir()
    path = tmp_path / "rat-trajectories" / "sargolini.npz"
    np.savez(path, t=time, pos=position)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} .*{message}"):
        load_recording("sargolini", tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x80\4junk", b"\x93NUMPY" + bytes(60)], ids=["empty", "archive", "pickle", "numpy"])
def test_a_recording_that_is_no_archive(tmp_path, data):
    (tmp_path / "rat-trajectories").mkdir()
    path = tmp_path / "rat-trajectories" / "tanni.npz"
    np.savez(path, t=TIME, pos=POSITION)
    whole = path.read_bytes()
    for bad in (data, whole[: len(whole) // 2], whole[:100] + bytes(300) + whole[400:]):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is no recording"):
            load_recording("tanni", tmp_path)
    np.savez(path, time=TIME)
    with pytest.raises(ValueError, match="is no recording"):
        load_recording("tanni", tmp_path)


def test_a_recording_of_ones_own_is_looked_at_too():
    with pytest.raises(ValueError, match=r"this recording holds pos\[3\]"):
        Recording(TIME, changed(POSITION - 0.5, 3, np.nan), (1.0, 1.0))


# --- texts -------------------------------------------------------------------------------------------------------------


def language(**options):
    return LanguageConfig(scale="tiny", device="cpu", corpus="wikitext-2", **options)


@pytest.mark.parametrize(("split_name", "data", "message"), [
    ("valid", b"the rat runs .\nthe \xff\xfe falls .\n", r"valid\.txt, line 2 holds the byte 0xff.*UTF-8"), ("test", b"", r"test\.txt holds no words"), ("train", b" \n\n \n", r"train\.txt holds no words"),
    ("test", b"the rat\0 runs", r"test\.txt, line 1 holds a zero byte"), ("train", "the rat runs".encode("utf-16"), r"train\.txt, line 1 holds the byte"),
    ("test", b"the rat runs .\n", "the test text has 5 words.*20 columns.*at least 40"), ("train", b"the rat", "the train text has 2 words.*4 columns"),
])
def test_a_text_that_is_none(tmp_path, monkeypatch, split_name, data, message):
    write_generated(tmp_path)
    (tmp_path / "wikitext-2" / f"{split_name}.txt").write_bytes(data)
    monkeypatch.setenv("MODREG_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        Language(language())


def test_line_ends_of_another_system_are_line_ends(tmp_path):
    for k, data in enumerate((b"the rat\nruns\n", b"the rat\r\nruns\r\n", b"the rat\rruns\r")):
        (tmp_path / str(k)).write_bytes(data)
        assert read_words(tmp_path / str(k)) == "the rat <eos> runs <eos>".split()


@pytest.mark.parametrize("shape", [(1, 20), (0, 20), (5, 0)])
def test_nothing_to_guess_is_no_perplexity(shape):
    with pytest.raises(ValueError, match=r"nothing to guess|text"):
        perplexity(torch.nn.Identity(), torch.zeros(shape, dtype=torch.int64), 3)


# --- sounds ------------------------------------------------------------------------------------------------------------

HUM = 0.3 * np.sin(np.arange(4000) / 5)


@pytest.fixture
def spoken(tmp_path, monkeypatch):
    "Recordings of the digits, of four speakers"
    folder = tmp_path / "free-spoken-digit-dataset" / "recordings"
    folder.mkdir(parents=True)
    for speaker in ("ann", "ben", "cleo", "dan"):
        for digit in range(3):
            soundfile.write(folder / f"{digit}_{speaker}_0.wav", HUM, 8000, subtype="FLOAT")
    monkeypatch.setenv("MODREG_DATA", str(tmp_path))
    return folder


def speech(**options):
    return SpeechConfig(scale="tiny", device="cpu", data="digits", batch=2, **options)


@pytest.mark.parametrize(("samples", "rate", "message"), [
    (changed(HUM, 77, np.nan), 8000, "holds nan as its sample 77 of 4000"), (changed(HUM, 0, np.inf), 8000, "holds inf as its sample 0"), (changed(HUM, 5, 1e30), 8000, "holds a sample of size 1e"),
    (HUM[:150], 8000, "holds 150 samples at a rate of 8000 a second; it must hold at least 200"), (HUM[:0], 8000, "holds 0 samples"), (0 * HUM, 8000, "holds 4000 times the same sample, 0: it is silent"),
    (HUM, 16000, "has 16000 samples a second, and most others have 8000"), (HUM, 44100, "has 44100 samples a second"),
])
def test_a_sound_that_is_none(spoken, samples, rate, message):
    path = spoken / "1_ben_0.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} {message}"):
        found = load_utterances(speech())
        for part in found:
            for utterance in part:
                utterance.sound()


@pytest.mark.parametrize("data", [b"", b"RIFF", b"no sound at all" * 100])
def test_a_file_that_is_no_sound(spoken, data):
    path = spoken / "2_cleo_0.wav"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is no sound that can be decoded"):
        load_utterances(speech())


def test_a_bad_sound_stops_a_run_by_its_name(spoken, tmp_path):
    path = spoken / "1_ben_0.wav"
    soundfile.write(path, changed(HUM, 9, np.nan), 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} holds nan as its sample 9"):
        fit(Speech(speech(out=str(tmp_path / "runs"))), progress=False)


def test_names_that_say_nothing(spoken):
    (spoken / "x_ann_0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"x_ann_0\.wav has not a name such as"):
        digits()


@pytest.mark.parametrize(("listing", "message"), [
    ("19-1-0 FINE\n19-1-1\n", "line 2 is '19-1-1'"), ("19-1-0 FINE\n19-1-1  \n", "line 2"), ("19-1-0 FINE\n\n", "line 2 is ''"), ("19-1-0 R2D2\n", "transcript of 19-1-0 is 'r2d2', which holds '2'"),
    (b"19-1-0 FINE\n19-1-1 \xff\n", "line 2 holds the byte 0xff"),
])
@pytest.mark.parametrize("layout", ["trans", "manifest"])
def test_transcripts_that_are_none(tmp_path, monkeypatch, listing, message, layout):
    folder = tmp_path / "LibriSpeech" / "dev" / "19" / "1"
    folder.mkdir(parents=True)
    for k in range(2):
        soundfile.write(folder / f"19-1-{k}.flac", HUM, 16000)
    data = listing.encode() if isinstance(listing, str) else listing
    if layout == "trans":
        (folder / "19-1.trans.txt").write_bytes(data)
    else:
        (tmp_path / "LibriSpeech" / "manifest.tsv").write_bytes(b"id\ttext\n" + data.replace(b" ", b"\t", 1).replace(b"\n19-1-1 ", b"\n19-1-1\t"))
        message = re.sub("line 2.*", "line 3|manifest.tsv, line 3", message) if "line 2" in message and listing != "19-1-0 FINE\n\n" else message
    monkeypatch.setenv("MODREG_DATA", str(tmp_path))
    if layout == "manifest" and listing == "19-1-0 FINE\n\n":
        assert len(librispeech()) == 1  # a table may end with an empty line
        return
    with pytest.raises(ValueError, match=message):
        librispeech()


@pytest.mark.parametrize("text", ["", " ", "  "])
def test_an_empty_transcript(text):
    with pytest.raises(ValueError, match="the transcript of a is empty"):
        Utterance("a", text, "ann")


# --- a score from nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speakers", [["ann", "ben"], ["ann"], []])
def test_two_speakers_leave_nobody_to_be_tested_on(spoken, speakers):
    utterances = [Utterance(f"a_{speaker}", "a", speaker) for speaker in speakers]
    with pytest.raises(ValueError, match=f"are of {len(speakers)} speakers .* at least 3"):
        split(utterances)
    for path in spoken.glob("*_[cd]*_*.wav"):
        path.unlink()
    with pytest.raises(ValueError, match=r"are of 2 speakers \(ann, ben\)"):
        load_utterances(speech())


@pytest.mark.parametrize(("said", "written"), [([], []), (["a"], []), ([""], ["a"])])
def test_no_error_rate_of_nothing(said, written):
    with pytest.raises(ValueError, match="at least one"):
        error_rates(said, written)


@pytest.mark.parametrize(("found", "message"), [
    ({}, "returned nothing, and its metric is 'rmse'"), ({"mse": torch.zeros(3)}, "returned mse, and its metric"), ({"rmse": torch.zeros(2)}, r"returned rmse=\(2,\); .* of shape \(3,\)"),
    ({"rmse": [0.0, 0.0, 0.0]}, "returned rmse=list"), ({"rmse": torch.tensor(0.0)}, r"rmse=\(\)"), (None, "returned NoneType"),
], ids=str)
def test_a_task_that_says_nothing(tmp_path, found, message):
    class Says(Remember):
        def evaluate(self, model):
            return found

    with pytest.raises((ValueError, TypeError), match=message):
        fit(Says(RememberConfig(scale="tiny", device="cpu", epochs=1, batches=1, out=str(tmp_path))), progress=False)


def test_a_task_without_recurrent_weights(tmp_path):
    class Feedforward(Remember):
        def recurrent(self, model):
            return []

    config = dict(scale="tiny", device="cpu", epochs=1, batches=1, out=str(tmp_path))
    with pytest.raises(ValueError, match=r"Feedforward\.recurrent names no weight, so there is nothing to penalize"):
        Phase(Feedforward(RememberConfig(**config)))
    assert fit(Feedforward(RememberConfig(**config, penalty="none")), progress=False).result["phases"]["train"]["penalty"] == [0.0] * 3


# --- a result of other data ----------------------------------------------------------------------------------------------


def test_a_recording_of_the_same_size_is_another_recording(tmp_path):
    paths = [tmp_path / name for name in ("a.wav", "b.wav")]
    soundfile.write(paths[0], HUM, 8000)
    soundfile.write(paths[1], HUM[::-1], 8000)
    found = []
    for source in paths:
        (tmp_path / "u.wav").write_bytes(source.read_bytes())
        found += [fingerprint(tmp_path / "u.wav", contents=contents) for contents in (True, False)]
    assert len(set(found)) == 4
