# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Explore
#
# > Ten figures that are small programs: they run in JupyterLab and on a page without a kernel

# %% [markdown]
# *Reading 20 min, exercises 10 min. To skip at a first reading:* *One source for two places*.
#
# After this chapter you can
#
# - tell by eye which connections an inhibitor spares, on any of the manifolds,
# - say what becomes of a disc that crosses an edge of the Klein bottle, and why that is no tear in the network,
# - predict whether an embedding collapses, how a network fails as it is pruned, and how long it finds its way in the dark.
#
# The question: *can you feel a geometry with your fingers?*
#
# Each figure asks something. Decide on an answer first; then move it. All of them answer to the mouse, to a finger, and to the arrow keys. Here is one of the ten:

# %%
#| default_exp book.explore

# %%
#| export
import base64
import html
import io
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor

from modreg.geometry.arguments import Shape, checked
from modreg.lab.experiments import load_results
from modreg.geometry.inhibitors import inhibitor
from modreg.geometry.manifolds import KleinBottle, Manifold, Sphere, Torus, plot_from_point
from modreg.sparsity.penalties import display_name
from modreg.tasks.navigation import NavigationConfig, PathIntegrator, PlaceCells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_eq

from modreg.book.exercises import draw_curve, exercise

plt.style.use("modreg.data.book")

# %%
#| echo: false
from modreg.book.explore import glued_square as finished_glued_square

finished_glued_square()


# %% [markdown]
# ## One source for two places
#
# A figure's program is a file of JavaScript that exports `render`. In JupyterLab, [anywidget](https://anywidget.dev) calls it, and Python can read what the figure shows.
# On a page without a kernel, the same text stands in the page and calls itself. Where there is no JavaScript at all, a picture stays in its place.

# %%
#| export
def _source(name: str) -> str:
    "The JavaScript module of a figure: its name, what all figures share, then its own part"
    folder = files("modreg") / "data" / "explore"
    parts = [(folder / f"{part}.js").read_text(encoding="utf-8") for part in ("common", name)]
    return "\n".join([f'const NAME = "{name}";', *parts])


# %% [markdown]
# The page's version is the picture, and a script that puts the program in its place: in the first figure of its name that is not drawn yet, since the same figure may stand on a page twice.

# %%
#| export
_PAGE = """<div class="modreg-explore" data-name="{name}"><img alt="{question}" src="data:image/png;base64,{picture}" style="max-width:100%"></div>
<script type="module">
{source}
{{
  const el = document.querySelector('.modreg-explore[data-name="{name}"]:not([data-drawn])');
  el.dataset.drawn = "";
  const values = {{ data: {data}, state: {{}} }};
  render({{ el, model: {{ get: (key) => values[key], set: (key, value) => (values[key] = value), save_changes: () => (el.dataset.state = JSON.stringify(values.state)) }} }});
}}
</script>"""


# %%
#| export
@checked
class Explorer:
    "A figure that is a small program, with a picture where no program can run"

    def __init__(
        self,
        name: str,  # of its program
        question: str,  # that it poses; also what stands for its picture where none is seen
        picture: Callable[["Figure"], None],  # draws the static picture
        data: dict[str, Any] | None = None,  # what its program needs
    ):
        self.name, self.question, self.picture, self.data = name, question, picture, data or {}
        self._live = None

    @property
    def state(self) -> dict[str, Any]:
        "What the figure shows now, in JupyterLab"
        return dict(self.live.state)

    @property
    def live(self):
        "The widget; needs anywidget, of the extra `notebooks`"
        if self._live is None:
            self._live = _widget_class(self.name)(data=self.data)
        return self._live

    def _repr_mimebundle_(self, **kwargs) -> dict[str, Any]:
        bundle = self.live._repr_mimebundle_(**kwargs)
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle
        return {**(bundle or {}), "text/html": self.page(), "text/plain": self.question}

    def page(self) -> str:
        "HTML that needs no kernel and no other file"
        from matplotlib.figure import Figure

        figure, png = Figure(figsize=(7, 2.8), layout="constrained"), io.BytesIO()
        self.picture(figure)
        figure.savefig(png, dpi=110)
        return _PAGE.format(
            name=self.name, question=html.escape(self.question, quote=True), picture=base64.b64encode(png.getvalue()).decode(),
            source=_source(self.name), data=json.dumps(self.data).replace("<", "\\u003c"))


