"""Configuration: default < file < environment < flag, validated once, then cached by the hash of the file."""
