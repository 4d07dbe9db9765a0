"""CZI, ND2 and LIF, read through the libraries that the extra ``formats`` installs."""
