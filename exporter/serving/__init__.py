"""The web server, its security and its pages."""
