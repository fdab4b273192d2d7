"""The one loop: observe, decide, plan, apply, over ports only."""
