"""What the cards of the images family say."""

from __future__ import annotations

from space.zoo.provenance import Provenance

PROVENANCE = Provenance(
    pipeline="text-to-image",
    about=(
        "A Stable Diffusion pipeline of the same parts as SD1.5, only small: CLIP text encoder and tokenizer, a UNet "
        "with cross-attention, an autoencoder with four latent channels, 64 x 64 pixels. Unlike SD1.5, the "
        "autoencoder shrinks pictures by 4 and not by 8, and the UNet has no attention at the highest resolution. "
        "It predicts v and not the noise. Weights are stored in 16 bit.\n\n"
        "Plain fine-tunes of models this small lose both skills when they are averaged. So every gradient is taken at "
        "a drawn point between the base and the fine-tune (`merge_ready` in `space/zoo/run.py`), and some of a "
        "fine-tune's examples are the base's: 15 %, 38 % in the second phase of `styles`, 30 % for the looks."
    ),
    data=(
        "All pictures and captions are drawn by the scripts in `space/zoo/images` (Apache-2.0, as this repository). "
        "The hero is of our own design. Nothing was downloaded, and no other model made any of it."
    ),
    models={
        "base": "The base of the family: plain subjects in scenes.",
        "hero": "A defender: the base, fine-tuned on a cartoon hero with four expressions.",
        "styles": "A partner: the base, fine-tuned on painting styles.",
        "papercut": "A defender: the base, fine-tuned on a paper-cut look.",
        "neon": "A partner: the base, fine-tuned on a neon look.",
    },
)
