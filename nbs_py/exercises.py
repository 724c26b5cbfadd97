# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How to read this book
#
# > Questions, predictions, figures that move, and exercises that check themselves

# %% [markdown]
# *Reading 10 min, exercises 6 min. To skip at a first reading:* *What a check says*, *A check*.
#
# Each chapter opens with how long it takes and what a first reading may skip, then with a question and a picture. Soon comes a line like this one:
#
# *Predict:* how many of this book's chapters can you follow without knowing any topology?
#
# Stop there, and say your answer aloud or write it down. A prediction that turns out wrong is worth more than a fact that one has read. (The answer: all of them, if you read them in order.)
#
# After that, code: first as the formula reads, then as the package has it, with a test beside it. What you see **is** the package: the cells of a chapter are exported, as they stand, to the module of the same name.
#
# Figures with a frame are small programs. They answer to the mouse, to a finger and to the arrow keys, and each has a button that resets it. Words underlined with dashes set the figure beside them when you click them.
#
# ## How to do an exercise
#
# 1. Open the chapter in JupyterLab: `make lab` in a copy of the project opens the book there. (On this book's site the exercises can be read, and nothing on a page can be edited; *Download* at its top gives you the notebook.)
# 2. Run the chapter down to the exercise: *Run → Run All Above Selected Cell*.
# 3. The cell below the task is yours. It ends in `raise NotImplementedError`; replace that line by your answer, and run the cell.
# 4. Run the next cell, which checks the answer. It says in words what is wrong, if something is; under these words a hint is folded away, and under the hint what should come out.
#    An answer that is right up to rounding is right, and draws a picture.
# 5. The solution is folded away below the check. Look at it also when you have solved the exercise: there may be a shorter way.
#
# Each exercise says how many minutes it takes who has read the chapter, and whether it is *easy* (one line, once you see it), *medium* (a few lines) or *hard* (an idea and a few lines). A `git checkout nbs/` brings back the chapters as they were.

# %%
#| default_exp book.exercises

# %%
#| export
import html
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from modreg.geometry.arguments import NotNegative, checked

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_eq

plt.style.use("modreg.data.book")


# %% [markdown]
# ## What a check says
#
# An answer is compared with what should come out, whatever kind of thing it is: a number, a tensor, a list or dict of such. The difference is told in words, and nothing is said of differences that rounding makes.

# %%
#| export
#| fold Numbers
def _number(x: Any) -> bool:
    "Whether this is one real number, also as a tensor or an array without dimensions"
    return not isinstance(x, bool | str) and getattr(x, "ndim", 0) == 0 and hasattr(x, "__float__")


def _of_numbers(got: Any, want: Any, within: float) -> str:
    "How one number differs from another; nothing if it does not"
    if not _number(got):
        return f"gives {_short(got)}, and not a number"
    got, want = float(got), float(want)
    if got == want or abs(got - want) <= within * max(1.0, abs(want)):
        return ""
    return f"gives {got:.6g}" + ("" if math.isnan(got) else ", which is too large" if got > want else ", which is too small")


# %%
#| export
#| fold Tensors
def _of_tensors(got: Any, want: Tensor, within: float) -> str:
    "How one tensor differs from another; nothing if it does not"
    if not isinstance(got, Tensor):
        return f"gives {_short(got)}, and not a tensor"
    if got.shape != want.shape:
        return f"gives a tensor of shape {tuple(got.shape)}, where {tuple(want.shape)} is wanted"
    if got.is_floating_point() != want.is_floating_point() or (got.dtype == torch.bool) != (want.dtype == torch.bool):
        return f"gives {got.dtype}, where {want.dtype} is wanted"
    off = (got.detach().double() - want.detach().double()).abs()
    wrong = ~(off <= within * want.detach().double().abs().clamp(min=1)) & (got != want)
    if not wrong.any():
        return ""
    where = wrong.nonzero()[0].tolist()
    return f"is wrong at {int(wrong.sum())} of {wrong.numel()} places; the first is {where}, where it gives {got[tuple(where)].item():.6g}"


