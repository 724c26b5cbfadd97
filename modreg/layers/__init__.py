"""Layers that train fast, many replicas at once, and products that cost what is left of a matrix."""
