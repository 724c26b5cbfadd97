# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # modreg
#
# > Moduli regularization: sparse recurrent networks whose wiring has a shape

# %% [markdown]
# Place the hidden neurons of a recurrent network on a manifold, such as a torus. Make a connection cost more or less by how far apart its two neurons lie.
# Then prune the smallest weights. What is left is a sparse network whose wiring has the shape of the manifold. Is it a better one?

# %%
#| hide
from modreg.book.explore import neighbourhoods

# %%
#| echo: false
neighbourhoods()

# %% [markdown]
# ## The answer so far
#
# What the runs of this project say of all tasks stands in [answer](answer.ipynb), from dense networks to those with 99 % zeros. [Tables](tables.ipynb) sets every number of the paper beside ours, and gives a verdict on each of its claims.

# %%
#| hide
import matplotlib.pyplot as plt
from IPython.display import Markdown, display

from modreg.book.answer import answer, plot_answer

plt.style.use("modreg.data.book")

# %%
#| echo: false
#| fig-alt: "Five tasks, one below the other. For each, a row of dots for each condition: errors as multiples of the dense network's with the same seed, with a line at 1 and a bar at each median."
plot_answer(plt.figure(layout="constrained"))
plt.show()
display(Markdown("\n".join(["Each dot is a network, at the place of its error divided by that of a dense one with the same seed; a bar is a median. *Moduli* is the method, *shuffled prices* the same prices dealt out to the wrong weights, *L1* one price for all weights, and *no penalty* pruning alone; a *small dense* network was never pruned, and has as few weights.", "", *(f"- {sentence}" for sentence in answer())])))

# %% [markdown]
# ## The method in one line
#
#
# $$R(W) = \lambda\,\underset{u,v}{\mathrm{mean}}\; f(d_M(i(u), i(v)))\,|W_{uv}|$$
#
# Here $i$ places neurons on the manifold $M$, $d_M$ is geodesic distance, and $f$, the *inhibitor*, says which distances are penalized.
# The method is that of the paper *Geometric sparsification in recurrent neural networks*. This project is a library for it, and a book that
# explains it, tests it against plain controls, and sets its numbers beside the paper's.
#
# Who knows PyTorch but no topology begins with [the idea in ten minutes](idea.ipynb) and [how to read this book](exercises.ipynb), and goes on page by page: [manifolds](manifolds.ipynb), [inhibitors](inhibitors.ipynb),
# [the regularizer](regularizer.ipynb), [pruning](pruning.ipynb), and then [a regularizer of one's own](own.ipynb). Who would rather play first begins with [explore](explore.ipynb).
#
# ## Three commands
#
# All need `make`, Python 3.11 or newer and a package index, and set up a virtual environment of their own.
#
# ```sh
# make run    # train a network that finds its way in the dark, dense and with 90 % zeros: 5 minutes on two cores, ends with a table and figures
# make test   # everything that continuous integration runs
# make bench  # ours beside the published formulation, a plain one and the machine's limit: a table of times
# ```

# %% [markdown]
# ## Two lines in your own loop
#
# `pip install .` brings torch, numpy, safetensors and tqdm, no more. Here a plain `torch.nn.RNN` learns to add the two numbers that are marked in a sequence.

# %%
import torch
from torch import nn

from modreg import DifferenceOfGaussians, MagnitudePruner, ModuliRegularizer, Torus

# %%
torch.manual_seed(0)
rnn, readout = nn.RNN(2, 64, batch_first=True), nn.Linear(64, 1)
model = nn.ModuleList([rnn, readout])
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)


def task_loss(batch=64, steps=10):
    numbers, marks = torch.rand(batch, steps), torch.zeros(batch, steps)
    marks.scatter_(1, torch.rand(batch, steps).topk(2).indices, 1)
    states, _ = rnn(torch.stack([numbers, marks], -1))
    return (readout(states[:, -1])[:, 0] - (numbers * marks).sum(1)).square().mean()


# %% [markdown]
# The first two lines below make a regularizer and a pruner; the loop calls one in each step and the other once an epoch.

# %%
reg = ModuliRegularizer(rnn, manifold=Torus(), inhibitor=DifferenceOfGaussians(), strength=1e-3)
pruner = MagnitudePruner(model, target=0.9, epochs=20)

for epoch in range(20):
    pruner.step(epoch, optimizer)  # raises the sparsity; pruned weights stay exactly 0
    for _ in range(50):
        loss = task_loss() + reg()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

error = task_loss(1000).sqrt().item()
print(f"{pruner.sparsity():.0%} of the weights are zero; error {error:.2f}, where always answering 1 gives {(1 / 6) ** 0.5:.2f}")

