"""Stems, then script: separate the voices of a film from its music, and write down what they say."""

__version__ = "0.1.0"
