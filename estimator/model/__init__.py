"""Model files: read, chosen, evaluated, a source of energy. Nothing here makes models.

Imports the machine, the features, the names of zones; numpy alone.
"""
