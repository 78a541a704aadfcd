"""What the meter teaches: the power of idling and the weight of each feature, learned tick by tick.

Imports models (for priors), meters and features; numpy alone.
"""
