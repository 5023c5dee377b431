"""From columns to tensors and back: scaling, and the PCA that everything starts from."""
