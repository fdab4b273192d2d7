"""Nodes that tell of themselves: one event loop in a thread of its own holds a long-lived session with each."""
