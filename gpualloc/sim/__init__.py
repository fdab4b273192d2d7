"""Simulated hosts and GPUs with a virtual clock. Pure: state in, state out; adapters keep it on disk."""
