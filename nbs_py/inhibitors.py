# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Inhibitors
#
# > Functions of distance that say which connections are cheap

# %%
#| default_exp inhibitors

# %%
#| export
import math
from dataclasses import dataclass
from typing import ClassVar

import torch


# %%
#| export
class Inhibitor:
    "A function of distance: the price of a connection of that length. Never negative, differentiable."
    name: ClassVar[str]  # as in `inhibitor(name)`
    formula: ClassVar[str]  # in LaTeX, for pictures

    def _value(self, d):
        raise NotImplementedError(f"{type(self).__name__} must say what a distance costs: define _value")

    def __call__(self,
                 d: torch.Tensor,  # distances, any shape
                 ) -> torch.Tensor:  # coefficients, same shape
        "Coefficient of a weight whose neurons are `d` apart."
        if not isinstance(d, torch.Tensor) or not d.is_floating_point():
            raise TypeError(f"d is a {getattr(d, 'dtype', type(d).__name__)}; give a floating tensor of distances")
        return self._value(d).clamp(min=0)

    @property
    def trainable(self) -> tuple[bool, str]:  # whether, and why
        "Whether an embedding can be trained under it: only if its least value is not at distance 0."
        f = self(torch.linspace(0, 50, 5001, dtype=torch.float64))
        if f.min() == f.max():
            return False, f"{self} is constant, so it gives an embedding no gradient"
        least = f <= f.min() + 1e-5 * (f.max() - f.min())
        if not least[0]:
            return True, f"{self} is least at a distance of about {int(least.nonzero()[0]) / 100:.2f}, so neurons keep apart"
        how = "never falls with distance" if (f.diff() >= 0).all() else "is least at distance 0"
        return False, f"{self} {how}, so all neurons at one point are cheapest and the embedding collapses"


# %%
#| export
def _check_positive(**values):
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise ValueError(f"{name} is {value!r}; give a positive finite number")


# %%
#| export
@dataclass(frozen=True)
class DifferenceOfGaussians(Inhibitor):
    "max g - g with g(d) = a·(exp(-d²/b) - exp(-c·d²)): near and far are dear, a ring between is free (eq. 8)."
    a: float = 100.  # height
    b: float = 5.  # squared width of the wide Gaussian
    c: float = 4.  # inverse squared width of the narrow one
    name = "difference_of_gaussians"
    formula = r"\max g - g,\quad g(d) = a\,(e^{-d^2/b} - e^{-c d^2})"

    def __post_init__(self):
        _check_positive(a=self.a, b=self.b, c=self.c)
        if self.b * self.c <= 1:
            raise ValueError(f"b·c is {self.b * self.c}; the first Gaussian must be the wider: give b·c > 1")

    @property
    def free_distance(self): return math.sqrt(math.log(self.b * self.c) / (self.c - 1 / self.b))
    @property
    def maximum(self):
        t = self.free_distance ** 2
        return self.a * (math.exp(-t / self.b) - math.exp(-self.c * t))

    def _value(self, d): return self.maximum - self.a * (torch.exp(-d**2 / self.b) - torch.exp(-self.c * d**2))


# %%
#| export
@dataclass(frozen=True)
class Ricker(Inhibitor):
    "max ψ - ψ with the Ricker wavelet ψ: near is free, a ring is dearest, far is between (eq. 7)."
    s: float = 1.  # width
    name = "ricker"
    formula = r"\max\psi - \psi,\quad \psi(d) = \frac{2}{\sqrt{3s}\,\pi^{1/4}}(1 - \frac{d^2}{s^2})\,e^{-d^2/2s^2}"

    def __post_init__(self): _check_positive(s=self.s)
    @property
    def maximum(self): return 2 / (math.sqrt(3 * self.s) * math.pi ** .25)
    def _value(self, d):
        t = (d / self.s) ** 2
        return self.maximum * (1 - (1 - t) * torch.exp(-t / 2))


# %%
#| export
@dataclass(frozen=True)
class Diffusion(Inhibitor):
    "d²: the further, the dearer (appendix E)."
    name = "diffusion"
    formula = r"d^2"

    def _value(self, d): return d**2

@dataclass(frozen=True)
class Sinusoid(Inhibitor):
    "50 + 50·cos 2d: rings of cheap and dear (appendix E)."
    name = "sinusoid"
    formula = r"50 + 50\cos 2d"

    def _value(self, d): return 50 + 50 * torch.cos(2 * d)


# %%
#| export
@dataclass(frozen=True)
class Gaussian(Inhibitor):
    "height·(1 - exp(-d²/2·scale²)): near is free, far costs `height` and no more."
    height: float = 100.  # price of far pairs
    scale: float = 1.  # distance at which the price is 39 % of it
    name = "gaussian"
    formula = r"h\,(1 - e^{-d^2/2s^2})"

    def __post_init__(self): _check_positive(height=self.height, scale=self.scale)
    def _value(self, d): return -self.height * torch.expm1(-(d / self.scale) ** 2 / 2)

@dataclass(frozen=True)
class Constant(Inhibitor):
    "The same for all: moduli regularization is then plain L1."
    value: float = 1.  # price of every connection
    name = "constant"
    formula = r"\mathrm{const}"

    def __post_init__(self): _check_positive(value=self.value)
    def _value(self, d): return self.value + 0 * d  # keeps the way to `d` open for autograd, with gradient 0


# %%
#| export
INHIBITORS = {f.name: f for f in (DifferenceOfGaussians(), Ricker(), Diffusion(), Sinusoid(), Gaussian(), Constant())}

def inhibitor(name: str | Inhibitor,  # a name such as "diffusion"; or an inhibitor, which is passed through
              ) -> Inhibitor:  # the inhibitor
    "Look an inhibitor up by name."
    if isinstance(name, Inhibitor):
        return name
    if not isinstance(name, str):
        raise TypeError(f"inhibitor is a {type(name).__name__}; give a name or an Inhibitor")
    if name in INHIBITORS:
        return INHIBITORS[name]
    raise ValueError(f"unknown inhibitor {name!r}; choose one of {', '.join(INHIBITORS)}")
