"""The lists of the dashboard, each as data."""
