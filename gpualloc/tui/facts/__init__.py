"""Everything known of one thing, in sections of names and values."""