# %%
#| export
@cache
def _widget_class(name: str) -> type:
    import anywidget
    import traitlets

    return type("Live", (anywidget.AnyWidget,), {
        "_esm": _source(name), "data": traitlets.Dict().tag(sync=True), "state": traitlets.Dict().tag(sync=True)})


# %% [markdown]
# ## Inhibitors
#
# *Predict:* the difference of Gaussians spares one distance. What pattern will that make in the matrix of coefficients of neurons on a circle? Make $b$ larger: does the stripe move
# outwards, or grow wider?

# %%
#| export
@checked
def inhibitor_shapes() -> Explorer:
    "Inhibitors with their parameters, their formula, and the coefficient matrix on a circle"

    def picture(figure: "Figure") -> None:
        d = torch.linspace(0, 7, 200)
        left, right = figure.subplots(1, 2)
        left.plot(d.numpy(), inhibitor("difference_of_gaussians")(d).numpy())
        left.set(xlabel="geodesic distance", ylabel="price", title="difference of Gaussians")
        points = torch.linspace(0, 20, 49)[:-1, None]
        around = (points - points.T).abs()
        right.imshow(inhibitor("difference_of_gaussians")(torch.minimum(around, 20 - around)).numpy())
        right.set(xlabel="from neuron", ylabel="to neuron", title="coefficients on a circle")

    return Explorer("inhibitor_shapes", "Which connections will this inhibitor leave alone, and may the neurons move under it?", picture)


# %%
inhibitor_shapes()


# %% [markdown]
# ## Neighbourhoods
#
# *Predict:* under the difference of Gaussians, what is the shape of the set of cheap partners of a neuron on the sphere? On the circle? How many of them are there on the
# torus, compared with the circle?

# %%
#| export
@checked
def neighbourhoods() -> Explorer:
    "A neuron on a manifold in space, the price of its connections, and what is left of its weights"

    def picture(figure: "Figure") -> None:
        for ax, space in zip(figure.subplots(1, 2), (Torus(), KleinBottle()), strict=True):
            colours = plot_from_point(space, torch.tensor([8.5, 3.0]), ax, inhibitor("difference_of_gaussians"))
            ax.set_title(display_name(space.name))
            figure.colorbar(colours, ax=ax, label="price")

    return Explorer("neighbourhoods", "Pick a neuron. Which others may it keep a connection to?", picture)


# %%
neighbourhoods()


# %% [markdown]
# ## Surfaces in space
#
# The sphere, the torus and the Klein bottle as one sees them in space, with one neuron on each.
#
# *Predict:* on which of them is there a single farthest point from a neuron?

# %%
#| export
def _surface(space: Manifold, rows: int = 60) -> tuple[Tensor, Tensor]:
    "Points of sphere, torus or Klein bottle (rows, rows, coordinates), and where they lie in space (rows, rows, 3); the Klein bottle crosses itself there"
    s, t = torch.meshgrid(torch.linspace(0, 2 * torch.pi, rows), torch.linspace(0, 2 * torch.pi, rows), indexing="ij")
    if isinstance(space, Sphere):
        points = space.radius * torch.stack([s.cos() * (t / 2).sin(), s.sin() * (t / 2).sin(), (t / 2).cos()], -1)
        return points, points / space.radius
    points = space.project(torch.stack([s, t], -1) * space.period / (2 * torch.pi))  # type: ignore[attr-defined]  # a flat one
    half = s / 2
    turned = isinstance(space, KleinBottle)
    out = 1.6 + half.cos() * t.sin() - half.sin() * (2 * t).sin() if turned else 1 + 0.42 * t.cos()
    up = half.sin() * t.sin() + half.cos() * (2 * t).sin() if turned else 0.42 * t.sin()
    return points, torch.stack([out * s.cos(), out * s.sin(), up], -1)


