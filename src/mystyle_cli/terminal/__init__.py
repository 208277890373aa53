"""What commands share: the options of several, inputs, outputs, the batch, the console."""
