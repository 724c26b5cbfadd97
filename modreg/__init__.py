"""Moduli regularization: sparse recurrent networks whose wiring has a shape.

This file holds the names that a library user needs. nbdev writes the version, and leaves the rest as it is.
"""

__version__ = "0.1.0"

from modreg.inhibitors import (
    INHIBITORS,
    Constant,
    DifferenceOfGaussians,
    Diffusion,
    Gaussian,
    Inhibitor,
    Ricker,
    Sinusoid,
    inhibitor,
)
from modreg.manifolds import MANIFOLDS, Circle, Euclidean, KleinBottle, Manifold, Sphere, Torus, manifold
from modreg.pruning import MagnitudePruner, reinitialize
from modreg.recurrent import RNN
from modreg.regularizer import ModuliRegularizer, equal_pull

__all__ = [
    "INHIBITORS",
    "MANIFOLDS",
    "RNN",
    "Circle",
    "Constant",
    "DifferenceOfGaussians",
    "Diffusion",
    "Euclidean",
    "Gaussian",
    "Inhibitor",
    "KleinBottle",
    "MagnitudePruner",
    "Manifold",
    "ModuliRegularizer",
    "Ricker",
    "Sinusoid",
    "Sphere",
    "Torus",
    "equal_pull",
    "inhibitor",
    "manifold",
    "reinitialize",
]
