"""The images family: a small Stable Diffusion of the same parts as SD1.5, trained on drawn pictures with captions."""
