"""From a decision to a plan: steps, their order, and the facts they rest on. Pure."""
