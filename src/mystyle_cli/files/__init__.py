"""The disk: folders that the program owns, files that it reads and writes, documents and tensors in them."""
