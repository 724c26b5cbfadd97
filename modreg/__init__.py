"""Moduli regularization: sparse recurrent networks whose wiring has a shape.

This file holds the names that a library user needs. nbdev writes the version, and leaves the rest as it is.
"""

__version__ = "0.1.0"

from modreg.geometry.checks import check_inhibitor, check_manifold
from modreg.geometry.finite import DistanceMatrix, FiniteSpace, Graph, Mesh, PointCloud
from modreg.geometry.inhibitors import (
    INHIBITORS,
    Constant,
    DifferenceOfGaussians,
    Diffusion,
    Gaussian,
    Independent,
    Inhibitor,
    Ricker,
    Sinusoid,
    inhibitor,
    register_inhibitor,
)
from modreg.geometry.manifolds import MANIFOLDS, Circle, Euclidean, KleinBottle, Manifold, Sphere, Torus, manifold, register_manifold
from modreg.geometry.products import HyperbolicDisc, Modules, Product, ProjectivePlane
from modreg.sparsity.pruning import MagnitudePruner, reinitialize
from modreg.layers.recurrent import RNN
from modreg.sparsity.penalties import PENALTIES
from modreg.sparsity.regularizer import ModuliRegularizer, equal_pull, ramp
from modreg.sparsity.rivals import SPARSIFIERS, register_sparsifier

__all__ = [
    "INHIBITORS",
    "MANIFOLDS",
    "PENALTIES",
    "RNN",
    "SPARSIFIERS",
    "Circle",
    "Constant",
    "DifferenceOfGaussians",
    "Diffusion",
    "DistanceMatrix",
    "Euclidean",
    "FiniteSpace",
    "Gaussian",
    "Graph",
    "HyperbolicDisc",
    "Independent",
    "Inhibitor",
    "KleinBottle",
    "MagnitudePruner",
    "Manifold",
    "Mesh",
    "Modules",
    "ModuliRegularizer",
    "PointCloud",
    "Product",
    "ProjectivePlane",
    "Ricker",
    "Sinusoid",
    "Sphere",
    "Torus",
    "check_inhibitor",
    "check_manifold",
    "equal_pull",
    "inhibitor",
    "manifold",
    "register_inhibitor",
    "register_manifold",
    "register_sparsifier",
    "ramp",
    "reinitialize",
]
