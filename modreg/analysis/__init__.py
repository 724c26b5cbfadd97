"""A look inside trained networks: their wiring, their cells, their shape."""
