"""Policies decide places: pure, deterministic plug-ins behind `ports.Policy`."""
