"""Where neurons can live: spaces, distances on them, and inhibitors, which are functions of distance."""