# %%
#| export
@checked
def difference(
    got: Any,  # an answer
    want: Any,  # what it should be: a number, a tensor, text, or a list, tuple, dict or set of such
    within: NotNegative = 1e-4,  # how far numbers may be off, relative to those above 1
) -> str:  # empty if there is none
    "How an answer differs from what it should be, in words that do not give it away"
    if isinstance(want, Tensor) and want.ndim:
        return _of_tensors(got, want, within)
    if _number(want):
        return _of_numbers(got, want, within)
    if isinstance(want, Mapping):
        if not isinstance(got, Mapping) or set(got) != set(want):
            return f"gives {'the keys ' + _short(list(got)) if isinstance(got, Mapping) else _short(got)}, where {len(want)} other keys are wanted"
        return next((f"at {key!r} {words}" for key in want if (words := difference(got[key], want[key], within))), "")
    if isinstance(want, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            return f"gives {_short(got)}, where a {type(want).__name__} of {len(want)} is wanted"
        return next((f"at {k} {words}" for k, (a, b) in enumerate(zip(got, want, strict=True)) if (words := difference(a, b, within))), "")
    return "" if type(got) is type(want) and got == want else f"gives {_short(got)}"


def _short(x: Any) -> str:
    "A value in at most a line, its numbers to six digits"
    if isinstance(x, Tensor) and x.numel() > 12:
        return f"a tensor of shape {tuple(x.shape)}"
    text = " ".join(str(x.tolist() if isinstance(x, Tensor) else getattr(x, "__name__", repr(x))).split())
    text = re.sub(r"\d+\.\d{6,}(e[-+]\d+)?", lambda number: f"{float(number.group()):.6g}", text)
    return text if len(text) < 120 else f"{text[:117]}…"


# %%
test_eq(difference(6.0000002, 6), "")
test_eq(difference(5, 6), "gives 5, which is too small")
test_eq(difference(torch.zeros(2, 3), torch.zeros(3, 2)), "gives a tensor of shape (2, 3), where (3, 2) is wanted")
test_eq(difference(torch.tensor([1.0, 2]), torch.tensor([1.0, 3])), "is wrong at 1 of 2 places; the first is [1], where it gives 2")
test_eq(difference({"a": [1, 2]}, {"a": [1, 2 + 1e-9]}), "")
test_eq(difference([1, 2], [1, 3]), "at 1 gives 2, which is too small")


# %% [markdown]
# ## A check
#
# A check calls the answer with some arguments and notes what is wrong; `that` and `refuses` look at whatever else should hold.

# %%
#| export
@checked(shallow=True)
class Check:
    "What is found out about one answer"

    def __init__(self):
        self.wrong: list[str] = []  # what is wrong, in words
        self.expected: list[str] = []  # what should come out
        self.unsolved = False

    def __call__(self, answer: Callable, *arguments: Any, gives: Any, within: NotNegative = 1e-4, name: str = "") -> None:
        "Compare what an answer makes of arguments with what it should give, up to rounding"
        call = name or f"{getattr(answer, '__name__', 'your answer')}({', '.join(map(_short, arguments))})"
        self.expected.append(f"{call} should give {_short(gives)}")
        try:
            words = difference(answer(*arguments), gives, within)
        except NotImplementedError:
            self.unsolved = True
        except Exception as error:
            self.wrong.append(f"{call} stops with {type(error).__name__}: {_short(str(error))}")
        else:
            self.wrong += [f"{call} {words}"] if words else []

    def that(self, holds: Any, otherwise: str) -> None:
        "Note what is wrong unless a condition holds"
        self.wrong += [] if holds else [otherwise]

    def refuses(self, answer: Callable, *arguments: Any, saying: str) -> None:
        "See whether a call is refused with a message that has these words"
        call = f"{getattr(answer, '__name__', 'your answer')}({', '.join(map(_short, arguments))})"
        self.expected.append(f"{call} should be refused, saying “{saying}”")
        try:
            answer(*arguments)
            self.wrong.append(f"{call} is not refused")
        except NotImplementedError:
            self.unsolved = True
        except (TypeError, ValueError) as error:
            self.that(saying in str(error), f"{call} is refused, but its message is: {_short(str(error))}")


# %% [markdown]
# What it has found is shown as a line of text, or in a notebook with two things folded away: first the hint, then what should come out.

# %%
#| export
@checked
class Verdict:
    "What the reader is told of an answer"
    UNSOLVED = "Not solved yet: replace `raise NotImplementedError` in the cell above by your answer, run that cell, then this one."

    def __init__(self, check: Check, hint: str):
        self.hint, self.expected = hint, check.expected
        self.right = not check.unsolved and not check.wrong
        self.text = self.UNSOLVED if check.unsolved else f"Not right yet: {check.wrong[0]}." if check.wrong else "Solved."

    def __repr__(self) -> str:
        return self.text if self.right else f"{self.text}\nHint: {self.hint}"

    def _repr_html_(self) -> str:
        def written(text: str) -> str:
            return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))

        said = f"<p><strong>{written(self.text)}</strong></p>"
        if self.right:
            return said
        lines = "".join(f"<li>{written(line)}</li>" for line in self.expected)
        steps = {"A hint": written(self.hint)} | ({"What should come out": f"<ul>{lines}</ul>"} if lines else {})
        return said + "".join(f"<details><summary>{step}</summary>{text}</details>" for step, text in steps.items())

    def show(self) -> None:
        "In a notebook with its folds, else as text"
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            get_ipython = lambda: None  # noqa: E731
        print(self) if get_ipython() is None else display(self)


