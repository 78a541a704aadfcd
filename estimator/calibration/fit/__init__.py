"""The mathematics of learning alone: arrays in, arrays out, each with its source; imports no other room."""
