"""The fault catalogue as tests, named by its ids."""
