# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Manifolds
#
# > Spaces that neurons live on, and the distances between them

# %%
#| default_exp manifolds

# %%
#| export
import math
import re
from dataclasses import dataclass, replace

import torch


# %%
#| export
class Manifold:
    "A metric space for neurons to live on. A subclass gives `dim`, `coordinates`, `diameter`, `name` and the methods below."
    chart_labels = ("x", "y")  # axis labels of `chart`
    scale_field = None  # the field that `scaled` multiplies

    def sample(self, n, generator=None, dtype=None, device=None):
        raise NotImplementedError(f"{type(self).__name__} must say how to draw points: define sample")

    def _distance(self, x, y):
        raise NotImplementedError(f"{type(self).__name__} must say how far points are: define _distance")

    def project(self, x):
        raise NotImplementedError(f"{type(self).__name__} must say how to put points back: define project")

    def _contains(self, x):
        raise NotImplementedError(f"{type(self).__name__} must say which points lie on it: define _contains")

    def chart(self,
              x: torch.Tensor,  # points, (..., n, coordinates)
              ) -> torch.Tensor:  # flat coordinates, (..., n, 2)
        "Flat coordinates for pictures: the first two, unless the manifold has a better map."
        x = check_points(self, x)
        return x[..., :2] if self.coordinates > 1 else torch.cat([x, torch.zeros_like(x)], -1)


# %%
#| export
def patch(method):
    "Make a function a method of the class that annotates its `self`, so that a long class can be told in pieces."
    setattr(method.__annotations__["self"], method.__name__, method)
    return method


# %%
#| export
def check_points(manifold: Manifold,
                 x: torch.Tensor,  # points, (..., coordinates)
                 name: str = "x",  # what to call them in the message
                 ndim: int = 1,  # least number of dimensions
                 ) -> torch.Tensor:  # the same points
    "Raise if `x` can't be an array of points of `manifold`."
    c = manifold.coordinates
    want = f"give a floating tensor of shape (..., {'n, ' * (ndim - 1)}{c}) for {manifold}"
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}; {want}")
    if not x.is_floating_point():
        raise TypeError(f"{name} has dtype {x.dtype}; {want}")
    if x.ndim < ndim or x.shape[-1] != c:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; {want}")
    return x


# %%
#| export
@patch
def distance(self: Manifold,
             x: torch.Tensor,  # points, (..., n, coordinates)
             y: torch.Tensor = None,  # points, (..., m, coordinates); `x` if not given
             ) -> torch.Tensor:  # geodesic distances, (..., n, m)
    "Geodesic distance of each point of `x` to each point of `y`: zero from a point to itself, symmetric, with finite gradients."
    check_points(self, x, "x", 2)
    if y is None:
        y = x
    check_points(self, y, "y", 2)
    if x.dtype != y.dtype:
        raise TypeError(f"x is {x.dtype} and y is {y.dtype}; give both in one dtype")
    return self._distance(x, y)


# %%
#| export
@patch
def check(self: Manifold,
          x: torch.Tensor,  # points, (..., coordinates)
          ) -> tuple[bool, str]:  # whether all lie on the manifold, and if not, why
    "Say whether `x` are points of the manifold, and if not, why."
    try:
        check_points(self, x)
    except (TypeError, ValueError) as error:
        return False, str(error)
    if not torch.isfinite(x).all():
        return False, "some coordinates are not finite"
    outside = int((~self._contains(x)).sum())
    if outside:
        return False, f"{outside} points of {x[..., 0].numel()} are not on {self}; call project"
    return True, ""


# %%
#| export
@patch
def scaled(self: Manifold,
           factor: float,  # by how much to multiply every length
           ) -> Manifold:  # a larger or smaller copy
    "The same space with every distance multiplied by `factor`."
    if self.scale_field is None:
        raise NotImplementedError(f"{self} has no scale_field: name the field that is its length")
    return replace(self, **{self.scale_field: getattr(self, self.scale_field) * factor})


