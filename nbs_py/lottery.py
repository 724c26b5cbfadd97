# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lottery tickets
#
# > Is it the wiring that a pruned network learned, or the weights?

# %% [markdown]
# *Reading 10 min, exercises 15 min. To skip at a first reading:* *A ticket's weights are really new*.
#
# After this chapter you can
#
# - say what a lottery ticket claims, and name the control that the claim needs,
# - train a ticket with redrawn, original and shuffled wiring, and read off which part of it carried the result,
# - tell whether two masks are more alike than chance.
#
# The question: *a network is trained and nine tenths of its weights are cut. Now forget every weight, keep the wiring, and train again. What have you kept?*

# %%
#| hide
import tempfile
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from fastcore.test import test_close, test_eq
from IPython.display import Markdown, display

from modreg.book.exercises import draw_bars, draw_matrices, exercise
from modreg.lab.experiments import load_results, setting_name, summary
from modreg.lab.paper import paper_tables
from modreg.lab.training import Remember, RememberConfig, fit
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %%
#| echo: false
#| fig-alt: "From the paper's tables, with spreads: position error and RMSE of sparse networks and their tickets under four conditions; on the adding task all tickets fail."
order, rows = ("torus", "none", "l1", "shuffled"), {"1": ("90% Sparse", "90% Lottery"), "8": ("95% Sparse", "95% Lottery")}
fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, (number, labels) in zip(axes, rows.items(), strict=True):
    table = paper_tables()[number]
    for k, label in enumerate(labels):
        for x, name in enumerate(order):
            cell = table.cell(label, name)
            ax.errorbar(x + 0.2 * k - 0.1, cell.mean, cell.std or 0, fmt="o^"[k], color=f"C{k}", label=label if x == 0 else None)
    ax.set(title=table.task, ylabel=table.metric, xticks=range(4), ylim=(0, None))
    ax.set_xticklabels([*map(display_name, order)])
    ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.08))
plt.show()

# %% [markdown]
# The paper's own tickets (tables 1 and 8): networks that were pruned while they learned, and tickets that were trained anew under the same masks. *Predict:* in which of the two tasks does the
# wiring alone carry the result?
#
# In navigation a torus ticket comes close to the network that it was taken from. In adding none does: each is about as good as the constant answer.

# %% [markdown]
# ## What is in a ticket
#
# Frankle and Carbin (2019) found that a pruned network, set back to its **original** weights and trained under its mask, can be as good as the dense one. The dense network, they say, is a heap of lottery
# tickets, and one of them won. The paper asks more: it **redraws** all weights. Then the mask alone is left of the first training.
#
# So three tickets are to be told apart, and `ticket` names them:
#
# | ticket | weights | wiring |
# |---|---|---|
# | `original` | as they first were | as learned |
# | `redraw` | new | as learned |
# | `shuffled` | new | same number of weights in each matrix, in random places |
#
# The last is the control. A mask also says how many weights each matrix keeps; if `shuffled` does as well as `redraw`, then that is all that was learned.

# %%
folder = tempfile.mkdtemp()
config = RememberConfig(scale="tiny", device="cpu", penalty="none", epochs=4, out=folder)
results = {}
for sparsity in (0.6, 0.8):
    for ticket in ("original", "redraw", "shuffled"):
        run = fit(Remember(replace(config, sparsity=sparsity, ticket=ticket)), progress=False)
        results[sparsity, ticket] = {phase: last["rmse"] for phase, last in run.result["phases"].items()}

