"""What a notebook shows, and what its outputs carry."""

from coursekit import lazy

PUBLIC = {
    "budget": "settings:budget",
    "claim": "notebook.show:claim",
    "finding": "notebook.show:finding",
    "setup": "notebook.show:setup",
    "show_data": "notebook.show:show_data",
    "show_figure": "notebook.show:show_figure",
    "show_references": "notebook.show:show_references",
    "show_score": "notebook.show:show_score",
    "show_source": "notebook.show:show_source",
    "show_table": "notebook.show:show_table",
    "show_verdict": "notebook.show:show_verdict",
    "show_sliders": "notebook.sliders:show_sliders",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy.attach(__name__, PUBLIC)
