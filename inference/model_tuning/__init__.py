"""
Fine-tune a preset's model with LoRA or QLoRA, as one process in one pod.

Start reading at `__main__.py`. Imports model_presets, never kopf or kubernetes.
"""
