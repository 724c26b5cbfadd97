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
from modreg.recurrent import RNN

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
    "Manifold",
    "Ricker",
    "Sinusoid",
    "Sphere",
    "Torus",
    "inhibitor",
    "manifold",
]
