"""
The catalog of models: one YAML file per preset, and the loader that both images carry.

The operator and the server meet here and nowhere else, so nothing heavier than PyYAML may be
imported at module level.
"""
