"""The Gradio page and the small trained models that it shows."""
