"""The command line: one file a command, which takes the flags that it uses."""