# %%
#| export
def _at_least_one(name, value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}; give a whole number of 1 or more")

def _positive(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}; give a positive finite number")


# %%
#| export
def _draw(sampler, n, coordinates, generator, dtype, device):
    "Random numbers of shape (n, coordinates), or (*n, coordinates) for a tuple, drawn where the generator lives."
    shape = (*n, coordinates) if isinstance(n, (tuple, list)) else (n, coordinates)
    where = device if generator is None else generator.device
    x = sampler(shape, generator=generator, dtype=dtype, device=where)
    return x if device is None else x.to(device)


# %%
#| export
def wrap(delta: torch.Tensor,  # differences of coordinates
         period: float,  # length after which the coordinate comes back
         ) -> torch.Tensor:  # the shortest signed differences, same shape
    "The shortest way round: `delta` less the nearest multiple of `period`."
    return delta - period * torch.round(delta / period)


# %%
#| export
def _over(a, b): return a / torch.where(b == 0, torch.ones_like(b), b)

def _norm(deltas):
    "Length of a vector whose components come one at a time."
    return sum(delta**2 for delta in deltas).sqrt()


# %%
#| export
class _FlatDistance(torch.autograd.Function):
    "Length of the shortest difference; O(n·m) memory, gradient 0 where the distance is 0."
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y, manifold):
        return _norm(delta for delta, _ in manifold._differences(x, y)).clamp(max=manifold.diameter)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.manifold = inputs
        ctx.save_for_backward(x, y, output)

    @staticmethod
    def backward(ctx, grad):
        x, y, d = ctx.saved_tensors
        gx, gy = [], []
        for delta, sign in ctx.manifold._differences(x, y):
            pull = grad * _over(delta, d)
            gx.append(pull.sum(-1))
            gy.append((sign * pull).sum(-2))
        return torch.stack(gx, -1).sum_to_size(x.shape), torch.stack(gy, -1).sum_to_size(y.shape), None


# %%
#| export
class _Flat(Manifold):
    "What spaces made of flat coordinates share. `period` is `None` for a line that never comes back."
    period = None

    def _differences(self, x, y):
        "For each coordinate the (..., n, m) signed difference, and its derivative with respect to `y`."
        for k in range(self.coordinates):
            delta = x[..., :, None, k] - y[..., None, :, k]
            yield (delta if self.period is None else wrap(delta, self.period)), -1

    def _distance(self, x, y): return _FlatDistance.apply(x, y, self)

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly: (n, coordinates); a tuple (s, n) gives (s, n, coordinates)."
        return self.project(self.period * _draw(torch.rand, n, self.coordinates, generator, dtype, device))

    def project(self, x):
        "Bring each coordinate to [0, period)."
        x = torch.remainder(check_points(self, x), self.period)
        return torch.where(x >= self.period, torch.zeros_like(x), x)

    def _contains(self, x): return ((x >= 0) & (x < self.period)).all(-1)


# %%
#| export
@dataclass(frozen=True)
class Torus(_Flat):
    "The flat torus R^dim / (period·Z)^dim (appendix D)."
    dim: int = 2  # number of coordinates
    period: float = 10.  # length after which each comes back
    scale_field = "period"

    def __post_init__(self):
        _at_least_one("dim", self.dim)
        _positive("period", self.period)

    @property
    def coordinates(self): return self.dim
    @property
    def diameter(self): return self.period / 2 * math.sqrt(self.dim)
    @property
    def name(self): return "torus" if self.dim == 2 else f"torus{self.dim}"


