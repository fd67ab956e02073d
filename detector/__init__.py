"""querywatch: recognises attacks on machine-learning models in the log of the queries they answer.

Start with `detector.pipeline`: it shows the whole way of the data on one screen.
"""

__version__ = "0.1.0"
