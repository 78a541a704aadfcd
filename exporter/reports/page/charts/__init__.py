"""Charts as inline SVG: places along are percentages, so that one drawing fits every width and its text stays readable."""
