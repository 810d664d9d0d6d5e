"""`govbus demo`: the whole bus on one machine, from declarations to delivered rows, with every figure read back."""
