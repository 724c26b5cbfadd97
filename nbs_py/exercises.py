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
# Each chapter opens with a question and a picture. Then comes a line like this one:
#
# *Predict:* how many of this book's chapters can you follow without knowing any topology?
#
# Stop there, and say your answer aloud or write it down. A prediction that turns out wrong is worth more than a fact that one has read. (The answer: all of them, if you read them in order.)
#
# After that, code: first as the formula reads, then as the package has it, with a test beside it. What you see **is** the package: the cells of a chapter are exported, as they stand, to the module of the same name.

# %%
#| default_exp book.exercises

# %%
#| export
from collections.abc import Iterator
from contextlib import contextmanager

# %%
#| hide
import io
from contextlib import redirect_stdout

from fastcore.test import test_eq


# %% [markdown]
# ## Exercises
#
# An exercise has four parts: a task, a stub to fill in, a solution that is folded away, and a check.
# The check says whether the answer is right. If it is not, you get a hint, and the rest of the chapter runs all the same.

# %%
#| export
@contextmanager
def exercise(
    hint: str,  # what to think of, for who got it wrong
) -> Iterator[None]:
    "Check an answer: say whether it is right, and give the hint if it is not"
    try:
        yield
    except NotImplementedError as stub:
        print(f"Not solved yet: {stub}")
    except Exception as error:
        print(f"Not right yet: {type(error).__name__}: {str(error).strip()[:200]}\nHint: {hint}")
    else:
        print("Solved.")


# %% [markdown]
# What it says in each case:

# %%
def said(answer) -> str:
    "What the check of a sum says of an answer"
    with redirect_stdout(io.StringIO()) as out, exercise("both count"):
        test_eq(answer(2, 3), 5)
    return out.getvalue()


def unsolved(a, b):
    raise NotImplementedError("the sum of two numbers")


test_eq(said(unsolved), "Not solved yet: the sum of two numbers\n")
test_eq(said(lambda a, b: a + b), "Solved.\n")
assert said(lambda a, b: a).endswith("Hint: both count\n")


# %% [markdown]
# ## Exercise 1: a first one
#
# How many numbers must be stored for the distances between $N$ neurons, if each pair is stored once and no neuron is paired with itself?

# %%
def pairs(n):
    raise NotImplementedError("the number of pairs of n neurons")


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

# %%
with exercise("three neurons make a triangle: how many sides has it?"):
    test_eq([pairs(n) for n in (1, 2, 3, 4)], [0, 1, 3, 6])


# %% [markdown]
# ## Exercise 2: λ
#
# The penalty in this book is a mean over $N^2$ weights, times a strength λ. A loss changes by how much if each of $N^2$ weights has magnitude 1 and price 1?

# %%
def penalty(n, strength):
    raise NotImplementedError("strength times the mean of n² prices times magnitudes, all of them 1")


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

# %%
with exercise("a mean does not grow with the number of things"):
    test_eq([penalty(n, 0.1) for n in (10, 1000)], [0.1, 0.1])

# %% [markdown]
# ## Parts of the book
#
# *Geometry* says where neurons live and which connections are dear. *Method* turns that into a penalty, cuts weights, and trains. *Experiments* are chapters that are also programs:
# `papermill nbs/navigation.ipynb out.ipynb -p manifold sphere` runs one with a setting of yours. *Looking inside* takes trained networks apart, and *The paper* sets all of it beside what was published.
# *Machinery* is for who wants to know what makes it fast and robust; nothing before it needs it.
#
# To be read in this order, a chapter takes for granted what those before it have told. After [manifolds](manifolds.ipynb), [inhibitors](inhibitors.ipynb), [regularizer](regularizer.ipynb) and
# [pruning](pruning.ipynb) you have what it takes to make [a regularizer of your own](own.ipynb), with no other topology than theirs.
#
# **References.** Neuromatch Academy, whose exercises are checked by its own tests. Prince, *Understanding deep learning* (2023), for "predict, then check".
