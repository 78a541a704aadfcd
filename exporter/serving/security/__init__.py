"""exporter-toolkit's web file: TLS, users, and what guessing passwords costs."""