# %%
#| export
@checked
def in_space() -> Explorer:
    "Sphere, torus and Klein bottle in space, each coloured by the distance from one neuron"

    def picture(figure: "Figure") -> None:
        from matplotlib import colormaps

        for k, space in enumerate((Sphere(), Torus(), KleinBottle())):
            points, place = _surface(space)
            distance = space.distance(points[51, 18][None], points.flatten(0, 1)).view(60, 60)
            ax = figure.add_subplot(1, 3, k + 1, projection="3d")
            ax.plot_surface(*place.unbind(-1), facecolors=colormaps["viridis"]((distance / distance.max()).numpy()), rcount=60, ccount=60)
            ax.set(title=display_name(space.name), box_aspect=place.flatten(0, 1).max(0).values - place.flatten(0, 1).min(0).values)
            ax.set_axis_off()

    return Explorer("in_space", "One neuron on sphere, torus and Klein bottle, seen in space and coloured by distance from it: how far is every other point?", picture)


# %%
in_space()


# %% [markdown]
# ## The glued square
#
# Both surfaces are made from a square. On the torus opposite edges are glued as they are; on the Klein bottle one pair is glued after a flip.
#
# *Predict:* the disc crosses the right edge at a height of 3. At which height does it come in from the left, on each of the two?

# %%
#| export
@checked
def glued_square() -> Explorer:
    "A disc on the torus or the Klein bottle, as a square with glued edges and in space"

    def picture(figure: "Figure") -> None:
        for ax, space in zip(figure.subplots(1, 2), (Torus(), KleinBottle()), strict=True):
            plot_from_point(space, torch.tensor([9.0, 3.0]), ax, lambda d: d.clamp(max=2))
            ax.set_title(f"a disc on the {display_name(space.name)}")

    return Explorer("glued_square", "Drag the disc over an edge. Where does it come back, and which way up?", picture)


# %%
glued_square()

# %% [markdown]
# The height of entry, from the distance itself: the place at the left edge that is the same as $(10, 3)$.

# %%
edge, left = torch.tensor([[10.0, 3.0]]), torch.stack([torch.zeros(101), torch.linspace(0, 10, 101)], -1)
for space, height in ((Torus(), 3.0), (KleinBottle(), 7.0)):
    test_eq(left[space.distance(edge, left)[0].argmin(), 1].item(), height)


# %% [markdown]
# ## Coverings
#
# The line winds up on the circle, the plane on the torus and on the Klein bottle. Many places above are one place below.
#
# *Predict:* walk once round, then a second time. After how many rounds are you back, on each of the three? The chapter [coverings](coverings.ipynb) says what this has to do with the wiring of a network.

# %%
#| export
@checked
def covering() -> Explorer:
    "A walk in the plane, and the same walk on the surface that it covers"

    def picture(figure: "Figure") -> None:
        for ax, turned in zip(figure.subplots(1, 2), (False, True), strict=True):
            for i, j in torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).tolist():
                flip = turned and i % 2
                for stroke in ([(4, 2.5), (4, 7.5), (6.5, 7.5)], [(4, 5.2), (6, 5.2)]):  # an F
                    ax.plot([10 * i + x for x, _ in stroke], [10 * j + (10 - y if flip else y) for _, y in stroke], color="0.6", linewidth=3)
                ax.plot(10 * i + 3, 10 * j + (7 if flip else 3), "o", color="C0", fillstyle="none")
            ax.plot([-7, 3], [3, 3], color="C1")
            ax.set(xticks=range(-10, 21, 10), yticks=range(-10, 21, 10), aspect="equal", title="above the Klein bottle" if turned else "above the torus")
            ax.grid()

    return Explorer("covering", "Walk once round. Are you back, and the same way up?", picture)


# %%
covering()


# %% [markdown]
# ## Growing balls
#
# Join points whose balls meet, and fill triangles. The chapter [topology](topology.ipynb) does it for thousands of neurons.
#
# *Predict:* drag one point of the ring into its middle. What becomes of the long bar?