# %% [markdown]
# The state dict is that of a plain model. `Sphere()`, `KleinBottle()` or `"torus6"` can stand in place of `Torus()`. To change the inhibitor, pass another one
# (`Ricker()`, `"diffusion"`), or subclass `Inhibitor` with your own function of distance.
# The chapter [own](own.ipynb) does that, and puts the neurons on a manifold that this library does not have.

# %%
#| hide
assert set(model.state_dict()) == {"0.weight_ih_l0", "0.weight_hh_l0", "0.bias_ih_l0", "0.bias_hh_l0", "1.weight", "1.bias"}
assert abs(float(pruner.sparsity()) - 0.9) < 1e-3
assert error < 0.25  # it has learned

# %% [markdown]
# The same line takes the weights of other layers, other spaces as text, and a space for each layer; and another sparsifier takes the place of the pruner.

# %%
lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True)
penalties = [
    ModuliRegularizer(lstm, manifold="torus"),  # all four recurrent weights; the gates of a layer share its embedding
    ModuliRegularizer(nn.GRU(8, 16, num_layers=2), manifold="torus(period=20),sphere"),  # another space for each layer
    ModuliRegularizer(nn.Linear(20, 30), manifold="torus*circle"),  # its outputs and its inputs are embedded
    ModuliRegularizer(nn.Conv2d(8, 16, 3), manifold="circle"),  # channels are embedded
    ModuliRegularizer(model, weight=["0.weight_hh_l0", "1.weight"]),  # weights by name, in any model
]
print("penalties:", ", ".join(f"{penalty().item():.3g}" for penalty in penalties))

# %%
#| hide
assert all(penalty() > 0 for penalty in penalties)

# %% [markdown]
# ## A chapter is an experiment
#
# Chapters that train a network of their own have parameters. In an environment with the extras `notebooks` and `geometry` (`make run` leaves one in `.venv`; language and speech ask for those of their names too),
#
# ```sh
# papermill nbs/navigation.ipynb out.ipynb -p manifold sphere -p sparsity 0.75
# ```
#
# runs the whole chapter on a sphere, and `-p penalty shuffled -p sparsifier rigl` with other rules for prices and zeros: training, pictures, and the result beside the paper's. The first code cell lists the parameters; a name that does not
# exist, or a value that makes no sense, stops the run at once with a list of what does. `scale` is `small` (minutes on two cores), `paper`
# (the paper's hyperparameters) or `auto` (`paper` if there is a GPU). A run that is complete is never computed again, and one that was killed goes on where it was.
#
# `modreg sweep table8` (with the extra `sweeps`) computes a whole table of the paper in as many processes as the machine has cores, or on a cluster, and writes one page with its numbers beside ours.
# What was killed goes on when the same line is called again; `--dry-run` tells what is left and how long it takes.
#
# `make run ARGS="-p manifold klein"` does the same with a progress bar for each training run. `make lab` opens the book in JupyterLab, and
# `make docs && make serve` shows it as a site, which needs no network: once all is installed, the first build takes some minutes on two cores, and later ones execute what changed.

