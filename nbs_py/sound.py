# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sound
#
# > How speech becomes pictures that a network can read, and how few speakers become many

# %% [markdown]
# *Reading 15 min, exercises 15 min. To skip at a first reading:* all of it, unless you work with sound.
#
# After this chapter you can
#
# - turn sound into a mel spectrogram, and say what each of its numbers means,
# - change the speed and the pitch of a recording by stretching its picture,
# - load recordings of your own for the chapter [speech](speech.ipynb).
#
# The question: *a second of sound is thousands of numbers, and the same word is never the same numbers twice. What must be kept of it for a network that reads, and what can go?*

# %%
#| default_exp tasks.sound

# %%
#| export
import csv
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from modreg.geometry.arguments import Shape, Share, Within, checked

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq
from IPython.display import Audio, display

from modreg.book.exercises import draw_bars, draw_lines, exercise

plt.style.use("modreg.data.book")

# %%
#| code-fold: true
#| fig-alt: "Sound waves of three short words, 50 ms each: the same word by two voices, and another word."
from modreg.tasks.sound import tones as made_up

fig, axes = plt.subplots(1, 3, figsize=(8, 2.2), layout="constrained", sharey=True)
for ax, utterance in zip(axes, (u for u in made_up() if (u.text, u.speaker) in (("fed", "ann"), ("fed", "dan"), ("had", "dan"))), strict=True):
    samples, rate = utterance.sound()
    ax.plot(torch.arange(400) / rate * 1000, samples[:400], linewidth=0.8)
    ax.set(xlabel="time (ms)", title=f"{utterance.speaker}: {utterance.text}")
axes[0].set(ylabel="air pressure")
plt.show()


# %% [markdown]
# The first twentieth of a second of three made-up words, in which each letter is a tone and each speaker is tuned a little differently. As air pressure, the same letter of two speakers has not one number in common.
#
# *Predict:* which of these are the same word? What would you have to compute to see it?
#
# ## Utterances
#
# An utterance is a sound, its transcript and its speaker. The loaders read the folders as their publishers laid them out, sound by sound when it is needed, so memory holds no more than a batch.

# %%
#| export
@checked
def undecodable(path: Path, error: Exception) -> ValueError:
    "The error for a file that is no sound"
    return ValueError(f"{path} is no sound that can be decoded ({error}); replace it, or take it and its transcript away")


@checked
@cache
def header(path: Path) -> tuple[float, int]:  # s, and samples a second
    "Length and rate of a sound, which a task asks for several times; the file is opened once"
    import soundfile

    try:
        found = soundfile.info(path)
    except (RuntimeError, OSError) as error:
        raise undecodable(path, error) from None
    return found.duration, found.samplerate


# %%
#| export
ALPHABET = "' abcdefghijklmnopqrstuvwxyz"  # the characters of a transcript
DIGITS = "zero one two three four five six seven eight nine".split()


@checked
@dataclass(frozen=True)
class Utterance:
    "A sound with its transcript"

    name: str
    text: str  # of characters in ALPHABET
    speaker: str
    path: Path | None = None  # of the sound; None for made-up tones

    def __post_init__(self):
        if strange := sorted(set(self.text) - set(ALPHABET)):
            raise ValueError(f"the transcript of {self.name} is {self.text!r}, which holds {strange[0]!r}; allowed are a to z, space and apostrophe")
        if not self.text.strip():
            raise ValueError(f"the transcript of {self.name} is empty; write down what is said, or take the utterance away")

    def sound(self) -> tuple[Tensor, int]:  # samples (n,) between -1 and 1, and how many there are in a second
        "Decode the sound; ValueError if it is none"
        if self.path is None:
            return _tones(self), 8000
        import soundfile

        try:
            samples, rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        except (RuntimeError, OSError) as error:
            raise undecodable(self.path, error) from None
        return checked_samples(torch.from_numpy(samples).mean(1), rate, self.path), rate

    def seconds(self) -> float:
        "Its length in seconds, without decoding it"
        return 0.08 * len(self.text) if self.path is None else header(self.path)[0]

    def rate(self) -> int:
        "Samples a second, without decoding it"
        return 8000 if self.path is None else header(self.path)[1]


# %% [markdown]
# One bad recording would turn the weights of a whole network to NaN. So each is looked at when it is decoded, and all together before any is used.

