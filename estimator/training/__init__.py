"""All that makes and judges models, with scikit-learn and pandas; only the commands import it.

Imports every other room of the estimator.
"""
