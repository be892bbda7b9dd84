"""The command line: thin faces over the use cases; tables on stdout, progress on stderr."""
