"""Simulated hosts and GPUs with a virtual clock. Pure: state in, state out; adapters keep it on disk.

What is real in it: the MIG tables and the placement axis (`catalog`, `placement`), and every rule of the node server,
which runs over a simulated host unchanged. What is made up, and the same for equal seeds: use, power and temperature
over time (`use`), the strangers of the demo, host load.

Nothing is executed. `sleep N`, `true`, `false` and `exit N` last and end as they say; any other command runs until it
is stopped or its `--at-most` is over. A command or working directory that begins with `/nonexistent` or
`no-such-command` does not exist. Limits are told as held the way a node with control groups would hold them.
"""