# %%
#| export
@checked
def growing_balls() -> Explorer:
    "Points of the plane with a ball round each, and the bars of pieces and loops"

    def picture(figure: "Figure") -> None:
        angle = 2 * torch.pi * torch.arange(24) / 24
        points = 2 * torch.stack([angle.cos(), angle.sin()], -1) + 0.15 * torch.randn(24, 2, generator=torch.Generator().manual_seed(0))
        apart = torch.cdist(points, points)
        for ax, radius in zip(figure.subplots(1, 3), (0.2, 0.6, 2.0), strict=True):
            ax.scatter(*points.T.numpy(), s=(radius * 34) ** 2, alpha=0.15, color="C0", linewidths=0)
            for i, j in (apart <= 2 * radius).nonzero().tolist():
                ax.plot(*points[[i, j]].T.numpy(), color="C0", linewidth=0.5)
            ax.plot(*points.T.numpy(), ".", color="black", markersize=4)
            ax.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", title=f"radius {radius}")

    return Explorer("growing_balls", "At which radius does the hole open, and at which does it close? What does noise do to its bar?", picture)


# %%
growing_balls()


# %% [markdown]
# ## Neurons in their places
#
# A matrix of weights comes with its neurons in any order. *Predict:* their places on a circle are found from the matrix alone. What will a matrix look like that was wired by lot, once its neurons are in the places that are found for them?

# %%
#| export
def placed_neurons() -> Explorer:
    "Neurons that move to the places that their wiring gives them, and their matrix, numbered as they lie"

    def picture(figure: "Figure") -> None:
        generator, place = torch.Generator().manual_seed(0), torch.arange(60) / 60
        far = (place - place[:, None] - (place - place[:, None]).round()).abs()
        joined, order = far.argsort(1).argsort(1) < 7, torch.randperm(60, generator=generator)
        for ax, matrix, title in zip(figure.subplots(1, 2), (joined[order][:, order], joined), ("as it comes", "numbered as it lies on a circle"), strict=True):
            ax.spy(matrix.fill_diagonal_(False).numpy(), markersize=2, color="C0")
            ax.set(title=title, xlabel="from neuron", ylabel="to neuron", xticks=[], yticks=[])

    return Explorer("placed_neurons", "The matrix comes in no order. Put its neurons where they belong. Would you have seen that it has a shape, and does the random one get one too?", picture)


# %%
placed_neurons()


# %% [markdown]
# ## Training an embedding
#
# *Predict:* under diffusion, where do sixty neurons end that may move to lower their bill? And under the difference of Gaussians?

# %%
#| export
def _trained_embedding(name: str, steps: int) -> Tensor:
    "Sixty neurons on the torus (60, 2) after `steps` steps down the penalty of random weights"
    generator, space = torch.Generator().manual_seed(0), Torus()
    layer: Any = torch.nn.RNN(1, 60)
    layer.weight_hh_l0.data.normal_(generator=generator).pow_(3)
    points = space.sample(60, generator).requires_grad_()
    for _ in range(steps):
        cost = (inhibitor(name)(space.distance(points)) * layer.weight_hh_l0.abs()).mean()
        grad, = torch.autograd.grad(cost, points)
        points = space.project(points.detach() - 0.1 * grad / grad.norm(dim=-1).max()).requires_grad_()
    return points.detach()


@checked
def embedding_training() -> Explorer:
    "Neurons on the torus that move down the gradient of the penalty"

    def picture(figure: "Figure") -> None:
        for ax, name in zip(figure.subplots(1, 3), (None, "difference_of_gaussians", "diffusion"), strict=True):
            ax.plot(*(_trained_embedding(name, 120) if name else _trained_embedding("diffusion", 0)).T.numpy(), ".", color="#2a788e")
            ax.set(xlim=(0, 10), ylim=(0, 10), aspect="equal", title=name.replace("_", " ") if name else "at the start")

    return Explorer("embedding_training", "Let the neurons move to lower the bill. Will they spread, clump, or all meet?", picture)


# %%
embedding_training()


