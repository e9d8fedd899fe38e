"""What the cards of the vision family say."""

from __future__ import annotations

from space.zoo.provenance import Provenance
from space.zoo.vision.tasks import TASKS

_SCANNED = ("digits", "numbers")

PROVENANCE = Provenance(
    pipeline="image-classification",
    about=(
        "A vision transformer of 6 layers and width 64 on 32 x 32 pictures in patches of 8 x 8, 0.3 million weights in "
        "bfloat16. Pixel values go in as [-1, 1]; load it with `dtype=torch.float32`. One classifier serves eight "
        "tasks, and accuracy on a task counts that task's classes only. The base is trained on a little of every task, "
        "each fine-tune on many pictures of one task, with the classifier kept as it is. So that averages of the "
        "unprotected fine-tunes keep most of both skills, a fine-tune also rehearses the base's pictures of the other "
        "tasks, and every gradient of a fine-tuning is taken at a drawn point between the base and the fine-tune. "
        "`numbers` was trained for longer than the others, on pictures moved by up to two pixels."
    ),
    data=(
        f"The pictures of the tasks {', '.join(task for task in TASKS if task not in _SCANNED)} are drawn by "
        "`space/zoo/vision/drawing` (Apache-2.0, as this repository). `digits` and `numbers` show scikit-learn's "
        'handwritten digits: the test part of UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin and '
        "C. Kaynak, 1998, CC BY 4.0), which is shipped inside scikit-learn. Nothing was downloaded."
    ),
    models={"base": "The base of the family, trained on a little of each of the eight tasks."}
    | {task: f"The base, fine-tuned on {known.title}." for task, known in TASKS.items()},
)
