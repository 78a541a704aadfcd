"""What `import podjoule` hands on: power models in scikit-learn's manner, and the tables they are made from.

Imports the room that trains; the commands use it, too.
"""
