"""Makes a release, the same bytes each time: `python -m deploy.release`. docs/releasing.md tells what it is.

Imports nothing of podjoule but its errors. What it runs (apt, dpkg-deb, pip, clang, git) nothing else needs.
"""