# %% [markdown]
# ## Pruning a trained network
#
# The network on the left was trained on the [navigation](navigation.ipynb) task with the penalty of the torus, while its sparsity rose step by step (`python docs/networks.py`). The
# slider goes back to any of the steps. Beside it stand two controls with the same neurons: one that was trained with the same prices dealt out to the wrong weights, and one without prices. Learning and pruning pull the error in opposite directions: in the first steps a network has all its weights and knows little.
#
# *Predict:* at which share of zeros will each know no more than a rat that claims to stand still? And which distances will be left by then?

# %%
#| export
def _numbers() -> dict[str, Any]:
    "Weights and paths of the networks in the figures; they come with the project, and not with an installation of the package"
    found: Any = load_results("explore")
    if not found:
        raise FileNotFoundError("the numbers of this figure are not installed, since they are half a megabyte that only the book needs: run it from a copy of the project, where modreg/data/explore.json is")
    return found


@checked
def pruning_steps(
    data: dict[str, Any] | None = None,  # networks of one's own, as the chapter `idea` makes them; None for those that came with the book
) -> Explorer:
    "The wiring that survives in networks that were pruned under several penalties, step by step, and their errors"
    data = data or {**_numbers()["pruned"], "unit": "cm"}
    data = data | {"networks": {display_name(name): network for name, network in data["networks"].items()}}

    def picture(figure: "Figure") -> None:
        ax = figure.subplots()
        for name, network in data["networks"].items():
            ax.plot([100 * s for s in data["sparsity"]], network["error"], "o-", markersize=3, label=name)
        for name, limit in data["limits"].items():
            ax.axhline(limit, color="0.6", linestyle=":", label=name)
        ax.set(xlabel="weights that are zero (%)", ylabel=f"error ({data['unit']})", ylim=(0, None))
        ax.legend(frameon=False)

    return Explorer("pruning_steps", "How much of the wiring can go before a network is lost, and where on the torus is what stays?", picture, data)


# %%
pruning_steps()


# %% [markdown]
# ## Path integration by hand
#
# A dense network, trained on paths of some sixty steps, runs in the page: no server, no kernel. It is told where your path begins, and then only how you move.
#
# *Predict:* will it find its way round a loop that is twice as long as any path that it was trained on?

# %%
#| export
def _tensor(text: str, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=dtype).reshape(shape).float()


@checked
@torch.no_grad()
def follow(
    path: Annotated[Tensor, Shape("T1 2", "float", finite=True)],  # positions (T + 1, 2) in m, in strides like those of training
) -> Tensor:  # where the network believes to be after each step (T, 2) in m
    "What the network of the figure `path_integration` makes of a path, computed here"
    data = _numbers()["dense"]
    config = NavigationConfig(scale="small", device="cpu", seeds=1, hidden=data["neurons"], place_cells=data["cells"])
    model, cells = PathIntegrator(config, torch.Generator()), PlaceCells(data["cells"], [torch.Generator()])
    cells.centres = _tensor(data["centres"], torch.float32, 1, data["cells"], 2)
    for name, weight in model.named_parameters():
        weight.copy_(_tensor(data[name], torch.float16, *weight.shape))
    return cells.decode(model(cells(path[None, :1]), path.diff(dim=0)[None, :, None]))[0, :, 0]


def _loop(turns: float = 1.0) -> Tensor:
    "A round path of 0.35 m radius (T + 1, 2), in strides like those of training"
    data = _numbers()["dense"]
    stride = 1.25 * data["speed"] * data["dt"] / 0.35
    angle = torch.arange(0, turns * 2 * torch.pi, stride)
    return 0.35 * torch.stack([-angle.cos(), angle.sin()], -1)


# %%
#| export
@checked
def path_integration() -> Explorer:
    "Draw a path and watch a trained network follow it"

    def picture(figure: "Figure") -> None:
        ax, path = figure.subplots(), _loop()
        ax.plot(*path.T.numpy(), label="path")
        ax.plot(*follow(path).T.numpy(), ".", label="the network")
        ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xlabel="east (m)", ylabel="north (m)")
        ax.legend(frameon=False)

    data = _numbers()["dense"]
    return Explorer("path_integration", "Draw a path in the box. How far does the network follow you before it is lost?", picture, data)


