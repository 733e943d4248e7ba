"""Generation: what pictures are asked for by, the steps of training, its failures and its sheets."""
