"""Every configuration key once: what it takes, its default and what it is for.

Error messages, environment variables, `gpualloc config show`, `gpualloc init` and the test that
docs/configuration.md is complete all read this table.
"""

from __future__ import annotations

from msgspec import Struct

ENVIRONMENT_PREFIX = "GPUALLOC_"

RESERVED_VARIABLES = frozenset(
    {
        "GPUALLOC_CONFIG",
        "GPUALLOC_DEBUG",
        "GPUALLOC_DEVICE",
        "GPUALLOC_ERROR",
        "GPUALLOC_FAKE_NVML",
        "GPUALLOC_FAKE_NVML_CALLS",
        "GPUALLOC_GANG_GPUS",
        "GPUALLOC_GANG_RANK",
        "GPUALLOC_GANG_SIZE",
        "GPUALLOC_HOOK",
        "GPUALLOC_NODE",
        "GPUALLOC_MPS_DIR",
        "GPUALLOC_NODE_STATE_DIR",
        "GPUALLOC_NVML_DEADLINE_S",
        "GPUALLOC_PLAN",
        "GPUALLOC_RUN",
        "GPUALLOC_SIM",
        "GPUALLOC_SIM_AT",
        "GPUALLOC_SIM_SPEED",
        "GPUALLOC_STATE",
        "GPUALLOC_STATE_DIR",
        "GPUALLOC_STEP",
        "GPUALLOC_STEP_KIND",
        "GPUALLOC_USERS",
        "GPUALLOC_WORKLOAD",
        "GPUALLOC_WORKLOADS",
    }
)
"""Variables with the prefix that are no configuration keys."""

_GLOBS = 'an array of shell globs, such as ["ann", "svc-*"]'
_COMMAND = 'an array of texts: a program and its arguments, such as ["/usr/local/bin/tell", "team"]'


class Key(Struct, frozen=True):
    """One configuration key."""

    path: str
    """Dotted; `*` stands for a name the operator chooses."""
    expected: str
    """What it takes, to follow the word "expected"."""
    about: str
    default: str | None = None
    """As TOML writes it; None when leaving the key out means that nothing is set."""
    text: bool = True
    """Whether a text can say the whole value."""
    secret: bool = False
    """Whether a value may hold a secret, so that a wrong one is not told."""

    @property
    def variable(self) -> str | None:
        """The environment variable that sets it; None for keys below a chosen name and for arrays."""
        return None if "*" in self.path or not self.text else ENVIRONMENT_PREFIX + self.path.replace(".", "__").upper()


