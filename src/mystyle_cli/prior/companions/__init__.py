"""The published companions of a StyleGAN2 generator: encoders into W and identity nets."""