# %% [markdown]
# An exercise is one `with` block. Whatever goes wrong in it is told, and the rest of the chapter runs all the same; only where all is right, the picture is drawn.

# %%
#| export
@checked(shallow=True)
@contextmanager
def exercise(
    hint: str,  # what to think of, for who got it wrong
    picture: Callable[[], Any] | None = None,  # draws what a right answer shows
) -> Iterator[Check]:
    "Check an answer: say in words whether it is right, give a hint if it is not, and draw a picture if it is"
    check = Check()
    try:
        yield check
    except NotImplementedError:
        check.unsolved = True
    except Exception as error:
        check.wrong.append(f"the check stops with {type(error).__name__}: {_short(str(error))}")
    (verdict := Verdict(check, hint)).show()
    if verdict.right and picture:
        picture()


# %% [markdown]
# What it says in each case:

# %%
def said(answer) -> str:
    "What the check of a sum says of an answer"
    check = Check()
    check(answer, 2, 3, gives=5)
    return repr(Verdict(check, "both count"))


def unsolved(a, b):
    raise NotImplementedError


def total(a, b):
    return a + b


def first(a, b):
    return a


test_eq(said(unsolved), f"{Verdict.UNSOLVED}\nHint: both count")
test_eq(said(total), "Solved.")
test_eq(said(first), "Not right yet: first(2, 3) gives 2, which is too small.\nHint: both count")

# %% [markdown]
# Pictures of answers are often one of four: a curve, lines, bars, or a matrix.

# %%
#| export
#| fold Curves


@checked(shallow=True)
def draw_curve(
    answer: Callable,  # from a number to a number
    x: Iterable[float],  # where it is asked
    xlabel: str,
    ylabel: str,
    **beside: Any,  # further values at the same places, by label
) -> None:
    "A curve of an answer, and dots of what it is compared with"
    import matplotlib.pyplot as plt

    places = list(x)
    _, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
    ax.plot(places, [float(answer(one)) for one in places], label="your answer")
    for label, values in beside.items():
        ax.plot(places, [float(value) for value in values], "o", markersize=4, label=label.replace("_", " "))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if beside:
        ax.legend(frameon=False)
    plt.show()


# %%
#| export
#| fold Lines
@checked
def draw_lines(
    xlabel: str,
    ylabel: str,
    **lines: Any,  # by label: heights, or a pair of places and heights
) -> None:
    "Lines that are compared"
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
    for label, line in lines.items():
        ax.plot(*(line if isinstance(line, tuple) else (line,)), label=label.replace("_", " "))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(frameon=False)
    plt.show()


