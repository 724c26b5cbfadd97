"""Things to learn: data, model, loss and metrics of each experiment."""
