"""An experiment as a value: run once, kept, replayed; sweeps of many."""
