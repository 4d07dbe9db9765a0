"""Training and evaluation of BaryIR: degradations, data, losses, one loop, recipes."""
