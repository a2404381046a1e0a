"""The command line: one file for each family of commands; nothing but options, words and exit codes is decided here."""