_SCALING = (
    Key(
        "pools.*.scaling.policy",
        '"threshold", "step", "target-tracking", "scheduled" or "predictive"',
        "how the size of the pool follows its demand",
        '"threshold"',
    ),
    Key("pools.*.scaling.min", "a number of nodes, 0 or more", "fewest nodes of the pool", "1"),
    Key("pools.*.scaling.max", "a number of nodes, 1 or more", "most nodes of the pool", "10"),
    Key(
        "pools.*.scaling.up",
        "a load, above 0",
        "from this load on nodes are added; also the load that target tracking has",
        "0.7",
    ),
    Key("pools.*.scaling.down", "a load from 0 to 1, below up", "down to this load nodes are given back", "0.3"),
    Key("pools.*.scaling.up_cooldown", "a duration", "after nodes were added, before more are", '"300s"'),
    Key("pools.*.scaling.down_cooldown", "a duration", "after any change, before nodes are given back", '"600s"'),
    Key(
        "pools.*.scaling.warmup", "a duration of up to 24h", "from the order of a node until work runs there", '"300s"'
    ),
    Key(
        "pools.*.scaling.horizon",
        "a duration of up to 24h",
        "how far ahead predictive looks before it gives a node back",
        '"1h"',
    ),
    Key("pools.*.scaling.risk", "a chance above 0 and below 1", "chance of a shortfall that predictive takes", "0.01"),
    Key(
        "pools.*.scaling.steps",
        "an array of pairs: a load, and nodes to add from it on",
        "of the policy step",
        "[[0.7, 1], [0.85, 2], [1.0, 4], [1.5, 8]]",
    ),
    Key(
        "pools.*.scaling.schedule",
        'an array of texts, such as ["Mon-Fri 08:00-20:00 = 6"]',
        "of the policy scheduled: nodes in these hours, UTC; the first that hold count",
        "[]",
    ),
    Key("pools.*.scaling.up_hook", _COMMAND, "adds nodes", "[]"),
    Key("pools.*.scaling.down_hook", _COMMAND, "takes nodes away on which nothing runs", "[]"),
    Key("pools.*.scaling.hook_timeout", "a duration of 1s to 1h", "how long one of them may take", '"300s"'),
    Key(
        "pools.*.scaling.evict",
        "true or false",
        "true: work on a node that is given back gives way, each by its own rule; false: only nodes without work go",
        "false",
    ),
    Key("pools.*.scaling.spot", "true or false", "buy nodes that may be taken away, where that is cheaper", "false"),
    Key(
        "pools.*.scaling.max_interruptions_per_hour",
        "a number, 0 or more",
        "offers whose nodes are taken away more often, or nobody knows how often, are not taken; left out: no ceiling",
    ),
    Key(
        "pools.*.scaling.spread",
        "a number of nodes, 1 or more",
        "most nodes that a zone has above the zone with the fewest; left out: zones do not matter",
    ),
    Key("pools.*.scaling.prices", "a file", "history of spot prices: docs/scaling.md; left out: there is none"),
)

_SEVERITY = '"info", "warning", "error" or "critical"'
_ALERTS = (
    Key(
        "alerts.*.metric",
        "the name of a metric of devices or nodes: docs/metrics.md",
        "what must not be beyond a limit",
    ),
    Key("alerts.*.above", "a number in the unit of the metric", "it is too high above this"),
    Key("alerts.*.below", "a number in the unit of the metric", "it is too low below this"),
    Key("alerts.*.clear", "a number in the unit of the metric", "where it is well again; left out: at the limit"),
    Key("alerts.*.trouble", 'a kind of trouble, such as "xid" or "gpu missing"', "what must not be or happen"),
    Key("alerts.*.code", "a number", "only the Xid or SXid of this number"),
    Key("alerts.*.least", _SEVERITY, "only troubles that are at least that bad", '"info"'),
    Key("alerts.*.for", "a duration of up to 7d", "how long every known reading must be bad; left out: one is enough"),
    Key(
        "alerts.*.clear_for",
        "a duration of up to 7d",
        "how long every known reading must be good, or nothing more be heard; left out: one is enough, 1h after events",
    ),
    Key("alerts.*.pools", "an array of pools", "looks at these only; left out: all"),
    Key("alerts.*.nodes", 'node names, such as "gpu[01-04],@train"', "looks at these only; left out: all"),
    Key("alerts.*.model", 'a shell glob, such as "*H100*"', "looks at GPUs of these product names; left out: all"),
    Key("alerts.*.severity", _SEVERITY, "how bad it is", '"warning"'),
    Key("alerts.*.deliver", 'an array of channels, "log" being stderr', "who is told", '["log"]'),
    Key("alerts.*.repeat", "a duration of 1m to 366d", "told again that often while it goes on; left out: never"),
    Key("channels.*.exec", _COMMAND, "runs with the alerts as JSON on stdin"),
    Key("channels.*.webhook", "an http or https address", "gets the alerts as JSON by POST", secret=True),
    Key("channels.*.secret_file", "the whole path of a file", "its first line signs what is sent"),
    Key("channels.*.secret_env", "the name of an environment variable", "its value signs what is sent"),
    Key("channels.*.timeout", "a duration of 0.1s to 5m", "how long one try may take", '"10s"'),
)

