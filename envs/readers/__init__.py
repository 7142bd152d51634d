"""Find, record, download and read data sets; write data sets from D4RL's files and from arrays."""
