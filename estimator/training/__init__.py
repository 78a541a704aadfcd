"""Training and judging power models; the one place under estimator/ that imports scikit-learn and pandas."""
