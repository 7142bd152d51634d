"""Networks and policies of a population; the first dimension of every parameter is the member."""