KEYS = (
    Key("policy", "the name of an installed policy", "which policy decides places", '"pack"'),
    Key(
        "policy_profile",
        "the name of a saved profile of that policy",
        "weights or expressions that the policy decides by; empty: its own",
        '""',
    ),
    Key(
        "objective",
        '"cost", "jct", "energy" or "balanced"',
        "what places are chosen for: money, early ends, watts, or as the policy itself decides",
        '"balanced"',
    ),
    Key("forecaster", "the name of an installed forecaster", "which forecaster looks ahead", '"auto"'),
    Key("sampling.every", "a duration of 1s to 1h", "width of the grid that samples are put on", '"10s"'),
    Key("history.retention", "a duration of 1h to 366d", "how long samples are kept as they were taken", '"14d"'),
    Key(
        "history.minutes",
        "a duration of 1h to 366d",
        "how long rollups by minutes are kept; at least as long as samples",
        '"30d"',
    ),
    Key(
        "history.hours",
        "a duration of 1h to 366d",
        "how long rollups by hours are kept; at least as long as those by minutes",
        '"366d"',
    ),
    Key("apply.grace", "a duration of up to 1h", "time between TERM and KILL when work is stopped", '"10s"'),
    Key("apply.step_timeout", "a duration of 1s to 1h", "longest time a node may take for one step", '"60s"'),
    Key("apply.width", "a number of nodes, 1 to 256", "most nodes that steps are carried out on at once", "16"),
    Key(
        "apply.per_node",
        "a number, 1 to 64",
        "most workloads or devices that steps are carried out for at once on one node",
        "1",
    ),
    Key(
        "apply.max_disturbed",
        "a number, 0 or more",
        "most workloads, processes and devices that one run may disturb unless an operator named them",
        "10",
    ),
    Key("hooks.pre_apply", _COMMAND, "run before the steps of a plan; a failure refuses the plan", "[]", text=False),
    Key("hooks.pre_step", _COMMAND, "run before each step; a failure fails the step", "[]", text=False),
    Key("hooks.post_step", _COMMAND, "run after each step", "[]", text=False),
    Key("hooks.notify", _COMMAND, "run before users and workloads are disturbed", "[]", text=False),
    Key("hooks.exit", _COMMAND, "run at the end of every apply, however it ended", "[]", text=False),
    Key("hooks.timeout", "a duration of 1s to 1h", "how long a hook may take", '"30s"'),
    Key("hooks.burnin", _COMMAND, "run by `gpualloc burnin` as one of its checks", "[]", text=False),
    Key("hooks.burnin_timeout", "a duration of 1s to 24h", "how long that one may take", '"1h"'),
    Key(
        "enforce.mode",
        '"report", "notify", "suspend" or "terminate"',
        "what `gpualloc enforce --apply` does about a process on a device that it was not given",
        '"report"',
    ),
    Key("enforce.after_sightings", "a number, 2 to 1000", "how often it must have been seen there before", "2"),
    Key("enforce.grace", "a duration of up to 1h", "time between TERM and KILL of such a process", '"10s"'),
    Key("enforce.exempt_users", _GLOBS, "accounts that nothing is done to", "[]", text=False),
    Key(
        "enforce.exempt_commands", _GLOBS, "programs, or whole command lines, that nothing is done to", "[]", text=False
    ),
    Key("enforce.exempt_devices", _GLOBS, "UUIDs of devices on which nothing is done", "[]", text=False),
    Key("enforce.exempt_nodes", _GLOBS, "nodes on which nothing is done", "[]", text=False),
    Key(
        "health.ghost_busy_after",
        "a duration of up to 24h",
        "how long a GPU must be busy without any process before it is told",
        '"60s"',
    ),
    Key(
        "health.throttled_after",
        "a duration of up to 24h",
        "how long clocks, or the PCIe link of a GPU that works, must be held down before it is told",
        '"60s"',
    ),
    Key(
        "health.idle_after",
        "a duration of up to 7d",
        "how long a GPU that is allocated, or whose memory is held, must be unused before it is told",
        '"30m"',
    ),
    Key(
        "health.swapping_after",
        "a duration of up to 24h",
        "how long a node must read from its swap before it is told",
        '"5m"',
    ),
    Key(
        "health.held_memory",
        "a size with its unit, such as 1GiB",
        "GPU memory of strangers from which on a GPU counts as held",
        '"1GiB"',
    ),
    Key(
        "mig.repartition",
        '"off", "instances" or "mode"',
        "what may be changed for waiting work: nothing, instances, or also the MIG mode of idle devices",
        '"mode"',
    ),
    Key(
        "gangs.ports",
        'a range of ports, such as "29000-29499"',
        "where the members of a gang meet, on the node of the first: each gang there has one of its own",
        '"29000-29499"',
    ),
    Key("rebalance.moves", "a number, 0 to 1000", "most workloads that one run moves; 0: what runs stays", "4"),
    Key("rebalance.min_run", "a duration of up to 7d", "work that was started later than this ago stays", '"30m"'),
    Key(
        "rebalance.cool_down",
        "a duration of up to 7d",
        "work that was moved, suspended or resumed later than this ago stays",
        '"2h"',
    ),
    Key(
        "rebalance.tenant_moves",
        "a number, 0 to 1000",
        "most workloads of one account that are moved within `rebalance.tenant_window`",
        "2",
    ),
    Key("rebalance.tenant_window", "a duration of up to 7d", "see `rebalance.tenant_moves`", '"1h"'),
    Key(
        "rebalance.freeze",
        'an array of windows, such as ["mon-fri 08:00-18:00", "sat 22:00-06:00"]',
        "times of the week in which nothing that runs is moved",
        "[]",
        text=False,
    ),
    Key("rebalance.max_age", "a duration of 1s to 7d", "oldest input that a move may rest on", '"10m"'),
    Key("rebalance.gain_ratio", "a number, 1 to 1000", "how many times its cost a move must gain", "1.5"),
    Key("rebalance.horizon", "a duration of 1m to 7d", "how far ahead demand is forecast and gains count", '"1h"'),
    Key(
        "rebalance.idle_after",
        '"never", or a duration of up to 7d',
        "work that used its devices for nothing that long is suspended for work that waits",
        '"never"',
    ),
    Key(
        "rebalance.idle_worth",
        "a number, 0 to 1",
        "what an emptied device is worth when nothing waits or is expected, as a part of one in use",
        "0",
    ),
    Key("rebalance.predict", "true or false", "whether anything is forecast, or only what is measured counts", "true"),
    Key("rebalance.ahead", "true or false", "whether MIG instances are made before they are asked for", "true"),
    Key(
        "rebalance.trough_below",
        "a number, 0 to 1",
        "below which part of a pool forecast demand is a trough, in which busy devices are capped; 0: never",
        "0",
    ),
    Key("rebalance.trough_power", "a number above 0, at most 1", "that cap, as a part of the default limit", "0.7"),
    Key("rebalance.deadline", "a duration of 0.1s to 1h", "how long `gpualloc rebalance` may take to decide", '"60s"'),
    *_ALERTS,
    Key("pools.*.nodes", 'node names, such as "gpu[01-04],login1"', "the nodes of the pool"),
    Key(
        "pools.*.transport",
        '"ssh" or "local"',
        "how the nodes are reached; left out: this machine locally, any other by ssh",
    ),
    Key("pools.*.ssh.user", "an account name", "account on the nodes; left out: what ssh itself takes"),
    Key("pools.*.ssh.port", "a port, 1 to 65535", "port of sshd; left out: what ssh itself takes"),
    Key(
        "pools.*.ssh.options",
        'an array of "Key=value", each an option of ssh_config',
        "passed to ssh as -o, in this order",
        "[]",
    ),
    Key(
        "pools.*.ssh.engine",
        '"auto", "openssh" or "asyncssh"',
        "what carries the sessions of watching: a process of ssh for each node, or asyncssh within this one; auto "
        "takes asyncssh where it is installed and over 64 nodes are reached by ssh",
        "auto",
    ),
    Key(
        "pools.*.ssh.command",
        "an array of texts",
        "the ssh program and what always comes first behind it; no shell reads it",
        '["ssh"]',
    ),
    Key("pools.*.labels", "a table of texts", "names and values of your own", "{}"),
    Key(
        "pools.*.node_labels",
        'a table of node sets, each with a table of texts, such as { "gpu[01-04]" = { rack = "r1" } }',
        "labels of single nodes, over those of the pool",
        "{}",
    ),
    Key(
        "pools.*.gpus",
        "a number, 0 to 1024",
        "how many GPUs each node should have; left out: as many as are on its bus or were seen",
    ),
    Key("pools.*.price_per_gpu_hour", "a number, 0 or more", "price of one GPU for an hour, in your currency"),
    Key("pools.*.reserved.cpus", "a number of cores, 0 or more", "cores never given to work, on each node", "0"),
    Key(
        "pools.*.reserved.memory",
        "a size with its unit, such as 8GiB",
        "host memory never given to work, on each node; left out: none",
    ),
    Key(
        "pools.*.power_budget_w",
        "a number of watts, above 0",
        "what the busy GPUs of the pool may take together: work starts with lower power limits, or waits; "
        "left out: no limit",
    ),
    Key(
        "pools.*.interface",
        'the name of a network interface, such as "ib0"',
        "what members of a gang talk to each other over; left out: what they find by themselves",
    ),
    Key(
        "pools.*.keep",
        'a duration from 0 to 1 day, such as "15m"',
        "for how long nodes go on looking when the connection of `sample --every` is cut, to tell it later",
        "0",
    ),
    Key(
        "pools.*.addresses",
        "a table of texts: a name or address for each node",
        "under which other nodes reach a node; left out: its host name",
        "{}",
    ),
    *_SCALING,
    Key(
        "pools.*.manage",
        "true or false",
        "true: change the nodes although Slurm or another controller owns them; false: only look; "
        "left out: only look where another controller is found",
    ),
)
"""Every key, in the order of the documentation."""

