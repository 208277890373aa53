"""The domain prior G_d and its helpers: generator, encoder, perceptual, identity and matte nets, registry."""