# %%
lines = ["| zeros | pruned while learning | original | redraw | shuffled |", "|---|---|---|---|---|"]
for sparsity in (0.6, 0.8):
    cells = [results[sparsity, "redraw"]["train"], *(results[sparsity, ticket]["lottery"] for ticket in ("original", "redraw", "shuffled"))]
    lines.append(f"| {sparsity:.0%} | " + " | ".join(summary(values, 3) for values in cells) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The task is that of the chapter [training](training.ipynb): remember one number for a few steps; a constant answer has an error of $1/\sqrt{12}$. The first column is the same network in all three.

# %%
#| fig-alt: "RMSE of three kinds of ticket at 60 and 80 % zeros, a dot a seed: the original weights are best, redrawn and shuffled ones fail at 80 % in some seeds."
for sparsity in (0.6, 0.8):
    test_eq(results[sparsity, "redraw"]["train"], results[sparsity, "shuffled"]["train"])
constant = 12**-0.5
fig, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
for k, ticket in enumerate(("original", "redraw", "shuffled")):
    for sparsity in (0.6, 0.8):
        ax.plot([100 * sparsity + 0.6 * (k - 1)] * 3, results[sparsity, ticket]["lottery"], "o^s"[k], color=f"C{k}", label=ticket if sparsity == 0.8 else None)
ax.axhline(constant, color="0.6", linestyle=":")
ax.set(xlabel="weights that are zero (%)", ylabel="RMSE of the ticket, a dot a seed", ylim=(0, None), xticks=[60, 80])
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## A ticket's weights are really new
#
# "Forget every weight" must be taken at its word. A ticket's first weights must not depend on what was learned, other than through the mask. Two seeds that swap nothing but masks show it:

# %%
from modreg.lab.training import Phase

run = fit(Remember(replace(config, sparsity=0.8)), progress=False)
tickets = run.weights("train")
swapped = {name: value.flip(0) if name.startswith("mask.") else value for name, value in tickets.items()}
first, second = (Phase(Remember(replace(config, sparsity=0.8)), "lottery", t) for t in (tickets, swapped))
for name, mask in first.sparsifier.masks.items():
    both = mask & second.sparsifier.masks[name]
    a, b = (phase.model.get_parameter(name).detach() for phase in (first, second))
    assert torch.equal(a[both], b[both]) and both.any()
    trained = tickets[name]
    assert not torch.equal(a[mask], trained[mask])


# %% [markdown]
# ## Are two masks alike?
#
# If the geometry decides which weights stay, two seeds on the same places should keep the same wiring. Each seed here has places of its own, so their masks should be no more alike than chance:
# two masks that keep a share $p$ and $q$ agree in $pq$ of all weights if they know nothing of each other.

# %%
def likeness(a: torch.Tensor, b: torch.Tensor) -> float:
    "Weights that both masks keep, over those that chance would let both keep"
    return ((a & b).float().mean() / (a.float().mean() * b.float().mean())).item()


mask = tickets["mask.rnn.weight_hh_l0"]
print("two seeds of the task:", ", ".join(f"{likeness(mask[i], mask[j]):.2f}" for i, j in ((0, 1), (0, 2), (1, 2))))
g = torch.Generator().manual_seed(0)
independent = torch.rand(2, 400, 400, generator=g) < 0.1
test_close(likeness(*independent), 1, eps=0.05)
test_close(likeness(independent[0], independent[0]), 10, eps=0.3)

# %% [markdown]
# Now a geometry that both share: the same places, different weights. The penalty is strong, so that it decides.

# %%
from modreg import RNN, MagnitudePruner, ModuliRegularizer, Torus


def keep(seed: int, strength: float) -> torch.Tensor:
    "Recurrent mask at 90 % zeros of random weights that fade under the penalty"
    layer = RNN(1, 100, bias=False, generator=torch.Generator().manual_seed(seed))
    reg = ModuliRegularizer(layer, strength=strength, embedding=Torus().sample(100, torch.Generator().manual_seed(99)))
    optimizer = torch.optim.SGD([layer.weight_hh_l0], lr=1)
    for _ in range(100):
        optimizer.zero_grad()
        reg().backward()
        optimizer.step()
    pruner = MagnitudePruner(layer, 0.9, epochs=1, parameters=["weight_hh_l0"])
    pruner.step(0)
    return pruner.masks["weight_hh_l0"]


found = {strength: likeness(keep(0, strength), keep(1, strength)) for strength in (0.0, 0.05)}
for strength, value in found.items():
    print(f"λ={strength:g}: two seeds keep {value:.2f} times as many weights in common as chance")
assert abs(found[0.0] - 1) < 0.2 and found[0.05] > 2

# %% [markdown]
# That is what "a priori description of the sparse architecture" means in the paper: with a strong penalty one knows the wiring before the training begins. It also means that the mask was not learned from
# the task. A ticket that does well under such a mask shows that the shape suits the task; it does not show that training found it.

# %% [markdown]
# ## Tickets in our experiments
#
# Every experiment of this book trains tickets. Here they are beside the networks that they come from, mean over seeds, from the results that ship with the package:

# %%
lines = ["| task | setting | condition | pruned | ticket |", "|---|---|---|---|---|"]
for task in ("navigation", "adding", "language", "speech"):
    for row in load_results(f"{task}_small"):
        if "lottery" in row:
            digits = 3 if task == "adding" else 1
            lines.append(f"| {task} | {setting_name(row['setting'])} | {display_name(row['condition'])} | {summary(row['sparse'], digits)} | {summary(row['lottery'], digits)} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# Lower is better everywhere. A ticket has one advantage over the network that it comes from, since it is never cut again while it learns; where a ticket is the better of the two, the pruning schedule is what hurt.
# And it has a burden: its weights are drawn as if its matrices were full. 

# %% [markdown]
# ## Why do the tickets of language stay at the start?
#
# In language nearly all tickets end where the unigram model is, at 90 % zeros as at 98 %. Before one blames the masks, two other suspects must be heard. A neuron under a mask that leaves a tenth of its weights hears a tenth of what it heard in a
# dense network, but its weights are drawn as if nothing were missing. And the annealing rule takes the slow beginning that follows for a stall, and quarters the rate.
#
# The tickets without a penalty at 90 % zeros, trained again in four ways: with the rule or at a constant rate, and with the weights as drawn or *rescaled*, divided by the root of the share that each mask left
# (`python -m modreg.lab.studies tickets language anneal=4 anneal=1 anneal=4,ticket=rescaled anneal=1,ticket=rescaled`).

# %%
#| fig-alt: "Perplexity over epochs of tickets: as drawn they stay near the unigram line for a long time, rescaled ones fall at once."
rows, names = load_results("language_tickets"), {(True, False): "as drawn", (True, True): "rescaled", (False, False): "as drawn, constant rate", (False, True): "rescaled, constant rate"}
rescaled = lambda row: row["change"].get("rescaled", row["change"].get("ticket") == "rescaled")  # noqa: E731
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for k, row in enumerate(rows):
    curves = torch.tensor(row["perplexity"])
    ax.plot(range(1, len(curves) + 1), curves, color=f"C{k}", linewidth=1, label=[names[row["change"]["anneal"] > 1, rescaled(row)], *[""] * (curves.shape[1] - 1)])
ax.axhline(load_results("language_dense")[0]["unigram"], color="0.6", linestyle=":", label="unigram")
ax.set(xlabel="epoch", ylabel="perplexity on the test text")
fig.legend(frameon=False, ncols=3, loc="outside upper center")
plt.show()
lines = ["| weights | rate | perplexity of each seed |", "|---|---|---|"]
for row in rows:
    last = ", ".join(f"{x:.1f}" for x in row["perplexity"][-1])
    lines.append(f"| {'rescaled' if rescaled(row) else 'as drawn'} | {'annealed' if row['change']['anneal'] > 1 else 'constant'} | {last} |")
display(Markdown("\n".join(lines)))


# %% [markdown]
# Either remedy is enough to learn, and rescaled tickets come as far as pruned networks. It takes both, quiet weights and the rule, to be stuck. So the column of tickets shows what a recipe does, and nothing about
# the wiring that it was meant to test. The recipe is the paper's, and the table keeps it; whoever compares masks should rescale.

# %% [markdown]
# ## Exercise 1: what a shuffled ticket keeps
#
# *5 min, medium.* A shuffled ticket keeps the number of weights of each matrix. Check it.

# %%
def kept(tensors):
    "Number of kept weights of each seed, a list, by name, of the entries `mask.NAME` (seeds, …) among others"
    raise NotImplementedError


# %%
#| fold How it is checked
shuffled = fit(Remember(replace(config, sparsity=0.8, ticket="shuffled")), progress=False)
name = "mask.rnn.weight_hh_l0"
with exercise("flatten all but the first dimension and count what is True",
              lambda: draw_matrices(learned=shuffled.weights("train")[name][0], shuffled=shuffled.weights("lottery")[name][0])) as expect:
    expect(kept, {"mask.a": torch.tensor([[[True, False], [True, True]], [[False, False], [True, False]]]), "a": torch.ones(2, 2, 2)}, gives={"mask.a": [3, 1]})
    expect(kept, shuffled.weights("train"), gives=kept(shuffled.weights("lottery")))


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def kept(tensors):
#     return {name: mask.flatten(1).sum(1).tolist() for name, mask in tensors.items() if name.startswith("mask.")}
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: neurons that are cut off
#
# *10 min, medium.* Count the neurons that a mask cuts off: no weight in, or no weight out, to any other neuron. A ticket cannot use them.

# %%
def cut_off(mask):
    "How many neurons of a mask (N, N), whose rows are targets, have no weight to, or none from, any other neuron"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("leave the diagonal out first; then a row or a column without any True is a neuron cut off",
              lambda: draw_bars({f"seed {k}": cut_off(one) for k, one in enumerate(mask)}, "neurons cut off at 80 % zeros")) as expect:
    expect(cut_off, torch.ones(3, 3, dtype=torch.bool), gives=0)
    expect(cut_off, torch.eye(3, dtype=torch.bool), gives=3)
    expect(cut_off, torch.tensor([[False, True, False], [True, False, False], [True, False, False]]), gives=1)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def cut_off(mask):
#     others = mask & ~torch.eye(len(mask), dtype=torch.bool)
#     return (~others.any(0) | ~others.any(1)).sum().item()
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# Our own tickets of language stayed at the frequencies of words under every condition, which looked like a finding about masks. It was one about training: weights that are too quiet after pruning,
# together with a learning rate that falls when a network stalls. *Why do the tickets of language stay at the start?* shows both. And a "redrawn" ticket once kept trained weights, in modules that nothing knew how to redraw; such a module is refused now,
# and the section on new weights tests for it.
#
# The paper redraws all weights, keeps the regularizer, and holds a trained embedding fast. It has no shuffled ticket, so its tables cannot say whether a ticket's wiring or its share of weights a matrix did the work.
#
# ## Recall and think
#
# <details><summary>Recall: which control does a ticket need?</summary>
#
# A shuffled mask with as many weights in each matrix.
#
# </details>
#
# <details><summary>Recall: why did the tickets of language not learn?</summary>
#
# Their weights were too quiet after pruning, and the rule that lowers the rate took the slow start for a stall.
#
# </details>
#
# <details><summary>Think: a strong penalty makes two seeds keep the same wiring. What does that do to the claim that training found it?</summary>
#
# It takes it away: the wiring was known before training. It may still suit the task.
#
# </details>
#
# **References.** Frankle and Carbin, *The lottery ticket hypothesis* (2019). Zhou et al., *Deconstructing lottery tickets* (2019). Frankle et al., *Linear mode connectivity and the lottery ticket
# hypothesis* (2020). Section 4 and tables 1–10 of the paper.
