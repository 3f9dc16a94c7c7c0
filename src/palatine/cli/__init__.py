"""The command line: the only place for the terminal, the environment and exit codes."""
