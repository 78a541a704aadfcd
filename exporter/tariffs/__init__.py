"""What a kilowatt-hour emits and costs: from the configuration, a table or a service."""
