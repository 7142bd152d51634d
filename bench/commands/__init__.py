"""One file per subcommand of `python -m bench`; bench/cli.py finds and imports them by name.

A file's docstring is its help: a first sentence, details, examples. `add_arguments(parser)` declares arguments and imports nothing heavy;
`run(arguments)` returns the exit code, None for 0.
"""
