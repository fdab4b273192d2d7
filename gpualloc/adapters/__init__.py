"""One file per outside world that `ports.Fleet` and `ports.Clock` are made of."""
