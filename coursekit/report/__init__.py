"""Executed notebooks as PDF and HTML."""