# %%
#| export
@dataclass(frozen=True)
class Circle(_Flat):
    "The circle, with arc length: a flat torus of one dimension (appendix D)."
    radius: float = 5.  # radius; the coordinate is arc length, from 0 to 2·pi·radius
    dim, coordinates, name, scale_field = 1, 1, "circle", "radius"

    def __post_init__(self): _positive("radius", self.radius)
    @property
    def period(self): return 2 * math.pi * self.radius
    @property
    def diameter(self): return math.pi * self.radius

    def chart(self, x):
        "Points of a circle in the plane, (..., n, 2)."
        angle = check_points(self, x) / self.radius
        return self.radius * torch.cat([angle.cos(), angle.sin()], -1)


# %%
#| export
@dataclass(frozen=True)
class KleinBottle(_Flat):
    "The flat Klein bottle: the square with (x, y) ~ (x + period, -y) and (x, y) ~ (x, y + period) (appendix D)."
    period: float = 10.  # side of the square
    dim, coordinates, name, scale_field = 2, 2, "klein", "period"

    def __post_init__(self): _positive("period", self.period)
    @property
    def diameter(self): return self.period / math.sqrt(2)

    def _differences(self, x, y):
        across = wrap(x[..., :, None, 0] - y[..., None, :, 0], 2 * self.period)
        up = wrap(x[..., :, None, 1] - y[..., None, :, 1], self.period)
        flipped_across = torch.where(across < 0, across + self.period, across - self.period)
        flipped_up = wrap(x[..., :, None, 1] + y[..., None, :, 1], self.period)
        flip = flipped_across**2 + flipped_up**2 < across**2 + up**2
        yield torch.where(flip, flipped_across, across), -1
        yield torch.where(flip, flipped_up, up), torch.where(flip, 1, -1)

    def project(self, x):
        "Bring points to the square; each step to the side turns them upside down."
        across, up = check_points(self, x).unbind(-1)
        home = torch.remainder(across, self.period)
        home = torch.where(home >= self.period, torch.zeros_like(home), home)
        odd = torch.remainder(torch.round((across - home) / self.period), 2) == 1
        up = torch.remainder(torch.where(odd, -up, up), self.period)
        return torch.stack([home, torch.where(up >= self.period, torch.zeros_like(up), up)], -1)


# %%
#| export
@dataclass(frozen=True)
class Euclidean(_Flat):
    "Euclidean space R^dim; points are drawn from the cube [0, side]^dim. For trained embeddings."
    dim: int = 3  # number of coordinates
    side: float = 10.  # side of the cube that points are drawn from
    diameter, scale_field = math.inf, "side"

    def __post_init__(self):
        _at_least_one("dim", self.dim)
        _positive("side", self.side)

    @property
    def coordinates(self): return self.dim
    @property
    def name(self): return f"r{self.dim}"

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly from the cube, (n, dim); a tuple (s, n) gives (s, n, dim)."
        return self.side * _draw(torch.rand, n, self.dim, generator, dtype, device)

    def project(self, x):
        "Every point is already there."
        return check_points(self, x)

    def _contains(self, x): return torch.ones_like(x[..., 0], dtype=torch.bool)


# %%
#| export
class _SphereDistance(torch.autograd.Function):
    "Angle between unit vectors, 2·atan2(|u - v|, |u + v|); O(n·m) memory, gradient 0 at 0 and at antipodes."
    generate_vmap_rule = True

    @staticmethod
    def forward(u, v): return 2 * torch.atan2(*_chords(u, v))

    @staticmethod
    def setup_context(ctx, inputs, output): ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        u, v = ctx.saved_tensors
        near, far = _chords(u, v)
        grad, gu, gv = 2 * grad / (near**2 + far**2), [], []
        for k in range(u.shape[-1]):
            a, b = u[..., :, None, k], v[..., None, :, k]
            apart, along = grad * far * _over(a - b, near), grad * near * _over(a + b, far)
            gu.append((apart - along).sum(-1))
            gv.append((-apart - along).sum(-2))
        return torch.stack(gu, -1).sum_to_size(u.shape), torch.stack(gv, -1).sum_to_size(v.shape)

