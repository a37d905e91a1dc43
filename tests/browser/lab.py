"""A notebook as a learner uses it: opened in JupyterLab, run and exported from the menu, sliders moved.

`make test-browser`; its name keeps it out of `make test`.
"""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from coursekit.execution import notebooks
from coursekit.execution.source import KERNEL, read_source
from coursekit.notebook import outputs

from .conftest import PICTURES, wait

SWEEP = """
from functools import partial
import torch
from coursekit import models
from coursekit.runs.experiment import Experiment
from coursekit.runs.sweeps import sweep
options = dict(optimizer=partial(torch.optim.SGD, lr=0.1), data="mnist", epochs=40, batch_size=10)
options |= dict(validation=1, train_size=500)
variants = {f"{n} hidden": Experiment(model=partial(models.MLP, (784, n, 10)), **options) for n in (8, 32)}
runs = sweep(variants, [0, 1], plot=True)
"""
SOURCES = Path(__file__).parents[2] / "notebooks" / "src"
MENUS = ".lm-MenuBar-itemLabel"
ITEMS = ".lm-Menu .lm-Menu-itemLabel"


class Page:
    """One notebook in JupyterLab."""

    def __init__(self, browser, lab: str, path: Path):
        self.browser, self.path = browser, path
        browser.get(f"{lab}/lab/tree/{path.name}?reset")
        self.wait_until_idle()

    def find(self, css: str, text: str = ""):
        """The first element on the screen that a selector finds, with this text."""
        from selenium.common import StaleElementReferenceException

        def visible():
            try:
                found = self.browser.find_elements("css selector", css)
                return next((e for e in found if e.is_displayed() and e.text.startswith(text)), None)
            except StaleElementReferenceException:
                return None

        return wait(visible, 30, lambda: f"no {css} {text!r}; {self.photograph('stuck')}")

    def choose(self, menu: str, *items: str) -> None:
        """Click through a menu."""
        from selenium.webdriver import ActionChains

        self.find(MENUS, menu).click()
        for item in items[:-1]:
            ActionChains(self.browser).move_to_element(self.find(ITEMS, item)).perform()
        self.find(ITEMS, items[-1]).click()

    def wait_until_idle(self, seconds: float = 120) -> None:
        def idle():
            bar = self.browser.find_elements("css selector", "#jp-main-statusbar")
            return bar and "| Idle" in bar[0].text

        wait(idle, seconds, lambda: self.photograph("stuck"))

    def run_all(self) -> nbformat.NotebookNode:
        """Run All Cells; what is then in the file."""
        self.choose("Run", "Run All Cells")
        return self.result()

    def result(self) -> nbformat.NotebookNode:
        """Save Notebook, once all cells are done; what is then in the file."""

        def saved():
            self.wait_until_idle()
            self.choose("File", "Save Notebook")
            found = nbformat.read(self.path, 4)
            codes = [cell for cell in found.cells if cell.cell_type == "code"]
            return (codes[-1].execution_count or any(map(outputs.errors_in, codes))) and found

        return wait(saved, 120, lambda: self.photograph("stuck"))

    def photograph(self, name: str) -> str:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.browser.save_screenshot(str(PICTURES / f"{name}.png"))
        return f"see {PICTURES / name}.png"


@pytest.fixture
def live(browser, lab, folder):
    """A notebook with a sweep that draws its losses."""
    notebook = new_notebook(cells=[new_code_cell(SWEEP, id="sweep")], metadata={"kernelspec": KERNEL})
    path = folder / "live.ipynb"
    path.write_bytes(outputs.to_bytes(notebook))
    return Page(browser, lab, path)


@pytest.fixture
def opened(browser, lab, folder):
    """Opens a notebook made of the cells of a source up to the last that contains some text."""

    def open_notebook(stem: str, last: str = "") -> Page:
        notebook = read_source(SOURCES / f"{stem}.py")
        end = max(i for i, cell in enumerate(notebook.cells) if last in cell.source)
        del notebook.cells[end + 1 :]
        path = folder / f"{stem}.ipynb"
        path.write_bytes(outputs.to_bytes(notebook))
        return Page(browser, lab, path)

    return open_notebook


def test_notebook_is_run_and_exported_from_the_menu(opened):
    page = opened("02_activations_and_xor")
    page.photograph("opened")
    notebooks.check(page.run_all(), page.path.name)
    page.photograph("executed")
    before = set(page.browser.downloads.iterdir())
    page.choose("File", "Save and Export Notebook As", "Coursekit_pdf")
    [pdf] = wait(lambda: set(page.browser.downloads.glob("*.pdf")) - before, 60, lambda: page.photograph("export"))
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert pdf.stat().st_size > 100_000


def test_a_slider_redraws_the_figure(opened):
    from selenium.webdriver import Keys

    page = opened("07_schedules", last="show_sliders")
    notebooks.check(page.run_all(), page.path.name)
    handle = page.find(".widget-slider .noUi-handle")
    page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", handle)

    def picture() -> str:
        found = page.browser.find_elements("css selector", ".widget-output img, .widget-output svg")
        return found[0].get_attribute("src") or found[0].get_attribute("outerHTML") if found else ""

    before = wait(picture, 30)
    page.photograph("slider-before")
    handle.send_keys(Keys.ARROW_RIGHT * 3)
    wait(lambda: picture() not in ("", before), 30, lambda: page.photograph("slider-stuck"))
    page.photograph("slider-after")


def test_a_sweep_leaves_one_plot_and_one_empty_line(live):
    live.choose("Run", "Run All Cells")
    live.find(".jp-OutputArea-output pre", "8 hidden")  # the line, with the time left
    live.find(".jp-OutputArea-output img")
    live.photograph("sweep-running")
    [cell] = live.result().cells
    live.photograph("sweep-done")
    assert [output.output_type for output in cell.outputs] == ["display_data", "display_data", "stream"]
    line, plot, text = cell.outputs
    assert line.data == {"text/plain": ""}
    assert set(plot.data) == {"image/png", "text/plain"}
    assert "4 trained" in text.text
