"""Runs as numbers and pictures."""