def _chords(u, v):
    "Lengths |u - v| and |u + v| of all pairs, one coordinate at a time."
    pairs = [(u[..., :, None, k], v[..., None, :, k]) for k in range(u.shape[-1])]
    return _norm(a - b for a, b in pairs), _norm(a + b for a, b in pairs)


# %%
#| export
@dataclass(frozen=True)
class Sphere(Manifold):
    "The round sphere in R^(dim + 1), with great-circle distance (appendix D)."
    dim: int = 2  # 2 is the surface of a ball
    radius: float = 5.  # distance of each point to the origin
    scale_field = "radius"

    def __post_init__(self):
        _at_least_one("dim", self.dim)
        _positive("radius", self.radius)

    @property
    def coordinates(self): return self.dim + 1
    @property
    def diameter(self): return math.pi * self.radius
    @property
    def name(self): return "sphere" if self.dim == 2 else f"s{self.dim}"
    @property
    def chart_labels(self): return ("equal-area x", "equal-area y") if self.dim == 2 else ("x", "y")

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly, (n, dim + 1): Gaussian directions have no preferred one."
        return self.project(_draw(torch.randn, n, self.coordinates, generator, dtype, device))

    def _distance(self, x, y):
        d = (self.radius * _SphereDistance.apply(_unit(x), _unit(y))).clamp(max=self.diameter)
        return torch.maximum(d, d.mT) if y is x else d  # a library's atan2 may round (i, j) and (j, i) differently

    def _contains(self, x):
        norm = torch.linalg.vector_norm(x, dim=-1)
        return (norm - self.radius).abs() <= 16 * torch.finfo(x.dtype).eps * self.radius


# %%
#| export
def _unit(x):
    "Points divided by their length; the origin, which has no direction, goes to the first axis."
    size = x.detach().abs().amax(-1, keepdim=True)
    x = _over(x, size)
    pole = torch.eye(1, x.shape[-1], dtype=x.dtype, device=x.device)[0]
    return torch.where(size == 0, pole, _over(x, _norm(x.unbind(-1))[..., None]))


# %%
#| export
@patch
def project(self: Sphere, x):
    "Move each point along its ray to the sphere; points that are on it stay, and the origin goes to the first axis."
    check_points(self, x)
    return torch.where(self._contains(x)[..., None], x, self.radius * _unit(x))


# %%
#| export
@patch
def chart(self: Sphere, x):
    "Hammer's equal-area map for the surface of a ball, (..., n, 2); else the first two coordinates."
    if self.dim != 2:
        return Manifold.chart(self, x)
    x, y, z = _unit(check_points(self, x)).unbind(-1)
    level = (1 - z**2).clamp(min=0).sqrt()
    half = torch.atan2(y, x) / 2
    scale = self.radius * math.sqrt(2) / (1 + level * half.cos()).sqrt()
    return torch.stack([2 * scale * level * half.sin(), scale * z], -1)


# %%
#| export
MANIFOLDS = {m.name: m for m in (Circle(), Sphere(), Torus(), KleinBottle(), Torus(6), Euclidean(3), Euclidean(9), Sphere(3))}

def manifold(name: str | Manifold,  # a name such as "torus", "torus6", "r3", "s3"; or a manifold, which is passed through
             ) -> Manifold:  # the manifold
    "Look a manifold up by name."
    if isinstance(name, Manifold):
        return name
    if not isinstance(name, str):
        raise TypeError(f"manifold is a {type(name).__name__}; give a name or a Manifold")
    family = re.fullmatch(r"(torus|r|s)([1-9]\d{0,3})", name)
    if family:
        return {"torus": Torus, "r": Euclidean, "s": Sphere}[family[1]](int(family[2]))
    if name in MANIFOLDS:
        return MANIFOLDS[name]
    raise ValueError(f"unknown manifold {name!r}; choose one of {', '.join(MANIFOLDS)}, or torusN, rN, sN with a whole number N")
