"""How fast the operators are, each beside its plain form and beside what it cannot avoid, in one run."""