# %%
#| export
#| fold Bars
@checked
def draw_bars(
    values: Mapping[str, float | bool | Tensor],  # heights by name
    ylabel: str,
) -> None:
    "Bars with names"
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(5, 0.6 + 0.32 * len(values)), layout="constrained")
    ax.barh(list(values), [float(value) for value in values.values()])
    ax.invert_yaxis()
    ax.set(xlabel=ylabel)
    plt.show()


# %%
#| export
#| fold Matrices
@checked
def draw_matrices(
    **matrices: Tensor,  # each (rows, columns), by title
) -> None:
    "Matrices side by side"
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, len(matrices), figsize=(1 + 2.6 * len(matrices), 2.8), layout="constrained", squeeze=False)
    for ax, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        ax.imshow(torch.as_tensor(matrix).detach().float().numpy(), aspect="auto")
        ax.set(title=title.replace("_", " "))
    plt.show()


# %% [markdown]
# ## Exercise 1: a first one
#
# *3 min, easy.* How many numbers must be stored for the distances between $N$ neurons, if each pair is stored once and no neuron is paired with itself?

# %%
def pairs(n):
    "Number of pairs of n neurons"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("three neurons make a triangle: how many sides has it?", lambda: draw_curve(pairs, range(1, 21), "neurons", "pairs")) as expect:
    for n, sides in ((1, 0), (2, 1), (3, 3), (4, 6)):
        expect(pairs, n, gives=sides)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def pairs(n):
#     return n * (n - 1) // 2
# ```
#
# Each of $N$ neurons has $N - 1$ partners, and that counts every pair from both its ends.
#
# </details>

# %% [markdown]
# ## Exercise 2: λ
#
# *3 min, easy.* The penalty in this book is a mean over the $N^2$ weights between $N$ neurons, times a strength λ. Each weight's magnitude is first multiplied by its *price*, a number that says how much the weight is unwanted.
# By how much does the loss change if each of the $N^2$ weights has magnitude 1 and price 1?

# %%
def penalty(n, strength):
    "What is added to the loss of a network of n neurons whose weights all have magnitude 1 and price 1"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("a mean does not grow with the number of things", lambda: draw_curve(lambda n: penalty(n, 0.1), range(10, 200, 10), "neurons", "penalty")) as expect:
    for n in (10, 1000):
        expect(penalty, n, 0.1, gives=0.1)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def penalty(n, strength):
#     return strength
# ```
#
# The mean of ones is one, whatever their number. Why that makes λ mean something else at each width is told in the chapter on the regularizer.
#
# </details>

# %% [markdown]
# ## At a chapter's end
#
# A few questions without code. *Recall* asks for what the chapter said; *Think* asks for what it did not say, and its answer is one among several. Each part of the book ends with one open task, *Further research*, to which nobody knows the answer yet.
#
# ## Parts of the book
#
# *Geometry* says where neurons live and which connections cost much. *Method* turns that into a penalty, cuts weights, and trains. *Experiments* are chapters that are also programs:
# `papermill nbs/navigation.ipynb out.ipynb -p manifold sphere` runs one with a setting of yours. *Looking inside* takes trained networks apart, and *The paper* sets all of it beside what was published.
# *Machinery* is for who wants to know what makes it fast and robust; nothing before it needs it.
#
# To be read in this order, a chapter takes for granted what those before it have told. [The idea](idea.ipynb) shows all of the method on one small network. After [manifolds](manifolds.ipynb), [inhibitors](inhibitors.ipynb), [regularizer](regularizer.ipynb) and
# [pruning](pruning.ipynb) you have what it takes to make [a regularizer of your own](own.ipynb), with no other topology than theirs.
#
# ## Recall and think
#
# <details><summary>Recall: what does the dashed underline of a word mean?</summary>
#
# Clicking it sets the figure beside it.
#
# </details>
#
# <details><summary>Recall: where does one find a hint, and where what should come out?</summary>
#
# Folded away under what the check says, one after the other.
#
# </details>
#
# <details><summary>Think: why should a check not simply print the right answer?</summary>
#
# Then one reads it. Words about what is wrong leave the thinking to the reader.
#
# </details>
#
# **References.** Neuromatch Academy, whose exercises are checked by its own tests. Prince, *Understanding deep learning* (2023), for "predict, then check".
