"""The data sets, test sets and scores of the paper."""
