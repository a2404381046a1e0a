"""The command line: one file per family of commands. It handles only options, texts and exit codes."""