# %%
path_integration()

# %% [markdown]
# The same network in torch, round the same kind of loop:

# %%
#| fig-alt: "Error of the network along a closed path, by step: it stays low, while that of standing still rises and falls with the distance from the start."
loop = _loop()
error = 100 * (follow(loop) - loop[1:]).norm(dim=-1)
still = 100 * (loop[:1] - loop[1:]).norm(dim=-1)
fig, ax = plt.subplots(figsize=(5.5, 2.8), layout="constrained")
ax.plot(error, label="the network")
ax.plot(still, color="0.6", linestyle=":", label="standing still")
ax.set(xlabel="step", ylabel="error (cm)")
ax.legend(frameon=False)
plt.show()
assert error.mean() < still.mean() / 2


# %% [markdown]
# ## Exercise 1: as the figure says it
#
# *5 min, easy.* A figure's program and Python must agree. Write the number of neurons that cost less than a quarter of the dearest, as the second figure says it.

# %%
def cheap_partners(prices, neuron):
    "How many other neurons cost less than a quarter of the greatest price of this neuron's row, of prices (N, N)"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    points = Torus().sample(200, torch.Generator().manual_seed(1))
    prices = inhibitor("difference_of_gaussians")(Torus().distance(points))
    fig, ax = plt.subplots(figsize=(4.4, 3.4), layout="constrained")
    fig.colorbar(ax.scatter(*points.T, c=[cheap_partners(prices, k) for k in range(200)]), label="cheap partners")
    ax.set(title="200 neurons on the torus", xlabel="x", ylabel="y", aspect="equal")
    plt.show()


with exercise("take the neuron's row, compare it with a quarter of its greatest price, and leave out the neuron's own place", picture) as expect:
    expect(cheap_partners, torch.tensor([[0.0, 1, 8], [1, 0, 9], [8, 9, 0]]), 0, gives=1)
    expect(cheap_partners, torch.zeros(2, 2), 0, gives=0)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def cheap_partners(prices, neuron):
#     others = torch.arange(len(prices)) != neuron
#     return ((prices[neuron] < prices[neuron].max() / 4) & others).sum().item()
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: glue it yourself
#
# *5 min, medium.* The torus glues both pairs of a square's edges as they are, the Klein bottle one pair after a flip. Now glue **both** pairs after a flip, $(x, y) \sim (x + 10, 10 - y)$ and $(x, y) \sim (10 - x, y + 10)$. That is the projective plane.
# Where does a point that leaves by the upper edge at $x = 3$ come in?

# %%
def enter(x):
    "The x at which a point that leaves the top at x comes in at the bottom"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the second rule of the two, read at y = 0", lambda: draw_curve(enter, range(11), "leaves the top at x", "comes in at x")) as expect:
    expect(enter, 3.0, gives=7.0)
    expect(enter, 5.0, gives=5.0)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def enter(x):
#     return 10 - x
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# JupyterLab took the arrow keys for its own cursor, so in a notebook the figures answered to the mouse alone; a figure's controls now say that keys are theirs, and the tests press them in a real JupyterLab.
# A figure computes in JavaScript what the package computes in Python, and nothing makes the two agree by itself: the tests compare distances, prices and a network's path.
#
# The paper shows one neuron's weights on the circle (figure 7) and the coverings of its surfaces (figure 5). Here they can be turned.
#
# ## Recall and think
#
# <details><summary>Recall: why does a figure's program compute what the package computes?</summary>
#
# So that it runs on a page without a kernel; tests hold the two to the same numbers.
#
# </details>
#
# <details><summary>Recall: what does a disc that crosses the side of the Klein bottle look like on the other side?</summary>
#
# It comes in at the other height, upside down, and is one disc all the same.
#
# </details>
#
# <details><summary>Think: which of the figures would you need for a class of ten minutes, and which question would you ask before touching it?</summary>
#
# There is no one answer. A good question has two answers that people really give.
#
# </details>
#
# **References.** Distill, *Memorization in RNNs* (2019), whose figures compute in the page. Manzoni and others, anywidget. Appendix C, D and F of the paper.
