"""The same trainings in the libraries that a user could take instead: JAX, Keras, Lightning, fastai, skorch.

`contestants` says who takes part in what; each trains in a process of its own (`workers`), in slices that come in turn
(`pace`, `measure`).
"""
