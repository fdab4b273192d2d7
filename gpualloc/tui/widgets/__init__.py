"""What the dashboard's screens are made of, one widget per file."""
