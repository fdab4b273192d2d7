"""How many nodes a pool should have: policies behind one protocol, what they are told, and what keeps them in check."""
