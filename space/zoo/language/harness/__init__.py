"""The language tasks as files of lm-evaluation-harness, and the script that writes their questions again.

From the repository's root, offline:
`python -m lm_eval run --model hf --model_args pretrained=space/zoo/language/weights/math --apply_chat_template
--include_path space/zoo/language/harness --tasks zoo_math,zoo_style`
"""
