"""Notebooks executed in processes of their own."""