# %% [markdown]
# ## The book, in reading order
#
# | part | chapter | what it holds |
# |---|---|---|
# | Start | [idea](idea.ipynb) | the whole method on one small network, in ten minutes |
# | | [exercises](exercises.ipynb) | how to read this book, and how to do an exercise |
# | Geometry | [manifolds](manifolds.ipynb) | metric spaces that neurons live on |
# | | [inhibitors](inhibitors.ipynb) | functions of distance |
# | | [products](products.ipynb) | products of spaces, modules of neurons, projective and hyperbolic planes |
# | | [finite](finite.ipynb) | matrices of distances, graphs, meshes and clouds of points |
# | | [checks](checks.ipynb) | whether a space or an inhibitor of your own is right, and if not, why |
# | Method | [regularizer](regularizer.ipynb) | the penalty: what a connection costs, on the weights of any layer |
# | | [penalties](penalties.ipynb) | what it is compared with: no price, one price, the same prices elsewhere, and a rival |
# | | [pruning](pruning.ipynb) | masks, schedules, lottery tickets |
# | | [rivals](rivals.ipynb) | sparse from birth, or rewired while it learns: SET, RigL and others, and what each costs |
# | | [own](own.ipynb) | a manifold and an inhibitor of your own, in your own training loop |
# | Experiments | [experiments](experiments.ipynb) | three runs, their pictures, and all conditions on equal terms |
# | | [navigation](navigation.ipynb) | a rat in the dark: data, model, run, and the paper's numbers |
# | | [rats](rats.ipynb) | the same networks on recorded paths of real rats |
# | | [adding](adding.ipynb) | two marked numbers, a long wait, and how many weights it takes |
# | | [language](language.ipynb) | the next word of WikiText-2: three recurrent layers, perplexity, and what a sparse network writes |
# | | [sound](sound.ipynb) | how speech becomes pictures that a network can read |
# | | [speech](speech.ipynb) | writing down what unseen speakers say |
# | | [head_direction](head_direction.ipynb) | bring your own task, in under eighty lines |
# | Looking inside | [wiring](wiring.ipynb) | pictures of what is left |
# | | [lottery](lottery.ipynb) | what a ticket keeps, and its control |
# | | [attractors](attractors.ipynb) | a ring that holds an angle, by hand and by training |
# | | [gridcells](gridcells.ipynb) | rate maps, grid scores, and whether the torus brings grid cells |
# | | [topology](topology.ipynb) | holes of a cloud of points, and whether a trained embedding has learned a shape |
# | | [activity](activity.ipynb) | the shape of what neurons do together, coordinates on it, and paths that are read from them |
# | | [which_manifold](which_manifold.ipynb) | which space explains a network's wiring, or its activity, and when none does |
# | | [explore](explore.ipynb) | nine figures that are small programs |
# | | [coverings](coverings.ipynb) | why circle, torus and Klein bottle belong together |
# | The paper | [answer](answer.ipynb) | is it a better network? All tasks in one figure |
# | | [tables](tables.ipynb) | every table beside ours, every claim with its verdict |
# | | [paper](paper.ipynb) | every table of the paper as cells, each with the settings that make it |
# | | [statistics](statistics.ipynb) | how many learned, how sure a difference is, and when a claim holds |
# | | [reproduction](reproduction.ipynb) | what a faithful reproduction must know |
# | Machinery | [arguments](arguments.ipynb) | what a function takes stands in its signature, and every call is asked |
# | | [specs](specs.ipynb) | spaces and inhibitors as text with arguments, read and never run |
# | | [weights](weights.ipynb) | which parameters are weights, and which neurons their entries join |
# | | [masks](masks.ipynb) | masks that hold, whatever the loop does |
# | | [fused](fused.ipynb) | the penalty's arithmetic: one pass over a weight, tiles of distances |
# | | [recurrent](recurrent.ipynb) | a recurrent layer that trains fast, many replicas at once |
# | | [kernels](kernels.ipynb) | loops that keep a processor's registers full, compiled at hand |
# | | [sparse](sparse.ipynb) | products that cost what is left of a matrix, and blocks that follow the geometry |
# | | [edges](edges.ipynb) | a recurrent layer that is born sparse, and never makes a matrix of all pairs |
# | | [settings](settings.ipynb) | an experiment as checked values |
# | | [files](files.ipynb) | files that are whole or not there, and say when they are damaged |
# | | [runs](runs.ipynb) | folders that are found again, never half written |
# | | [trainer](trainer.ipynb) | one loop for networks of your own and for all tasks, and what is hung on it |
# | | [training](training.ipynb) | a task in five methods, and a run that survives its process |
# | | [studies](studies.ipynb) | many runs for one question, from a command line |
# | | [workers](workers.ipynb) | a list of runs on all cores or many machines, that survives whatever kills its parts |
# | | [sweeps](sweeps.ipynb) | a table of the paper from one line: its runs, its strengths, and a report |
# | | [results](results.ipynb) | what runs have found, in small files that are asked by settings |
# | | [speed](speed.ipynb) | how to time code on a noisy machine, and what everything here costs |
#
# ## The package, in seven wings
#
# | wing | what it is for |
# |---|---|
# | `modreg.geometry` | where neurons can live: spaces, distances on them, and inhibitors, which are functions of distance |
# | `modreg.layers` | layers that train fast, many replicas at once, and products that cost what is left of a matrix |
# | `modreg.sparsity` | what makes a network sparse: penalties on weights, masks, schedules, sparsifiers and lottery tickets |
# | `modreg.lab` | what an experiment needs: settings, runs that are found again, a trainer, and the protocol that compares conditions |
# | `modreg.tasks` | things to learn: data, model, loss and metrics of each experiment |
# | `modreg.analysis` | a look inside trained networks: their wiring, their cells, their shape |
# | `modreg.book` | what makes the chapters a book: exercises, and figures that are small programs |
#
# A module imports from its own wing and from those above it, never from one below: who knows the geometry can read it without the rest.
# One notebook is one chapter and at most one module: `modreg/` is made from `nbs/` by nbdev. [CONTRIBUTING.md](https://github.com/modreg/modreg/blob/main/CONTRIBUTING.md)
# says how to change a chapter, and how to add to the book.
#
# ## Citation
#
# The method is the paper's; cite it.
#
# ```bibtex
# @article{geometric-sparsification,
#   title   = {Geometric sparsification in recurrent neural networks},
#   author  = {Mackey, Wyatt and Schizas, Ioannis and Deighton, Jared and Boothe, Jr., David and Maroulas, Vasileios},
#   journal = {arXiv:2406.06290},
#   year    = {2024}
# }
# ```
#
# The licence is Apache 2.0.
