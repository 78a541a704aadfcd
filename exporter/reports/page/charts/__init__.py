"""Charts as inline SVG: places along are percentages, so one drawing fits every width."""