# %%
#| export
#| fold What is no recording
@checked
def checked_samples(
    samples: Tensor,  # (n,)
    rate: int,  # samples a second
    path: Path,
) -> Tensor:
    "The same; ValueError if they are no sound"
    if (bad := ~samples.isfinite()).any():
        k = int(bad.int().argmax())
        raise ValueError(f"{path} holds {samples[k].item()} as its sample {k} of {len(samples)}; samples are finite numbers between -1 and 1")
    if len(samples) < (least := round(0.025 * rate)):
        raise ValueError(f"{path} holds {len(samples)} samples at a rate of {rate} a second; it must hold at least {least}, which is one window of 25 ms")
    if (loudest := samples.abs().max()) > 8:
        raise ValueError(f"{path} holds a sample of size {loudest:.3g}; samples are between -1 and 1")
    if samples.amin() == samples.amax():
        raise ValueError(f"{path} holds {len(samples)} times the same sample, {samples[0].item():g}: it is silent")
    return samples


@checked
def check_rates(utterances: list["Utterance"]) -> None:
    "ValueError if sounds differ in their samples a second: the bands of their spectrograms would be of different hertz"
    rates = Counter(u.rate() for u in utterances)
    usual = rates.most_common(1)[0][0] if rates else 0
    for u in utterances:
        if u.rate() != usual:
            raise ValueError(f"{u.path or u.name} has {u.rate()} samples a second, and most others have {usual}; resample it, or take it away")


# %% [markdown]
# The sounds lie below one folder. What is missing there is said with what to do about it.

# %%
#| export
#| fold Loaders
def _root() -> Path:
    "The data folder; FileNotFoundError if it is not there"
    root = os.environ.get("MODREG_DATA")
    if root is None or not Path(root).is_dir():
        raise FileNotFoundError(
            f"no speech data: the environment variable MODREG_DATA {'is not set' if root is None else f'names {root}, which is no folder'}. Set it to a folder that holds "
            "free-spoken-digit-dataset/recordings/ or LibriSpeech/, as their publishers lay them out; data='tones' needs no data")
    return Path(root)


