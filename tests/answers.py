"""Answers to exercises that are nearly right, or wrong; the test of a chapter runs this within the chapter's kernel.

Whatever an answer gives is changed on its way out: by as much as rounding might, or so that it is wrong. Where what it gives is no number and nothing made of
numbers, `WRONG` has a wrong answer by hand.
"""

import functools
import inspect
import json
import numbers

import torch

NOISE = torch.Generator().manual_seed(0)


def nearly(x):
    """The same up to rounding."""
    if isinstance(x, torch.Tensor) and x.is_floating_point():
        return x * (1 + 3 * torch.finfo(x.dtype).eps * torch.randn(x.shape, generator=NOISE, dtype=torch.float64).to(x))
    if isinstance(x, float):
        return x * (1 + 3e-7)
    if isinstance(x, dict):
        return {key: nearly(value) for key, value in x.items()}
    return type(x)(map(nearly, x)) if type(x) in (list, tuple) else x


def wrong(x):
    """Something else of the same kind."""
    if isinstance(x, bool):
        return not x
    if isinstance(x, torch.Tensor) and x.dtype == torch.bool:
        return ~x
    if isinstance(x, torch.Tensor) or isinstance(x, numbers.Number) or hasattr(x, "__array__"):
        return x * 2 + 1
    if isinstance(x, str):
        return f"{x} and more"
    if isinstance(x, dict):
        return {key: wrong(value) for key, value in x.items()}
    if isinstance(x, list) and not x:
        return ["something"]
    return type(x)(map(wrong, x)) if type(x) in (list, tuple) else None


def changed(function, how):
    """The function with another result."""

    @functools.wraps(function)
    def answer(*args, **kwargs):
        return how(function(*args, **kwargs))

    return answer


WRONG = {
    ("files", 0): "def copied(source, target, look):\n    target.write_bytes(source.read_bytes())\n    look()",
    ("recurrent", 0): "def independent(layer):\n    return layer",
    ("rivals", 1): "class Far(Rewiring):\n    name = 'far'\n\n    def scores(self):\n        return {name: -price for name, price in priced(self).items()}",
    ("trainer", 0): "class KeepLosses(Callback):\n    def __init__(self):\n        self.losses = []\n\n    def after_epoch(self, trainer):\n        self.losses.append(0.0)",
    ("training", 1): "def the_kth(config, k):\n    return replace(config, seeds=1)",
    ("weights", 1): "class Table(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.table = nn.Parameter(torch.zeros(5, 2))",
}


def try_answers(chapter, place, names, check, scope):
    """What a check says of answers that are nearly right and wrong, as JSON; `names` are those that the stub defines, `Class.method` or `function`."""
    exercise = scope["exercise"]
    verdict = inspect.unwrap(exercise).__globals__["Verdict"]  # the chapter on exercises defines one of its own
    said, show, kept = {}, verdict.show, {name: scope[name.split(".")[0]] for name in names}
    scope["exercise"] = lambda hint, picture: exercise(hint, lambda: None)
    try:
        for how in (nearly, wrong):
            verdicts = []
            verdict.show = lambda self, verdicts=verdicts: verdicts.append(self)
            undo = []
            if how is wrong and (chapter, place) in WRONG:
                exec(WRONG[chapter, place], scope)  # noqa: S102
            else:
                for name in names:
                    owner, _, method = name.partition(".")
                    if how is nearly and method == "project":  # a point is on a space or it is not
                        continue
                    if not method:
                        scope[owner] = changed(kept[name], how)
                        continue
                    old = vars(kept[name])[method]
                    undo.append((kept[name], method, old))
                    setattr(kept[name], method, property(changed(old.fget, how)) if isinstance(old, property) else changed(old, how))
            try:
                exec(check, scope)  # noqa: S102
            finally:
                for owner, method, old in undo:
                    setattr(owner, method, old)
                scope.update({name.split(".")[0]: value for name, value in kept.items()})
            said[how.__name__] = verdicts[-1].text
    finally:
        scope["exercise"], verdict.show = exercise, show
    print("ANSWERS", json.dumps(said))