SCALARS = {key.path: key for key in KEYS if key.variable}
"""The keys that a variable or a flag can set, by path."""


def matching(path: str) -> Key | None:
    """The key that a concrete dotted path (also one inside its value) belongs to, or None."""
    parts = path.split(".")
    for key in KEYS:
        pattern = key.path.split(".")
        if len(pattern) <= len(parts) and all(p in ("*", part) for p, part in zip(pattern, parts, strict=False)):
            return key
    return None


def nearest(path: str) -> str | None:
    """The accepted key that is most like a wrong one, in full; None when nothing is like it."""
    from difflib import get_close_matches

    *above, wrong = path.split(".")
    siblings = sorted(names_below(".".join(above)))
    if close := get_close_matches(wrong, siblings, 1):
        return ".".join([*above, close[0]])
    by_last_part = {key.path.rsplit(".", 1)[-1]: key.path for key in KEYS}
    if close := get_close_matches(wrong, by_last_part, 1):
        return by_last_part[close[0]].replace("*", "NAME")
    return None


def names_below(path: str) -> frozenset[str]:
    """The names that may stand directly below a concrete table path ("" for the top); empty when free."""
    above = path.split(".") if path else []
    found = set()
    for key in KEYS:
        pattern = key.path.split(".")
        fits = all(p in ("*", part) for p, part in zip(pattern, above, strict=False))
        if len(pattern) > len(above) and fits and pattern[len(above)] != "*":
            found.add(pattern[len(above)])
    return frozenset(found)