@checked
def digits() -> list[Utterance]:
    "The spoken digits, `{digit}_{speaker}_{index}.wav` (or .flac), as words"
    folder = _root() / "free-spoken-digit-dataset" / "recordings"
    paths = sorted(path for path in folder.glob("*_*_*.*") if path.suffix in (".wav", ".flac"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no recordings such as 7_george_3.wav; get the Free Spoken Digit Dataset, or use data='tones'")
    for path in paths:
        if not re.fullmatch(r"[0-9]_[^_]+_[^_]+", path.stem):
            raise ValueError(f"{path} has not a name such as 7_george_3.wav: a digit, a speaker, a number; rename it, or take it away")
    return [Utterance(path.stem, DIGITS[int(path.stem[0])], path.stem.split("_")[1], path) for path in paths]


# %%
#| export
#| fold Loaders
@checked
def transcripts(listing: Path) -> dict[str, str]:  # by utterance
    "What a file of LibriSpeech's says, a line for each utterance; ValueError names the line that is none"
    found = {}
    for k, line in enumerate(decoded(listing).splitlines(), start=1):
        name, space, text = line.partition(" ")
        if not name or not space or not text.strip():
            raise ValueError(f"{listing}, line {k} is {line!r}; it must hold an utterance's name, a space and its transcript")
        found[name] = text
    return found


@checked
def manifest(table: Path) -> dict[str, str]:  # by utterance
    "The columns `id` and `text` of a table; ValueError names the line that lacks one"
    found = {}
    for k, row in enumerate(csv.DictReader(decoded(table).splitlines(), delimiter="\t"), start=2):
        if not row.get("id") or not (row.get("text") or "").strip():
            raise ValueError(f"{table}, line {k} has no id or no text; each line holds both, between tabs, as the first line says")
        found[row["id"]] = row["text"]
    return found


# %%
#| export
#| fold Decoded files
@checked
def decoded(path: Path) -> str:
    "A file's text; ValueError names the line that is none"
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {data[: error.start].count(10) + 1} holds the byte {data[error.start]:#04x}, which is no UTF-8; save the file as UTF-8") from None


# %%
#| export
#| fold Loaders
@checked
def librispeech() -> list[Utterance]:
    "Every subset of LibriSpeech that is there, `{subset}/{speaker}/{chapter}/{utterance}.flac` (or .mp3)"
    folder = _root() / "LibriSpeech"
    texts: dict[str, str] = {}
    for listing in sorted(folder.glob("*/*/*/*.trans.txt")):
        texts |= transcripts(listing)
    if not texts and (folder / "manifest.tsv").exists():  # a copy whose transcripts stand in one table
        texts = manifest(folder / "manifest.tsv")
    sounds = {path.stem: path for suffix in ("mp3", "flac") for path in folder.glob(f"*/*/*/*.{suffix}")}
    found = [Utterance(name, text.lower(), name.split("-")[0], sounds[name]) for name, text in sorted(texts.items()) if name in sounds]
    if not found:
        raise FileNotFoundError(f"{folder} holds no utterances with transcripts, such as dev-clean/1272/128104/1272-128104.trans.txt; get a subset of LibriSpeech")
    return found


# %% [markdown]
# Without data there are tones: each letter sounds for 80 ms at a pitch of its own, and each speaker is tuned a little higher. They stand in where a test has no data, and for nothing else.

# %%
#| export
#| fold Tones
@checked
def tones() -> list[Utterance]:
    "Made-up utterances: words of four speakers, each letter a tone"
    words = "aha bad cab dab fed gag had jab".split()
    return [Utterance(f"{word}_{speaker}", word, speaker) for speaker in ("ann", "ben", "cleo", "dan") for word in words]


def _tones(utterance: Utterance) -> Tensor:
    "The sound of a made-up utterance at 8000 samples a second"
    pitch = 1 + 0.04 * (ord(utterance.speaker[0]) - ord("a"))
    hertz = torch.tensor([200 + 180 * ALPHABET.index(c) for c in utterance.text]) * pitch
    return 0.3 * torch.sin(2 * math.pi * (hertz / 8000).repeat_interleave(640).cumsum(0))


SOURCES = {"digits": digits, "librispeech": librispeech, "tones": tones}


@checked
def split(
    utterances: list[Utterance],
) -> tuple[list[Utterance], list[Utterance]]:  # for training, and of speakers that training never hears
    "Every third speaker is kept for testing; by name, so that it is the same each time; ValueError if there are fewer than three"
    speakers = sorted({u.speaker for u in utterances})
    if len(speakers) < 3:
        raise ValueError(f"the utterances are of {len(speakers)} speakers ({', '.join(speakers)}), and every third is kept for testing: there must be at least 3, or nothing is tested")
    unseen = set(speakers[2::3])
    return [u for u in utterances if u.speaker not in unseen], [u for u in utterances if u.speaker in unseen]


# %%
try:
    utterances = digits()
except FileNotFoundError as missing:
    print(f"Made-up tones stand in: {missing}")
    utterances = tones()
train, test = split(utterances)
assert not {u.speaker for u in train} & {u.speaker for u in test} and len(train) + len(test) == len(utterances)
assert all(set(u.text) <= set(ALPHABET) for u in utterances)
print(f"{len(train)} utterances of {len({u.speaker for u in train})} speakers to learn from, {len(test)} of {len({u.speaker for u in test})} others to be tested on")

# %% [markdown]
# ## From sound to pictures
#
# Cut the sound into windows of 25 ms, one every 12.5 ms. In each, a Fourier transform tells how strong each frequency is. The ear hears low frequencies finely and high ones coarsely; the mel scale,
#
# $$m = 2595 \,\log_{10}(1 + f/700),$$
#
# imitates that. Triangles that are evenly spaced in mel gather the powers into bands, and a logarithm turns loudness into something near what we perceive.
# What is a thousand times weaker than the loudest moment counts as silence, so that a quiet room and a noisy one look alike.

# %%
#| export
Rate = Annotated[int, Within(1000, 10**6)]  # samples a second


def _mel(hertz: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


def _hertz(mel: Tensor) -> Tensor:
    return 700 * (10 ** (mel / 2595) - 1)


@checked
def mel_filters(
    bands: Annotated[int, Within(1, 10**4)],  # number of triangles
    size: Annotated[int, Within(2, 10**6)],  # of the Fourier transform
    rate: Rate,  # samples a second
) -> Tensor:  # weights (size // 2 + 1, bands)
    "Triangles with height 1, evenly spaced in mel between 0 and half the rate"
    edges = _hertz(torch.linspace(0, _mel(torch.tensor(rate / 2)).item(), bands + 2))
    frequency = torch.linspace(0, rate / 2, size // 2 + 1)[:, None]
    up, down = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return torch.minimum(up, down).clamp(min=0)


# %%
#| export
@checked
def log_mel(
    samples: Annotated[Tensor, Shape("n", "float", finite=True)],  # (n,)
    rate: Rate,  # samples a second
    bands: Annotated[int, Within(1, 10**4)],
) -> Tensor:  # (frames, bands), each band with mean 0 and the whole with deviation 1
    "Logarithm of the mel spectrogram, a frame every 12.5 ms; what is 30 dB below the loudest counts as silence"
    window = round(0.025 * rate)
    size = 2 ** math.ceil(math.log2(window))
    spectrum = torch.stft(samples, size, window // 2, window, torch.hann_window(window), center=True, pad_mode="constant", return_complex=True)
    filters = mel_filters(bands, size, rate)
    power = spectrum.abs().square().mT @ (filters / filters.sum(0).clamp(min=1e-3))
    mel = torch.log(power / power.max().clamp(min=1e-6) + 1e-3)
    mel = mel - mel.mean(0)
    return mel / mel.std().clamp(min=1e-3)


# %%
#| fig-alt: "A mel spectrogram of a spoken 'five': bright bands at low and middle pitch between 0.2 and 0.4 seconds."
utterance = test[len(test) // 2]
samples, rate = utterance.sound()
picture = log_mel(samples, rate, 40)
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
image = ax.imshow(picture.T, origin="lower", aspect="auto", extent=(0, len(samples) / rate, 0, 40), cmap="magma")
ax.set(xlabel="time (s)", ylabel="mel band", title=f"{utterance.speaker} says: {utterance.text}")
fig.colorbar(image, ax=ax, label="log power")
plt.show()
display(Audio(samples.numpy(), rate=rate))

# %% [markdown]
# A pure tone must light one band, the one whose triangle holds its frequency; and one frame must be what the definition of the Fourier transform gives, sum by sum.

# %%
second = torch.arange(8000) / 8000
tone = log_mel(torch.sin(2 * math.pi * 1000 * second) + 0.01 * torch.sin(2 * math.pi * 3000 * second), 8000, 32)
expected = mel_filters(32, 256, 8000)[32].argmax().item()  # bin 32 of 256 at 8000 Hz is 1000 Hz
frame = torch.sin(2 * math.pi * 1000 * second)[3900:4100] * torch.hann_window(200)
k, n = torch.arange(129)[:, None], torch.arange(200)
power = (frame * torch.cos(2 * math.pi * k * n / 256)).sum(1) ** 2 + (frame * torch.sin(2 * math.pi * k * n / 256)).sum(1) ** 2
test_eq((power @ mel_filters(32, 256, 8000)).argmax().item(), expected)
stft = torch.stft(torch.sin(2 * math.pi * 1000 * second), 256, 100, 200, torch.hann_window(200), center=True, pad_mode="constant", return_complex=True).abs()[:, 40] ** 2
test_close(stft.max(), power.max(), eps=0.02 * power.max().item())


# %% [markdown]
# ## Variety
#
# Four speakers are few. While training, each utterance is played a little faster or slower and at another pitch, by stretching its picture in both directions; then a strip of frames and a strip of bands
# are blotted out (Park et al. 2019). So each epoch hears other speakers, and no one detail can be relied on.

# %%
#| export
#| fold
@checked
def time_stretch(
    pictures: Annotated[Tensor, Shape("n T bands", "float", finite=True)],  # (n, T, bands)
    lengths: Annotated[Tensor, Shape("n", "int", least=1)],  # frames of each (n,)
    speed: Annotated[Tensor, Shape("n", "float", finite=True, least=0.01)],  # (n,); 1 leaves it
    pitch: Annotated[Tensor, Shape("n", "float", finite=True, least=0.01)],  # (n,); 1 leaves it
    least: Annotated[Tensor, Shape("n", "int", least=0, most=10**6)],  # frames that each must keep (n,)
    rate: Rate,  # samples a second; the bands reach up to half of it
) -> tuple[Tensor, Tensor]:  # pictures (n, T', bands) and lengths (n,)
    "Play utterances at another speed and pitch"
    if (most := int(lengths.max())) > pictures.shape[1]:
        raise ValueError(f"lengths reach {most}, and the pictures have {pictures.shape[1]} frames; give at most as many")
    bands = pictures.shape[-1]
    longer = torch.maximum((lengths / speed).round().long(), least)
    frame = torch.arange(int(longer.max())) * ((lengths - 1) / (longer - 1).clamp(min=1))[:, None]
    centre = torch.linspace(0, 1, bands + 2)[1:-1]  # of the bands, in mel, as a share of the range
    top = _mel(torch.tensor(rate / 2))
    band = (_mel(_hertz(centre * top)[None] * pitch[:, None]) / top - centre[0]) / (centre[1] - centre[0])
    x, y = 2 * band / (bands - 1) - 1, 2 * frame / max(1, pictures.shape[1] - 1) - 1
    grid = torch.stack([x[:, None].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, bands)], -1)
    stretched = functional.grid_sample(pictures[:, None], grid, align_corners=True, padding_mode="border")[:, 0]
    return stretched * (torch.arange(y.shape[1]) < longer[:, None])[..., None], longer


# %%
#| export
#| fold
@checked
def spec_augment(
    pictures: Annotated[Tensor, Shape("n T bands", "float")],  # (n, T, bands)
    share: Share,  # up to this share of frames, and of bands
    draws: Annotated[Tensor, Shape("n 4", "float", finite=True, least=0, most=1)],  # (n, 4) between 0 and 1: width and place of the strip of frames, and of bands
) -> Tensor:  # (n, T, bands)
    "Set a strip of frames and a strip of bands to zero"
    for dim, (width, place) in ((1, draws[:, :2].unbind(1)), (2, draws[:, 2:].unbind(1))):
        size = pictures.shape[dim]
        width = share * size * width
        start = place * (size - width)
        at = torch.arange(size)
        strip = (at >= start[:, None]) & (at < (start + width)[:, None])
        pictures = pictures.masked_fill(strip[:, :, None] if dim == 1 else strip[:, None, :], 0)
    return pictures


# %%
one, length, least = picture[None], torch.tensor([len(picture)]), torch.tensor([2])
same, frames = time_stretch(one, length, torch.ones(1), torch.ones(1), least, rate)
test_eq(frames, length)
test_close(same, one, eps=1e-4)
test_eq(time_stretch(one, length, torch.tensor([0.5]), torch.ones(1), least, rate)[1], 2 * length)
test_eq(time_stretch(one, length, torch.tensor([1e9]), torch.ones(1), length // 2, rate)[1], length // 2)
blotted = spec_augment(torch.ones(500, 10, 10), 0.2, torch.rand(500, 4, generator=torch.Generator().manual_seed(0)))
assert 0.05 < (blotted == 0).float().mean() < 0.36 and (blotted == 0).flatten(1).float().mean(1).max() <= 0.36


# %% [markdown]
# ## A set to learn from
#
# Spectrograms of short sounds are kept in memory once they were made; those of long ones are made anew each time. Behind each stands a little silence, in which a network that hears from left to right may still write.

# %%
#| export
@checked
class Spectrograms(Dataset):
    "Spectrograms of utterances, each with its characters"

    def __init__(
        self,
        utterances: list[Utterance],
        bands: Annotated[int, Within(1, 10**4)],  # mel bands
        tail: Annotated[int, Within(0, 10**5)] = 0,  # frames of silence behind each
        keep: bool = True,  # in memory, once they were made
    ):
        self.utterances, self.bands, self.tail = utterances, bands, tail
        self.kept: dict[int, tuple[Tensor, Tensor]] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        if self.kept is not None and k in self.kept:
            return self.kept[k]
        utterance = self.utterances[k]
        picture = functional.pad(log_mel(*utterance.sound(), self.bands), (0, 0, 0, self.tail))
        item = picture, torch.tensor([ALPHABET.index(c) for c in utterance.text])
        if self.kept is not None:
            self.kept[k] = item
        return item


# %%
#| export
#| fold
@checked
def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    "Spectrograms (n, T, bands) and their lengths (n,), characters of all in a row, and how many each has (n,)"
    pictures, texts = zip(*items, strict=True)
    lengths = torch.tensor([len(p) for p in pictures])
    return nn.utils.rnn.pad_sequence(list(pictures), batch_first=True), lengths, torch.cat(texts), torch.tensor([len(t) for t in texts])


# %%
data = Spectrograms(train, 40, tail=12)
pictures, lengths, characters, counts = collate([data[k] for k in (0, 1, len(data) - 1)])
test_eq(list(pictures.shape), [3, int(lengths.max()), 40])
test_eq("".join(ALPHABET[c] for c in characters[: counts[0]]), train[0].text)
assert (pictures[0, lengths[0] - 12 :] == 0).all() and data[0][0] is data[0][0]


# %% [markdown]
# ## Exercise 1: how much silence?
#
# *5 min, easy.* A batch is padded to its longest utterance. Write the share of it that is padding.

# %%
def padding(lengths):
    "Share of a batch that is padding, from the lengths (n,) of its utterances in frames"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    by_length = sorted(range(len(train)), key=lambda k: train[k].seconds())
    batches = {"as they come": range(0, len(train), max(1, len(train) // 16)), "of about equal length": by_length[:16]}
    draw_bars({name: padding(collate([data[k] for k in batch])[1]) for name, batch in batches.items()}, "share that is padding")


with exercise("what is used is the sum of the lengths; what is paid for is the longest, n times", picture) as expect:
    expect(padding, torch.tensor([2, 4, 4, 2]), gives=0.25)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def padding(lengths):
#     return 1 - (lengths.sum() / (len(lengths) * lengths.max())).item()
# ```
#
# Batches of about equal length keep it small.
#
# </details>

# %% [markdown]
# ## Exercise 2: a band in hertz
#
# *10 min, medium.* Forty bands that are evenly spaced in mel between 0 and 4000 Hz: how wide, from foot to foot, is each triangle in hertz?

# %%
def widths(bands, rate):
    "Widths (bands,) in Hz from foot to foot of bands that are evenly spaced in mel up to half the rate; band k begins at edge k and ends at edge k + 2 of bands + 2 edges"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("`mel_filters` computes the edges in its first line", lambda: draw_lines("band", "width (Hz)", from_your_formula=widths(40, 8000), from_the_filters=(mel_filters(40, 8192, 8000) > 0).sum(0) * 8000 / 8192)) as expect:
    expect(lambda: widths(40, 8000)[[0, 20, 39]], gives=((mel_filters(40, 8192, 8000) > 0).sum(0) * 8000 / 8192)[[0, 20, 39]], within=0.03, name="the widths of bands 0, 20 and 39 of 40")
    expect(lambda: widths(40, 8000).shape, gives=(40,), name="the shape")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def widths(bands, rate):
#     edges = _hertz(torch.linspace(0, _mel(torch.tensor(rate / 2)).item(), bands + 2))
#     return edges[2:] - edges[:-2]
# ```
#
# The highest is many times as wide as the lowest: what the ear tells apart at 200 Hz it takes for one at 3000 Hz.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - Silence that is digital zero has a logarithm of minus infinity, and recordings end in it. What lies 30 dB below the loudest moment counts as silence, whatever it is.
# - The mean of each band is taken over the whole utterance, so the silence in front already carries the word's average spectrum. A network can write a letter before it is spoken ([speech](speech.ipynb) shows where).
# - Speed and pitch are changed on the picture, not on the sound: it is cheaper by far, and blurs it a little.
# - The paper's network reads 128 bands and its code follows a tutorial's; it splits by utterance. Here the speakers of the test are never heard in training, which is harder and is what "recognizing speech" means.
#
# ## Recall and think
#
# <details><summary>Recall: what does the mel scale imitate?</summary>
#
# That the ear tells low frequencies apart finely and high ones coarsely.
#
# </details>
#
# <details><summary>Recall: why is silence cut off at 30 dB below the loudest moment?</summary>
#
# A digital zero has a logarithm of minus infinity.
#
# </details>
#
# <details><summary>Think: what would a network lose if it were given the raw pressure instead?</summary>
#
# Nothing that is there; but it would have to learn, from few speakers, that shifted and tuned waves say the same.
#
# </details>
#
# **References.** Park et al., *SpecAugment* (2019). Panayotov et al., *LibriSpeech* (2015). Jackson et al., *Free Spoken Digit Dataset*. Appendix A.4 of the paper.
