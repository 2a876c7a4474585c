"""Virtual environments: made, proven, and brought up to date.

Everything in this package is standard library only and readable by Python 3.8, because it runs under the Python that
the user happens to have, before anything is installed. What it builds needs Python 3.10 to 3.13.
"""
