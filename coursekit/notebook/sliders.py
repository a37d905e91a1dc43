"""Sliders over a figure, where somebody sits who can move them."""

from collections.abc import Callable, Mapping

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from coursekit import settings


def show_sliders(draw: Callable[..., Figure], choices: Mapping[str, Mapping[str, tuple]]) -> None:
    """A menu of `choices`, and a slider (lowest, highest, step) for each parameter of the one that was chosen.

    Shows draw(choice, **values), again whenever one is moved. Says what is missing where there are no sliders to show.
    """
    if not settings.is_interactive():
        print("In JupyterLab there are sliders here.")
        return
    try:
        import ipywidgets
    except ImportError:
        print("No sliders without ipywidgets: pip install ipywidgets, and restart the kernel.")
        return
    from IPython.display import display

    def show(choice: str, **values) -> None:
        figure = draw(choice, **values)
        display(figure)
        plt.close(figure)

    def choose(name: str) -> None:
        panel.children = [ipywidgets.interactive(show, choice=ipywidgets.fixed(name), **choices[name])]

    menu, panel = ipywidgets.Dropdown(options=list(choices)), ipywidgets.VBox()
    menu.observe(lambda change: choose(change["new"]), names="value")
    choose(menu.value)
    display(ipywidgets.VBox([menu, panel]))
